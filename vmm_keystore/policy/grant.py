# SPDX-License-Identifier: Apache-2.0
"""What a grant allows, and one key version as a guest may use it."""

from dataclasses import dataclass

from vmm_keystore.policy.hsm import TokenObject
from vmm_keystore.policy.vocabulary import KeyState, KeyType


@dataclass(frozen=True, slots=True)
class Permission:
    """What one grant allows: masks are bit numbers of Op and Mechanism, 0 means no bound, no uids every uid."""

    op_mask: int
    mechanism_mask: int
    not_before_s: int = 0
    not_after_s: int = 0
    input_bytes_max: int = 0
    uids: tuple[int, ...] = ()
    ops_max: int = 0
    ops_a_second: int = 0

    @property
    def has_budget(self) -> bool:
        """Whether its operations are counted."""
        return bool(self.ops_max or self.ops_a_second)


@dataclass(frozen=True, slots=True)
class PermittedKey:
    """One key version that one guest may use; field by field what ``struct vks_snapshot_key`` carries."""

    key_id: bytes
    version: int
    key_type: KeyType
    state: KeyState
    current: bool
    permission: Permission
    label: str
    budget_id: int = 0
    """Names the counters of its grant's budget; 0: it has none."""
    token: TokenObject | None = None
    """Where its private half lies, if that is not the vault."""

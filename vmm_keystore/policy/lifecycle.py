# SPDX-License-Identifier: Apache-2.0
"""The life cycle of a key version: which moves there are, and what each state lets a key do.

Source: NIST SP 800-57 part 1 revision 5, clause 7 (transitions 2 to 15).
"""

from collections.abc import Sequence

from vmm_keystore.errors import StateError
from vmm_keystore.policy.vocabulary import OWNER_OPS, KeyState, KeyType, Op

_S = KeyState

MOVES: dict[KeyState, frozenset[KeyState]] = {
    _S.PRE_ACTIVATION: frozenset({_S.ACTIVE, _S.COMPROMISED, _S.DESTROYED}),
    _S.ACTIVE: frozenset({_S.SUSPENDED, _S.DEACTIVATED, _S.COMPROMISED, _S.DESTROYED}),
    _S.SUSPENDED: frozenset({_S.ACTIVE, _S.DEACTIVATED, _S.COMPROMISED, _S.DESTROYED}),
    _S.DEACTIVATED: frozenset({_S.COMPROMISED, _S.DESTROYED}),
    _S.COMPROMISED: frozenset({_S.DESTROYED}),
    _S.DESTROYED: frozenset(),
}

ENCRYPT_OPS = frozenset({Op.ENCRYPT, Op.DATA_KEY})
PROTECT_OPS = frozenset({Op.SIGN, Op.MAC}) | ENCRYPT_OPS
PROCESS_OPS = frozenset({Op.VERIFY, Op.DECRYPT, Op.MAC_VERIFY, Op.DERIVE, Op.DECAPSULATE})
"""Derive and decapsulate among them: without an older secret, what it protects could not be read any more."""
_PROCESS_STATES = frozenset({_S.ACTIVE, _S.DEACTIVATED, _S.COMPROMISED})

ENCRYPTIONS_MAX = 2**32 - 2**27
"""Of one version of a key for AEAD. Among 2^32 encryptions with random nonces two may share one (NIST SP 800-38D, 8.3);
the device's own nonces never repeat, but a grant may let callers bring theirs. The rest is for what is under way."""
ENCRYPTIONS_NEAR = ENCRYPTIONS_MAX // 4 * 3
AEAD_TYPES = frozenset({KeyType.AES_128, KeyType.AES_256, KeyType.CHACHA20_POLY1305})

OWN_VERSIONS_MAX = 16
"""Versions of a guest's own key that are not destroyed: each of them is in its worker's memory."""


def check_move(before: KeyState, after: KeyState) -> None:
    """Refuse a move the life cycle does not have.

    Raises:
        StateError: with the states that can be reached as a hint.
    """
    if after in MOVES[before]:
        return
    reachable = ", ".join(state.text for state in sorted(MOVES[before]))
    if before == after:
        raise StateError(f"it is {before.text} already")
    raise StateError(
        f"a key that is {before.text} cannot become {after.text}",
        f"it can become: {reachable}" if reachable else "a destroyed key is gone for good",
    )


def state_allows(state: KeyState, op: Op) -> bool:
    """Tell whether a key version in *state* may take part in *op*: protecting needs an active one."""
    if op in PROTECT_OPS:
        return state == _S.ACTIVE
    if op in PROCESS_OPS:
        return state in _PROCESS_STATES
    if op in OWNER_OPS:
        return state not in {_S.SUSPENDED, _S.DESTROYED}
    return op == Op.PUBLIC and state != _S.DESTROYED


def effective_state(state: KeyState, *, set_aside: bool) -> KeyState:
    """What a guest sees of a version that is *set_aside*: planned for destruction, or too old to process.

    It does nothing then, and may come back: that is what suspended means.
    """
    return _S.SUSPENDED if set_aside and state != _S.DESTROYED else state


def rotated_state(state: KeyState) -> KeyState:
    """Return what the current version becomes when a newer one takes over: it may process but no longer protect.

    Raises:
        StateError: the key was never activated, so there is nothing to take over from.
    """
    if state == _S.PRE_ACTIVATION:
        raise StateError("the current version was never active", "activate it, or destroy the key and make a new one")
    return _S.DEACTIVATED if state == _S.ACTIVE else state


def own_versions_left(states: Sequence[KeyState]) -> int:
    """How many more versions a guest's own key may have that has versions in these states."""
    return OWN_VERSIONS_MAX - sum(state != _S.DESTROYED for state in states)

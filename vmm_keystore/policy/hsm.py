# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token as the command line names it, and as it names itself and its keys."""

from dataclasses import dataclass
from pathlib import Path

from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import KeyType, Op

OBJECT_BYTES_MAX = int(lib.VKS_HSM_OBJECT_BYTES_MAX)
TOKEN_TYPES = frozenset({KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048, KeyType.RSA_3072, KeyType.RSA_4096})
"""Keys that may lie in a token."""
NOT_IN_TOKENS = frozenset({Op.DERIVE})
"""What their types do and a token does not do for us."""


@dataclass(frozen=True, slots=True)
class HsmPlace:
    """Where the token is found.

    *module* is the vendor's library, by an absolute path; *pin* the file with the user's PIN, which no Python reads;
    *token* the label of the one to seal to, empty where there is only one; *environment* names the variables that the
    module gets to see.
    """

    module: Path
    pin: Path
    token: str = ""
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HsmToken:
    """What a token says of itself, without blanks at the end and without control characters."""

    label: str
    serial: str


@dataclass(frozen=True, slots=True)
class TokenObject:
    """A key pair in a token: the serial number that the token had, and the CKA_ID of both halves."""

    serial: str
    object_id: bytes


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """How keystored gets at the keys of a token: *token* is None while it does not, *problem* then says why.

    Neither: no key was asked for yet.
    """

    token: HsmToken | None = None
    pid: int | None = None
    sessions: int = 0
    problem: str = ""

    @property
    def was_asked(self) -> bool:
        """Whether it is known if its keys can be used."""
        return self.token is not None or self.problem != ""


def sealed_type(key_type: KeyType, *, in_token: bool) -> int:
    """Number of the type that a version's blob is sealed under: what is in it is a public key where it is in a token."""
    return int(key_type) | (int(lib.VKS_TYPE_F_TOKEN) if in_token else 0)

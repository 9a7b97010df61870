# SPDX-License-Identifier: Apache-2.0
"""Keys on their way between the service and the processes that hold them: sealed, wrapped or public, never plain."""

from dataclasses import dataclass

from vmm_keystore.policy.hsm import HsmToken, TokenObject
from vmm_keystore.policy.oaep_hash import OaepHash
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.policy.vocabulary import KeyType


@dataclass(frozen=True, slots=True)
class SealedKey:
    """What the custodian gives back for a new key: only the custodian can open *sealed*."""

    key_type: KeyType
    sealed: bytes
    public_der: bytes
    """SubjectPublicKeyInfo; empty for symmetric keys."""


@dataclass(frozen=True, slots=True)
class ImportOffer:
    """A one-time X25519 public key to wrap one import to."""

    offer_id: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True)
class WrappingOffer:
    """A one-time RSA public key, as SubjectPublicKeyInfo, for whoever has a key elsewhere."""

    offer_id: bytes
    public_der: bytes


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key that came wrapped to such an offer (CKM_RSA_AES_KEY_WRAP)."""

    offer_id: bytes
    wrapped: bytes
    key_type: KeyType
    oaep_hash: OaepHash


@dataclass(frozen=True, slots=True)
class WrappedSecret:
    """A passphrase, wrapped to an offer."""

    offer_id: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class WrappedKek:
    """The KEK for vks-recovery: *content* is a ``struct vks_custodian_export``, *kek_id* what the KEK is told by."""

    kek_id: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class SealedBlob:
    """What is sealed under the KEK, and under which name; *type_number* of ``vks_key_type`` or ``vks_own_type``."""

    key_id: bytes
    version: int
    type_number: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Validity:
    """Of a self-signed certificate: both ends in UNIX time, and whether it may issue others."""

    not_before_s: int
    not_after_s: int
    is_ca: bool


@dataclass(frozen=True, slots=True)
class CustodianStatus:
    """What the custodian says of itself; *secret_memory* is ``memfd-secret`` or ``mlock``.

    *libcrypto* is its version, and *unsupported* are the key types that it does not have.
    *root_kind* is None while the KEK file could not be read, *kek_id* is empty while none is open; *token* is the
    PKCS#11 token that opened it, where one did.
    """

    pid: int
    secret_memory: str
    root_open: bool
    root_kind: RootKind | None = None
    kek_id: bytes = b""
    sandbox: str = ""
    token: HsmToken | None = None
    libcrypto: str = ""
    unsupported: tuple[KeyType, ...] = ()

    @property
    def is_hidden_from_root(self) -> bool:
        """Whether the kernel reads its secrets to nobody."""
        return self.secret_memory.startswith("memfd")


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A key pair in a token, with its public half as SubjectPublicKeyInfo."""

    key_type: KeyType
    place: TokenObject
    public_der: bytes


@dataclass(frozen=True, slots=True)
class KeyLoad:
    """One entry for the custodian's LOAD; the lease is already spent, whether or not it is used."""

    key_id: bytes
    version: int
    key_type: KeyType
    nonce_lease: int
    sealed: bytes
    in_token: bool = False

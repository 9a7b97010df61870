# SPDX-License-Identifier: Apache-2.0
"""The root of trust: GET /v1/root, POST /v1/root/offer, /unlock, /change and /export-recovery."""

from pydantic import Base64Bytes, Field

from vmm_keystore.control.models.words import Model
from vmm_keystore.policy.root_kind import RootKind


class TokenInfo(Model):
    """What a PKCS#11 token says of itself."""

    label: str
    serial: str


class RootInfo(Model):
    """What opens the key encryption key (KEK).

    *kind* is null while its file could not be read; *kek* is what this KEK is told by, empty while it is not open;
    *token* is null where no PKCS#11 token opened it.
    """

    kind: RootKind | None
    open: bool
    file: str
    kek: str
    token: TokenInfo | None


class RootPassphrase(Model):
    """What ``vks-import --root-passphrase`` gave for an offer of POST /v1/root/offer."""

    offer_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    wrapped: Base64Bytes


class RootChange(Model):
    """The new root of trust; *passphrase* for that kind and no other."""

    kind: RootKind
    passphrase: RootPassphrase | None = None


class RootChanged(Model):
    """The root of trust as it is now, and how many key versions were sealed anew."""

    root: RootInfo
    resealed: int


class RecoveryOffer(Model):
    """The one-time public key that vks-recovery printed."""

    offer_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    public_key: str = Field(pattern=r"^[0-9a-f]{64}$")


class WrappedKekInfo(Model):
    """The KEK, wrapped to the offer, for vks-recovery; *kek* is what it is told by."""

    kek: str
    wrapped: Base64Bytes

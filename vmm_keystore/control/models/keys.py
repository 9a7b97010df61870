# SPDX-License-Identifier: Apache-2.0
"""Keys: POST /v1/keys, GET /v1/keys and below /v1/keys/{label}, POST /v1/keys/import[/offer]."""

from typing import Annotated

from pydantic import AwareDatetime, Base64Bytes, Field

from vmm_keystore.control.models.certificates import CertificateInfo
from vmm_keystore.control.models.words import (
    AppliedTo,
    Flag,
    KeyName,
    KeyStateWord,
    KeyTypeWord,
    Model,
    Moment,
    Name,
    OpWord,
    TagFilter,
    Tags,
)
from vmm_keystore.policy.oaep_hash import OaepHash
from vmm_keystore.policy.tags import TAGS_MAX


class KeyGenerate(Model):
    """A new key; without *activate* it stays in pre-activation, *in_token* its private half lies in the PKCS#11 token."""

    label: Name
    type: KeyTypeWord
    activate: Flag = True
    tags: Tags = Field(default_factory=dict)
    in_token: Flag = False


class KeyAdopt(Model):
    """A key pair that lies in the token already, by its label there or its id in hex: one of the two."""

    label: Name
    token_label: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    token_id: Annotated[str, Field(pattern=r"^([0-9a-f]{2}){1,32}$")] | None = None
    activate: Flag = True
    tags: Tags = Field(default_factory=dict)


class KeyImportOffer(Model):
    """Hex, as vks-import takes it: ``--offer`` is offer_id followed by public_key."""

    offer_id: str
    public_key: str


class KeyImport(Model):
    """What vks-import gave; *type* is checked against the key when present."""

    label: Name
    offer_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    wrapped: Base64Bytes
    type: KeyTypeWord | None = None
    activate: Flag = True
    tags: Tags = Field(default_factory=dict)


class KeyWrappingOffer(Model):
    """A one-time RSA public key in PEM, good for a day and one try."""

    offer_id: str
    public_key: str


class KeyImportWrapped(Model):
    """A key wrapped to such an offer: RSA-OAEP of an AES key, behind it the key wrapped by RFC 5649."""

    label: Name
    offer_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    wrapped: Base64Bytes
    type: KeyTypeWord
    oaep_hash: OaepHash = OaepHash.SHA256
    activate: Flag = True
    tags: Tags = Field(default_factory=dict)


class KeyMove(Model):
    """Body of the state changes; without *version* destroy means every version, the others the current one."""

    version: Annotated[int, Field(ge=1, le=2**32 - 1, strict=True)] | None = None


class KeyDestroy(KeyMove):
    """Destroy, or with *at* plan it: until then the versions are of no use to guests, and it can be taken back."""

    at: Moment | None = None


class KeyMinVersion(Model):
    """The oldest version that still processes."""

    version: Annotated[int, Field(ge=1, le=2**32 - 1, strict=True)]


class KeyRotation(Model):
    """At what age in seconds, and after how many uses, the current version is replaced; null: not by that.

    *after_uses* counts what it signed, encrypted or made a MAC of.
    """

    every_s: Annotated[int, Field(ge=1, le=100 * 366 * 86400, strict=True)] | None
    after_uses: Annotated[int, Field(ge=1, le=2**53, strict=True)] | None = None


class KeyTag(Model):
    """Tags to set, at least one; those that the key has get the new values."""

    tags: Annotated[Tags, Field(min_length=1)]


class KeyUntag(Model):
    """Names of tags to take away, all or none."""

    tags: list[Name] = Field(min_length=1, max_length=TAGS_MAX)


class KeyUseInfo(Model):
    """How a version was used by one kind of operation, as far as it is known."""

    op: OpWord
    last: AwareDatetime
    count: int


class TokenObjectInfo(Model):
    """Where a private key lies: the token's serial number, and the id (CKA_ID, hex) of the key pair."""

    serial: str
    id: str


class KeyVersionInfo(Model):
    """One version of a key; *destroy_at* where its destruction is planned, *certificate* where it has one.

    *token*: where its private half lies, null for the vault.
    """

    version: int
    state: KeyStateWord
    current: bool
    created: AwareDatetime
    state_changed: AwareDatetime
    destroy_at: AwareDatetime | None
    uses: list[KeyUseInfo]
    certificate: CertificateInfo | None
    token: TokenObjectInfo | None = None


class KeyInfo(Model):
    """A key; *state* is that of the current version, *last_used* that of any; null: not as far as it is known.

    *owner* is the guest whose own it is, null where it is the vault's.
    """

    label: str
    id: str
    type: KeyTypeWord
    state: KeyStateWord
    current_version: int
    created: AwareDatetime
    versions: list[KeyVersionInfo]
    guests: list[str]
    min_version: int
    rotate_every_s: int | None
    rotate_after_uses: int | None
    tags: dict[str, str]
    aliases: list[str]
    last_used: AwareDatetime | None
    guarded: bool
    owner: str | None


class KeyChanged(KeyInfo):
    """A key after a change."""

    applied: list[AppliedTo]


class KeyQuery(Model):
    """Which keys to list: *label* may have ``*`` for any letters and ``?`` for one, each *tag* is a name or name=value.

    *unused_since* leaves the keys that were there then and not used from then on.
    """

    label: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._:*?-]{1,63}$")] | None = None
    type: KeyTypeWord | None = None
    state: KeyStateWord | None = None
    tag: list[TagFilter] | None = Field(default=None, max_length=TAGS_MAX)
    unused_since: Moment | None = None
    after: KeyName | None = None
    limit: Annotated[int, Field(ge=1, le=10000)] | None = None


class KeyList(Model):
    """Keys, by label."""

    keys: list[KeyInfo]

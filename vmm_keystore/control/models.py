# SPDX-License-Identifier: Apache-2.0
"""What the control API takes and gives, version 1.

Times are ISO 8601 in UTC; bytes are hex (ids) or base64 (wrapped keys); words are those of the policy vocabulary.
Knows no route and no service.
"""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
)

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.vocabulary import GRANTABLE_OPS, KeyState, KeyType, Mechanism, Op, Word

NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$"
"""Names of guests and roles, key labels."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
HolderName = Annotated[str, Field(pattern=NAME_PATTERN.replace("^", "^@?"))]
"""A guest, or a role with an '@' before its name."""
Uid = Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


def _iso_time(value: Any) -> Any:
    """A number is no time: nobody could say what it counts."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("no time by ISO 8601; write it like 2030-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_iso_time), Field(strict=False)]
"""As text, with its offset from UTC."""


def _by_text(words: type[Word], value: Any) -> Any:
    if isinstance(value, words):
        return value
    try:
        return words.from_text(str(value))
    except InvalidRequestError as error:
        raise ValueError(f"{error.message}; {error.hint}") from error


def _text(word: Word) -> str:
    return word.text


def _schema(members: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": members})


KeyTypeWord = Annotated[
    KeyType, BeforeValidator(partial(_by_text, KeyType)), PlainSerializer(_text), _schema([t.text for t in KeyType])
]
KeyStateWord = Annotated[
    KeyState, BeforeValidator(partial(_by_text, KeyState)), PlainSerializer(_text), _schema([s.text for s in KeyState])
]
OpWord = Annotated[
    Op, BeforeValidator(partial(_by_text, Op)), PlainSerializer(_text), _schema([o.text for o in GRANTABLE_OPS])
]
MechanismWord = Annotated[
    Mechanism,
    BeforeValidator(partial(_by_text, Mechanism)),
    PlainSerializer(_text),
    _schema([m.text for m in Mechanism]),
]


class Model(BaseModel):
    """Unknown fields are an error: a misspelt limit must not become no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AppliedTo(Model):
    """What became of a change in one guest's worker; the answer waited for it."""

    guest: str
    outcome: Literal["acknowledged", "worker-killed", "no-worker"]
    detail: str = ""


class ErrorBody(Model):
    """Why it failed; *hint* may be empty."""

    code: str
    message: str
    hint: str = ""


class ErrorAnswer(Model):
    """The body of every answer that is not 2xx."""

    error: ErrorBody


# guests: POST /v1/guests, GET /v1/guests, GET and DELETE /v1/guests/{name}


class GuestCreate(Model):
    """A new guest; *socket* is an absolute path, *owner_uid* the uid of its QEMU (default: the daemon's)."""

    name: Name
    socket: str = Field(pattern=r"^/", max_length=107)
    owner_uid: Uid | None = None


class WorkerInfo(Model):
    """The guest's worker and its front-end."""

    running: bool
    pid: int | None
    secret_memory: str
    generation: int
    connected: bool
    front_end_pid: int | None
    problem: str = ""
    replaced: int = 0
    set_aside: int = 0
    sandbox: str = ""


class GuestInfo(Model):
    """A guest."""

    name: str
    socket: str
    owner_uid: int | None
    created: AwareDatetime
    grants: int
    worker: WorkerInfo


class GuestList(Model):
    """Every guest, by name."""

    guests: list[GuestInfo]


class GuestRemoved(Model):
    """Answer to DELETE /v1/guests/{name}."""

    name: str
    grants_removed: int


# keys: POST /v1/keys, GET /v1/keys, GET /v1/keys/{label}, GET /v1/keys/{label}/public (text),
# POST /v1/keys/{label}/{rotate,activate,suspend,deactivate,compromise,destroy}, POST /v1/keys/import[/offer]


class KeyGenerate(Model):
    """A new key; without *activate* it stays in pre-activation."""

    label: Name
    type: KeyTypeWord
    activate: Flag = True


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
    """At what age in seconds the current version is replaced; null: by hand only."""

    every_s: Annotated[int, Field(ge=1, le=100 * 366 * 86400, strict=True)] | None


class KeyVersionInfo(Model):
    """One version of a key; *destroy_at* where its destruction is planned."""

    version: int
    state: KeyStateWord
    current: bool
    created: AwareDatetime
    state_changed: AwareDatetime
    destroy_at: AwareDatetime | None


class KeyInfo(Model):
    """A key; *state* is that of the current version."""

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


class KeyChanged(KeyInfo):
    """A key after a change."""

    applied: list[AppliedTo]


class KeyList(Model):
    """Every key, by label."""

    keys: list[KeyInfo]


# grants: POST /v1/grants, GET /v1/grants[?guest=&key=], DELETE /v1/grants/{guest}/{key},
# GET /v1/grants/{guest}/{key}/explain?op=OP[&mechanism=&version=&uid=&input_bytes=&at=]


class GrantTerms(Model):
    """What a grant allows; *mechanisms* default to those of the key type that need not be named."""

    key: Name
    ops: list[OpWord] = Field(min_length=1)
    mechanisms: list[MechanismWord] | None = None
    input_bytes_max: Annotated[int, Field(ge=1, le=1048576, strict=True)] | None = None
    not_before: Moment | None = None
    not_after: Moment | None = None
    uids: list[Uid] = Field(default_factory=list, max_length=8)
    ops_max: Annotated[int, Field(ge=1, le=2**53, strict=True)] | None = None
    ops_per_second: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None


class GrantCreate(GrantTerms):
    """A new grant to a guest or ``@role``."""

    guest: HolderName


class GrantInfo(Model):
    """A grant to *guest*, which is ``@role`` for one to a role.

    Where it was asked what one guest has, *guest* is that one and *role* what it has it by. *ops_used* counts where a
    guest's operations are bounded in all.
    """

    guest: str
    role: str | None
    key: str
    ops: list[OpWord]
    mechanisms: list[MechanismWord]
    input_bytes_max: int | None
    not_before: AwareDatetime | None
    not_after: AwareDatetime | None
    uids: list[int]
    ops_max: int | None
    ops_per_second: int | None
    ops_used: int | None
    created: AwareDatetime


class GrantChanged(GrantInfo):
    """A grant that was added or removed."""

    applied: list[AppliedTo]


class CheckInfo(Model):
    """One of the things that must hold for a request."""

    rule: str
    holds: bool
    detail: str


class GrantExplained(Model):
    """What would become of a request: *status* is the device's answer, the first check that does not hold says why."""

    guest: str
    key: str
    op: OpWord
    version: int | None
    mechanism: MechanismWord
    allowed: bool
    status: str
    checks: list[CheckInfo]


class GrantList(Model):
    """Grants, by guest or role and key."""

    grants: list[GrantInfo]


# roles: POST /v1/roles, GET /v1/roles, GET and DELETE /v1/roles/{name}, POST /v1/roles/{name}/assign and /unassign


class RoleCreate(Model):
    """A new role."""

    name: Name


class RoleGuests(Model):
    """Guests that get or lose a role, all or none."""

    guests: list[Name] = Field(min_length=1, max_length=10000)

    @field_validator("guests")
    @classmethod
    def _each_once(cls, guests: list[str]) -> list[str]:
        return list(dict.fromkeys(guests))


class RoleInfo(Model):
    """A role: what is granted to it each of *guests* has."""

    name: str
    guests: list[str]
    grants: int
    created: AwareDatetime


class RoleChanged(RoleInfo):
    """A role after a change, or as it was before it was removed."""

    applied: list[AppliedTo]


class RoleList(Model):
    """Every role, by name."""

    roles: list[RoleInfo]


# audit: GET /v1/audit?after=SEQ&limit=N&guest=…&key=…&op=…&status=…&since=…&until=… (without after: the last N lines),
# GET /v1/audit/verify, GET /v1/audit/public-key, POST /v1/audit/checkpoint


class AuditPage(Model):
    """Audit lines as they stand in the file, oldest first; ask again with after = *last_seq* to follow."""

    lines: list[dict[str, Any]]
    last_seq: int


class AuditVerified(Model):
    """What checking the whole chain found; *problem* says what and where when it does not hold."""

    ok: bool
    lines: int
    segments: int
    last_seq: int
    last_hash: str
    torn_bytes: int = 0
    problem: str = ""
    checkpoints: int = 0
    signed_seq: int = 0
    key: str = ""


class AuditKeyInfo(Model):
    """The public key of the checkpoints: as note verifiers take it, and as PEM."""

    origin: str
    vkey: str
    pem: str


class AuditCheckpoint(Model):
    """A signed note on the log's head."""

    note: str


# GET /v1/status


class CustodianInfo(Model):
    """The custodian; *problem* when it does not answer."""

    running: bool
    pid: int | None
    secret_memory: str
    root_open: bool
    sandbox: str = ""
    problem: str = ""


class AuditInfo(Model):
    """The audit log; *problem*: lines cannot be stored, so operations wait. *upkeep_problem*: not signed, compressed."""

    last_seq: int
    signed_seq: int
    problem: str = ""
    upkeep_problem: str = ""


class StatusInfo(Model):
    """The daemon at a glance."""

    version: str
    your_role: str
    pid: int
    runs_as: str
    uptime_s: int
    state_dir: str
    store_schema: str
    guests: int
    guests_connected: int
    keys: int
    grants: int
    audit: AuditInfo
    custodian: CustodianInfo

# SPDX-License-Identifier: Apache-2.0
"""Grants: POST /v1/grants, GET /v1/grants[?guest=&key=], DELETE and explain below /v1/grants/{guest}/{key}."""

from typing import Annotated, TypedDict

from pydantic import AwareDatetime, Field

from vmm_keystore.control.models.words import AppliedTo, HolderName, KeyName, MechanismWord, Model, Moment, OpWord, Uid


class Bounds(TypedDict):
    """A grant's bounds as the service takes them: 0 and none mean no bound."""

    input_bytes_max: int
    not_before_s: int
    not_after_s: int
    uids: list[int]
    ops_max: int
    ops_a_second: int


class GrantTerms(Model):
    """What a grant allows; *mechanisms* default to those of the key type that need not be named."""

    key: KeyName
    ops: list[OpWord] = Field(min_length=1)
    mechanisms: list[MechanismWord] | None = None
    input_bytes_max: Annotated[int, Field(ge=1, le=1048576, strict=True)] | None = None
    not_before: Moment | None = None
    not_after: Moment | None = None
    uids: list[Uid] = Field(default_factory=list, max_length=8)
    ops_max: Annotated[int, Field(ge=1, le=2**53, strict=True)] | None = None
    ops_per_second: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None

    def bounds(self) -> Bounds:
        """Its bounds in whole seconds and numbers."""
        return {
            "input_bytes_max": self.input_bytes_max or 0,
            "not_before_s": int(self.not_before.timestamp()) if self.not_before else 0,
            "not_after_s": int(self.not_after.timestamp()) if self.not_after else 0,
            "uids": self.uids,
            "ops_max": self.ops_max or 0,
            "ops_a_second": self.ops_per_second or 0,
        }


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

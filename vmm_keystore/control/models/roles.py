# SPDX-License-Identifier: Apache-2.0
"""Roles of guests: POST and GET /v1/roles, GET and DELETE /v1/roles/{name}, POST assign and unassign below it."""

from pydantic import AwareDatetime, Field, field_validator

from vmm_keystore.control.models.words import AppliedTo, Model, Name


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

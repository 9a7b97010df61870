# SPDX-License-Identifier: Apache-2.0
"""A key as the store has it, put together from all the tables that know something of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.policy.certificate_chain import CertificateFacts
from vmm_keystore.policy.hsm import TokenObject
from vmm_keystore.policy.lifecycle import AEAD_TYPES, ENCRYPT_OPS, PROTECT_OPS
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.store.certificates import FACTS, facts_of
from vmm_keystore.store.holdings import holdings
from vmm_keystore.store.key_aliases import aliased
from vmm_keystore.store.key_tags import tagged
from vmm_keystore.store.key_uses import UseRow, used
from vmm_keystore.store.tables import grants, guests, key_certificates, key_versions, keys, own_keys


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A key version as stored, without its blobs."""

    version: int
    state: KeyState
    created_s: int
    state_changed_s: int
    destroy_at_s: int | None = None
    """When it will be destroyed, if that is planned."""
    certificate: CertificateFacts | None = None
    """Of the chain that is attached to it."""
    token: TokenObject | None = None
    """Where its private half lies, if that is not the vault."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as stored, its versions from the oldest, its other names, and the guests it is granted to."""

    row_id: int
    key_id: bytes
    label: str
    key_type: KeyType
    current_version: int
    created_s: int
    versions: tuple[VersionRow, ...]
    guests: tuple[str, ...]
    min_process_version: int = 1
    """Versions before it do nothing."""
    rotate_every_s: int | None = None
    rotate_after_uses: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    uses: Mapping[int, tuple[UseRow, ...]] = field(default_factory=dict)
    """By version, of those that were used."""
    last_used_s: int | None = None
    """When any version was last used; None: it is not known of any."""
    guarded_s: int | None = None
    """Since when giving it away and destroying it takes several administrators; None: it does not."""
    owner: str | None = None
    """The guest whose own it is."""

    def version(self, number: int) -> VersionRow:
        """Return version *number*.

        Raises:
            NotFoundError: there is none.
        """
        for version in self.versions:
            if version.version == number:
                return version
        raise NotFoundError(f"key '{self.label}' has no version {number}", f"it has 1 to {len(self.versions)}")

    @property
    def state(self) -> KeyState:
        """State of the current version."""
        return self.version(self.current_version).state

    @property
    def in_token(self) -> bool:
        """Whether its versions' private halves lie in a token."""
        return self.version(self.current_version).token is not None

    @property
    def protected_count(self) -> int:
        """How often the current version signed, encrypted or made a MAC, as far as it is known."""
        return sum(use.count for use in self.uses.get(self.current_version, ()) if use.op in PROTECT_OPS)

    @property
    def encrypted_count(self) -> int:
        """How often the current version encrypted, data keys among it, as far as it is known; 0 for one that does no AEAD."""
        if self.key_type not in AEAD_TYPES:
            return 0
        return sum(use.count for use in self.uses.get(self.current_version, ()) if use.op in ENCRYPT_OPS)

    @property
    def is_destroyed(self) -> bool:
        """Whether no version is left."""
        return all(version.state == KeyState.DESTROYED for version in self.versions)


@dataclass(frozen=True, slots=True)
class _Queries:
    """What is asked for the keys that one condition names."""

    heads: sa.Select[*tuple[Any, ...]]
    versions: sa.Select[*tuple[Any, ...]]
    guests: sa.Select[*tuple[Any, ...]]
    tags: sa.Select[*tuple[Any, ...]]
    aliases: sa.Select[*tuple[Any, ...]]
    uses: sa.Select[*tuple[Any, ...]]


def _queries(condition: sa.ColumnElement[bool]) -> _Queries:
    """Write them."""
    held = holdings()
    return _Queries(
        heads=sa.select(keys, guests.c.name.label("owner_name"))
        .outerjoin(own_keys, own_keys.c.key == keys.c.id)
        .outerjoin(guests, guests.c.id == own_keys.c.guest)
        .where(condition)
        .order_by(keys.c.label),
        versions=(
            sa.select(
                key_versions.c.key,
                key_versions.c.version,
                key_versions.c.state,
                key_versions.c.created_s,
                key_versions.c.state_changed_s,
                key_versions.c.destroy_at_s,
                key_versions.c.token_serial,
                key_versions.c.token_object,
                *(key_certificates.c[name] for name in FACTS),
            )
            .join(keys)
            .outerjoin(key_certificates)
            .where(condition)
            .order_by(key_versions.c.version)
        ),
        guests=(
            sa.select(grants.c.key, guests.c.name)
            .select_from(held)
            .join(grants, grants.c.id == held.c.grant)
            .join(guests, guests.c.id == held.c.guest)
            .join(keys, keys.c.id == grants.c.key)
            .where(condition)
            .order_by(guests.c.name)
        ),
        tags=tagged(condition),
        aliases=aliased(condition),
        uses=used(condition),
    )


_LABELLED = _queries(keys.c.label == sa.bindparam("label"))
"""Once: to write a statement takes longer than to run it, and every change looks its key up."""


def load_labelled(connection: sa.Connection, label: str) -> tuple[KeyRow, ...]:
    """The key *label*, if there is one."""
    return _load(connection, _LABELLED, {"label": label})


def load_keys(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[KeyRow, ...]:
    """The keys that *condition* names, by label, with all that belongs to them."""
    return _load(connection, _queries(condition), {})


def _load(connection: sa.Connection, queries: _Queries, values: Mapping[str, object]) -> tuple[KeyRow, ...]:
    heads = connection.execute(queries.heads, values).all()
    versions: dict[int, list[VersionRow]] = {head.id: [] for head in heads}
    names: dict[int, list[str]] = {head.id: [] for head in heads}
    for row in connection.execute(queries.versions, values):
        versions[row.key].append(
            VersionRow(
                version=row.version,
                state=row.state,
                created_s=row.created_s,
                state_changed_s=row.state_changed_s,
                destroy_at_s=row.destroy_at_s,
                certificate=None if row.sha256 is None else facts_of(row),
                token=TokenObject(row.token_serial, row.token_object) if row.token_object else None,
            )
        )
    for key, name in connection.execute(queries.guests, values):
        names[key].append(name)
    tags: dict[int, dict[str, str]] = {}
    for key, name, value in connection.execute(queries.tags, values):
        tags.setdefault(key, {})[name] = value
    aliases: dict[int, list[str]] = {}
    for key, name in connection.execute(queries.aliases, values):
        aliases.setdefault(key, []).append(name)
    uses: dict[int, dict[int, tuple[UseRow, ...]]] = {}
    for key, version, op, last_s, count in connection.execute(queries.uses, values):
        of_key = uses.setdefault(key, {})
        of_key[version] = (*of_key.get(version, ()), UseRow(op, last_s, count))
    return tuple(
        KeyRow(
            row_id=head.id,
            key_id=head.key_id,
            label=head.label,
            key_type=head.key_type,
            current_version=head.current_version,
            created_s=head.created_s,
            versions=tuple(versions[head.id]),
            guests=tuple(names[head.id]),
            min_process_version=head.min_process_version,
            rotate_every_s=head.rotate_every_s,
            rotate_after_uses=head.rotate_after_uses,
            tags=tags.get(head.id, {}),
            aliases=tuple(aliases.get(head.id, ())),
            uses=uses.get(head.id, {}),
            last_used_s=head.last_used_s,
            guarded_s=head.guarded_s,
            owner=head.owner_name,
        )
        for head in heads
    )

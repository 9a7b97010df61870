# SPDX-License-Identifier: Apache-2.0
"""Keys and their versions in the store. Material comes and goes sealed."""

from collections.abc import Sequence

import sqlalchemy as sa

from vmm_keystore.errors import NonceLeasesUsedUpError, NotFoundError
from vmm_keystore.policy.hsm import TokenObject
from vmm_keystore.policy.lifecycle import ENCRYPT_OPS
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.store.certificates import drop_chain
from vmm_keystore.store.holdings import parts
from vmm_keystore.store.key_aliases import find_alias
from vmm_keystore.store.key_rows import KeyRow, load_keys, load_labelled
from vmm_keystore.store.tables import MANY_USES, key_uses, key_versions, keys

FIRST_LEASE = 1
LEASE_MAX = 2**32 - 1


def insert_key(connection: sa.Connection, key_id: bytes, label: str, key_type: KeyType, now_s: int) -> int:
    """Add a key without versions; the label must be free. Return its row."""
    statement = keys.insert().values(
        key_id=key_id, label=label, key_type=key_type, current_version=1, created_s=now_s, min_process_version=1
    )
    return int(connection.execute(statement.returning(keys.c.id)).scalar_one())


def insert_version(
    connection: sa.Connection,
    key_row: int,
    version: int,
    *,
    state: KeyState,
    sealed: bytes,
    public_der: bytes,
    now_s: int,
    token: TokenObject | None = None,
) -> None:
    """Add a version and make it the current one; *token* is where its private half lies."""
    connection.execute(
        key_versions.insert().values(
            key=key_row,
            version=version,
            state=state,
            sealed=sealed,
            public_der=public_der or None,
            next_lease=FIRST_LEASE,
            created_s=now_s,
            state_changed_s=now_s,
            token_serial=token.serial if token else None,
            token_object=token.object_id if token else None,
        )
    )
    connection.execute(keys.update().where(keys.c.id == key_row).values(current_version=version))


def insert_first_version(
    connection: sa.Connection,
    key_id: bytes,
    label: str,
    key_type: KeyType,
    *,
    state: KeyState,
    sealed: bytes,
    public_der: bytes,
    now_s: int,
    token: TokenObject | None = None,
) -> int:
    """Add a key with its version 1; the label must be free. Return its row."""
    row = insert_key(connection, key_id, label, key_type, now_s)
    insert_version(connection, row, 1, state=state, sealed=sealed, public_der=public_der, now_s=now_s, token=token)
    return row


def find_token_object(connection: sa.Connection, token: TokenObject) -> str | None:
    """Label of the key that has this key pair as a version, if there is one."""
    statement = (
        sa.select(keys.c.label)
        .join(key_versions, key_versions.c.key == keys.c.id)
        .where(key_versions.c.token_object == token.object_id, key_versions.c.token_serial == token.serial)
    )
    return connection.execute(statement.limit(1)).scalar()


def has_token_keys(connection: sa.Connection) -> bool:
    """Whether any version that is left lies in a token."""
    statement = sa.select(key_versions.c.id).where(
        key_versions.c.token_object.is_not(None), key_versions.c.state != KeyState.DESTROYED
    )
    return connection.execute(statement.limit(1)).first() is not None


def has_keys(connection: sa.Connection) -> bool:
    """Whether there is any key."""
    return connection.execute(sa.select(keys.c.id).limit(1)).first() is not None


def count_keys(connection: sa.Connection) -> int:
    """How many keys there are, destroyed ones too."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(keys)).scalar_one())


def key_types(connection: sa.Connection) -> dict[str, KeyType]:
    """Types of all keys by label."""
    return {row.label: row.key_type for row in connection.execute(sa.select(keys.c.label, keys.c.key_type))}


def find_key(connection: sa.Connection, label: str) -> KeyRow | None:
    """Return the key *label*, if there is one."""
    found = load_labelled(connection, label)
    return found[0] if found else None


def get_key(connection: sa.Connection, name: str) -> KeyRow:
    """Return the key that *name* is label or alias of.

    Raises:
        NotFoundError: there is none.
    """
    found = find_key(connection, name)
    if found is None:
        alias = find_alias(connection, name)
        found = find_key(connection, alias.key) if alias else None
    if found is None:
        raise NotFoundError(f"no key '{name}'", "vmm-keystore key list shows those there are")
    return found


def key_labels(connection: sa.Connection) -> dict[bytes, str]:
    """Labels of all keys by key id."""
    # As the driver gives them: there may be a million.
    cursor = connection.exec_driver_sql("SELECT key_id, label FROM keys").cursor
    return dict(cursor.fetchall()) if cursor is not None else {}


def public_der(connection: sa.Connection, key: KeyRow, version: int) -> bytes:
    """Return the SubjectPublicKeyInfo of a version; empty for symmetric and destroyed keys."""
    statement = sa.select(key_versions.c.public_der).where(
        key_versions.c.key == key.row_id, key_versions.c.version == version
    )
    return connection.execute(statement).scalar() or b""


def sealed_blob(connection: sa.Connection, key: KeyRow, version: int) -> bytes:
    """Return the sealed material of a version; empty for destroyed keys."""
    statement = sa.select(key_versions.c.sealed).where(
        key_versions.c.key == key.row_id, key_versions.c.version == version
    )
    return connection.execute(statement).scalar() or b""


def set_state(connection: sa.Connection, key: KeyRow, version: int, state: KeyState, now_s: int) -> None:
    """Move a version to *state*; a destroyed one loses its sealed blob, and its certificates."""
    values: dict[str, object] = {"state": state, "state_changed_s": now_s}
    if state == KeyState.DESTROYED:
        values |= {"sealed": None, "public_der": None, "destroy_at_s": None}
        drop_chain(connection, key.row_id, version)
    connection.execute(
        key_versions.update()
        .where(key_versions.c.key == key.row_id, key_versions.c.version == version)
        .values(**values)
    )


def plan_destruction(connection: sa.Connection, key: KeyRow, numbers: Sequence[int], at_s: int | None) -> None:
    """Plan when versions will be destroyed; None takes it back."""
    connection.execute(
        key_versions.update()
        .where(key_versions.c.key == key.row_id, key_versions.c.version.in_(numbers))
        .values(destroy_at_s=at_s)
    )


def set_min_process_version(connection: sa.Connection, key: KeyRow, version: int) -> None:
    """Let versions before *version* do nothing."""
    connection.execute(keys.update().where(keys.c.id == key.row_id).values(min_process_version=version))


def set_rotation(connection: sa.Connection, key: KeyRow, every_s: int | None, after_uses: int | None) -> None:
    """Set at what age of its current version, and after how many uses of it, the key is rotated; None: not by that."""
    values = {"rotate_every_s": every_s, "rotate_after_uses": after_uses}
    connection.execute(keys.update().where(keys.c.id == key.row_id).values(**values))


def set_guarded(connection: sa.Connection, key: KeyRow, since_s: int | None) -> None:
    """Guard a key, or with None take the guard from it."""
    connection.execute(keys.update().where(keys.c.id == key.row_id).values(guarded_s=since_s))


def guarded_labels(connection: sa.Connection, key_rows: Sequence[int]) -> list[str]:
    """Labels of those of these keys that are guarded."""
    found: list[str] = []
    for part in parts(key_rows):
        statement = sa.select(keys.c.label).where(keys.c.id.in_(part), keys.c.guarded_s.is_not(None))
        found += connection.execute(statement.order_by(keys.c.label)).scalars()
    return found


def are_bound_by_use(connection: sa.Connection, key_rows: Sequence[int], encryptions: int) -> bool:
    """Whether any of these keys is rotated after so many uses, or has encrypted so often."""
    bound = sa.or_(keys.c.rotate_after_uses >= 0, keys.c.id.in_(_encrypted(encryptions)))
    return any(
        connection.execute(sa.select(keys.c.id).where(keys.c.id.in_(part), bound).limit(1)).first()
        for part in parts(key_rows)
    )


def list_encrypting_keys(connection: sa.Connection, encryptions: int) -> tuple[KeyRow, ...]:
    """Keys of which a version encrypted so often, twice ``MANY_USES`` or more, by label."""
    return load_keys(connection, keys.c.id.in_(_encrypted(encryptions)))


def list_planned_keys(connection: sa.Connection, encryptions: int) -> tuple[KeyRow, ...]:
    """Keys for which anything is planned, or that encrypted so often, by label."""
    # A range is what an index is used for; NULL is in none.
    planned = sa.select(key_versions.c.key).where(key_versions.c.destroy_at_s >= 0)
    return load_keys(
        connection,
        sa.or_(
            keys.c.rotate_every_s >= 0,
            keys.c.rotate_after_uses >= 0,
            keys.c.id.in_(planned),
            keys.c.id.in_(_encrypted(encryptions)),
        ),
    )


def _encrypted(count: int) -> sa.Select[int]:
    """Rows of keys of which a version encrypted so often, twice ``MANY_USES`` or more.

    There are two operations that encrypt: one of them has at least half of what both come to, and an index.
    """
    other = key_uses.alias()
    both = (
        sa.select(sa.func.sum(other.c.use_count))
        .where(other.c.key == key_uses.c.key, other.c.version == key_uses.c.version, other.c.op.in_(ENCRYPT_OPS))
        .scalar_subquery()
    )
    indexed = key_uses.c.use_count >= sa.literal_column(str(MANY_USES))
    half = key_uses.c.use_count >= (count + 1) // 2
    return sa.select(key_uses.c.key).where(indexed, half, key_uses.c.op.in_(ENCRYPT_OPS), both >= count)


def take_nonce_lease(connection: sa.Connection, version_row: int) -> int:
    """Spend one nonce lease of a version; good only once the transaction is committed.

    Raises:
        NonceLeasesUsedUpError: all 2^32 - 1 are spent.
    """
    statement = (
        key_versions.update()
        .where(key_versions.c.id == version_row, key_versions.c.next_lease <= LEASE_MAX)
        .values(next_lease=key_versions.c.next_lease + 1)
        .returning(key_versions.c.next_lease)
    )
    after = connection.execute(statement).scalar()
    if after is None:
        raise NonceLeasesUsedUpError("a key version has no nonce leases left", "rotate the key")
    return int(after) - 1

# SPDX-License-Identifier: Apache-2.0
"""What a key is found by besides its label: tags, and aliases that can be moved from one key to another.

Both are the administrators': guests see labels. An alias stands for its key wherever one is asked for by name; the
audit log names the key itself, and the alias that was used.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from vmm_keystore.errors import AlreadyExistsError, NotFoundError
from vmm_keystore.policy.tags import check_count
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.service.changes import Actor, Change, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.store.key_aliases import AliasRow, delete_alias, find_alias, get_alias, list_aliases, set_alias
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.key_tags import remove_tags, set_tags
from vmm_keystore.store.keys import find_key, get_key
from vmm_keystore.store.store import Store


class KeyNames:
    """Setting, moving and taking away."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def tag(self, actor: Actor, name: str, tags: Mapping[str, str]) -> KeyRow:
        """Give a key tags; those that it has get their new values.

        Raises:
            NotFoundError: no such key.
            InvalidRequestError: it would have too many.
        """
        with self._changes.begin(actor, "key-tag", key=name, tags=dict(tags)) as change:
            key = named_key(change, name)
            check_count(key.label, len({**key.tags, **tags}))
            set_tags(change.connection, key.label, tags)
            return get_key(change.connection, key.label)

    def untag(self, actor: Actor, name: str, names: Sequence[str]) -> KeyRow:
        """Take tags from a key, all or none.

        Raises:
            NotFoundError: no such key, or it does not have one of them.
        """
        with self._changes.begin(actor, "key-untag", key=name, tags=list(names)) as change:
            key = named_key(change, name)
            for tag in names:
                if tag not in key.tags:
                    raise NotFoundError(f"key '{key.label}' has no tag '{tag}'", "vmm-keystore key show says which")
            remove_tags(change.connection, key.label, names)
            return get_key(change.connection, key.label)

    def set_alias(self, actor: Actor, alias: str, name: str) -> tuple[AliasRow, str | None]:
        """Let *alias* stand for a key, whatever key it stood for before.

        Returns:
            What it is now, and the label of the key that it was taken from, if there was one.

        Raises:
            NotFoundError: no such key.
            AlreadyExistsError: a key has that label.
        """
        with self._changes.begin(actor, "key-alias-set", alias=alias, key=name) as change:
            if find_key(change.connection, alias) is not None:
                raise AlreadyExistsError(
                    f"there is a key '{alias}': it cannot be an alias", "a name is a label or an alias; choose another"
                )
            key = get_key(change.connection, name)
            before = find_alias(change.connection, alias)
            change.note(key=key.label, **({"moved_from": before.key} if before else {}))
            set_alias(change.connection, alias, key.row_id, now_s())
            return get_alias(change.connection, alias), before.key if before else None

    def remove_alias(self, actor: Actor, alias: str) -> AliasRow:
        """Forget an alias; its key stays. Return what it was.

        Raises:
            NotFoundError: there is none.
        """
        with self._changes.begin(actor, "key-alias-remove", alias=alias) as change:
            found = get_alias(change.connection, alias)
            change.note(key=found.key)
            delete_alias(change.connection, alias)
        return found

    def aliases(self) -> tuple[AliasRow, ...]:
        """Every alias, by name."""
        with self._store.read() as connection:
            return list_aliases(connection)

    def label_of(self, name: str) -> str:
        """The label that *name* stands for where it is an alias, else *name*: the audit log has labels only."""
        with self._store.read() as connection:
            alias = find_alias(connection, name)
        return alias.key if alias else name


def named_key(change: Change, name: str) -> KeyRow:
    """The key that *name* is label or alias of; the audit line of the change says its label.

    Raises:
        NotFoundError: there is none.
    """
    key = get_key(change.connection, name)
    if key.label != name:
        change.note(key=key.label, alias=name)
    return key


def check_free(connection: sa.Connection, label: str) -> None:
    """Refuse a label that a key has or an alias is; good for the transaction of *connection*.

    Raises:
        AlreadyExistsError: it is taken.
    """
    key = find_key(connection, label)
    if key is not None:
        hint = "a destroyed key keeps its label, so that the audit log stays clear; choose another"
        raise AlreadyExistsError(
            f"there is a key '{label}' already",
            hint if key.state == KeyState.DESTROYED else "vmm-keystore key rotate gives it a new version",
        )
    alias = find_alias(connection, label)
    if alias is not None:
        raise AlreadyExistsError(
            f"'{label}' is an alias of key '{alias.key}'",
            f"choose another label, or free this one: vmm-keystore key alias remove {label}",
        )

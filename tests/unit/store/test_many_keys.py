# SPDX-License-Identifier: Apache-2.0
"""Lists of keys: only those that are asked for, in pages, and without a look at all the others."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmm_keystore.errors import NotFoundError
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.store.key_aliases import delete_alias, set_alias
from vmm_keystore.store.key_list import KeyFilter, list_keys
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.key_tags import by_rarity, set_tags, tags_of
from vmm_keystore.store.keys import (
    count_keys,
    get_key,
    has_keys,
    insert_first_version,
    insert_version,
    key_labels,
    key_types,
    list_encrypting_keys,
    list_planned_keys,
    set_state,
)
from vmm_keystore.store.store import Store
from vmm_keystore.store.tables import MANY_USES

LABELS = ("a", "A", "a.b", "ab", "abc", "b", "web-1", "web-10", "web-2", "web_1", "WEB-1", "z9")
PLANNED = (
    "SELECT id FROM keys WHERE rotate_every_s >= 0 OR rotate_after_uses >= 0"
    " OR id IN (SELECT key FROM key_versions WHERE destroy_at_s >= 0)"
)
TAGS = ("env", "env=prod", "env=test", "team=a", "team", "no", "env=")
BY_TAG = "SELECT keys.id FROM key_tags JOIN keys ON keys.label = key_tags.key WHERE key_tags.name = 'env'"
TYPES = (KeyType.AES_256, KeyType.ED25519)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Keys of two types; every third one has two versions, the first of them deactivated; some have tags."""
    with Store(tmp_path_factory.mktemp("store") / "keystore.db") as opened:
        with opened.write() as connection:
            assert not has_keys(connection)
            for number, label in enumerate(LABELS):
                key_id, key_type = bytes([number]) * 16, TYPES[number % 2]
                state = KeyState.ACTIVE if number % 4 else KeyState.PRE_ACTIVATION
                insert_first_version(
                    connection, key_id, label, key_type, state=state, sealed=b"s", public_der=b"", now_s=1
                )
                if number % 2:
                    set_tags(connection, label, {"env": "prod" if number % 4 == 1 else "test", "n": str(number)})
                if number % 5 == 0:
                    set_tags(connection, label, {"team": "a"})
                if number % 3 == 0:
                    key = get_key(connection, label)
                    set_state(connection, key, 1, KeyState.DEACTIVATED, 2)
                    insert_version(
                        connection, key.row_id, 2, state=KeyState.ACTIVE, sealed=b"s", public_der=b"", now_s=2
                    )
        yield opened


def labels(store: Store, only: KeyFilter) -> list[str]:
    with store.read() as connection:
        return [key.label for key in list_keys(connection, only)]


def is_tagged(key: KeyRow, tag: str) -> bool:
    name, has_value, value = tag.partition("=")
    return name in key.tags and (not has_value or key.tags[name] == value)


@given(
    only=st.builds(
        KeyFilter,
        pattern=st.text("abWEeb-_.109*?", max_size=6),
        key_type=st.sampled_from([None, *TYPES]),
        state=st.sampled_from([None, KeyState.ACTIVE, KeyState.PRE_ACTIVATION, KeyState.DEACTIVATED]),
        after=st.sampled_from(["", *LABELS, "m"]),
        limit=st.sampled_from([None, 1, 3, 1000]),
        tags=st.lists(st.sampled_from(TAGS), max_size=3).map(tuple),
    )
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_filter_is_what_it_says(store: Store, only: KeyFilter) -> None:
    """The same keys as by a look at each of them, in the order of their labels, upper case before lower."""
    with store.read() as connection:
        every = list_keys(connection)
    wanted = [
        key.label
        for key in every
        if (not only.pattern or fnmatchcase(key.label, only.pattern))
        and only.key_type in {None, key.key_type}
        and only.state in {None, key.state}
        and key.label > only.after
        and all(is_tagged(key, tag) for tag in only.tags)
    ]
    assert labels(store, only) == wanted[: only.limit]


def test_pages_are_the_whole_list(store: Store) -> None:
    """One after the other by the last label of the one before, each key with all its versions."""
    found: list[str] = []
    while page := labels(store, KeyFilter(after=found[-1] if found else "", limit=5)):
        found += page
    assert found == sorted(LABELS)
    with store.read() as connection:
        assert list_keys(connection, KeyFilter(limit=1000)) == list_keys(connection)


def test_what_is_counted(store: Store) -> None:
    """Without a look at versions and grants."""
    with store.read() as connection:
        assert has_keys(connection)
        assert count_keys(connection) == len(LABELS)
        assert key_types(connection) == {label: TYPES[number % 2] for number, label in enumerate(LABELS)}
        assert key_labels(connection) == {bytes([number]) * 16: label for number, label in enumerate(LABELS)}
        assert list_planned_keys(connection, MANY_USES) == ()


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT id FROM keys WHERE label >= 'web' AND label < 'web~' AND label GLOB 'web*1'", "label>? AND label<?"),
        (PLANNED, "ix_keys_rotate_every_s"),
        (PLANNED, "ix_keys_rotate_after_uses"),
        (PLANNED, "ix_key_versions_destroy_at_s"),
        (f"{BY_TAG} AND key_tags.value = 'prod' AND key_tags.key > 'b'", "ix_key_tags_name_value_key"),
        (f"{BY_TAG} AND key_tags.key > 'b'", "ix_key_tags_name_key"),
    ],
)
def test_index_is_used(store: Store, statement: str, index: str) -> None:
    """A million keys are not looked at for a few."""
    with store.read() as connection:
        plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {statement}")).all()
    assert any(index in step.detail for step in plan), plan


def plan_of(connection: sa.Connection, statement: str) -> list[str]:
    """How a statement with a limit is done."""
    assert "LIMIT" in statement
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("",) * statement.count("?")).all()
    return [step.detail for step in plan]


def test_unused_keys_come_in_their_order(store: Store) -> None:
    """Read off an index that has all of it."""
    with store.read() as connection:
        asked: list[str] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *call: asked.append(str(call[2])))
        list_keys(connection, KeyFilter(after="a", limit=1000, unused_since_s=5))
        (step,) = plan_of(connection, asked[0])
    assert step.startswith("SEARCH keys USING COVERING INDEX ix_keys_label_uses"), step


@pytest.mark.parametrize("ask", [list_planned_keys, list_encrypting_keys])
def test_keys_used_often_are_not_searched_for(store: Store, ask: Callable[[sa.Connection, int], object]) -> None:
    """Those that reach the bound of AEAD, and those for which anything is planned, are read off indexes."""
    with store.read() as connection:
        asked: list[tuple[str, tuple[object, ...]]] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *call: asked.append((str(call[2]), call[3])))
        ask(connection, MANY_USES + 1)
        statement, values = asked[0]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    steps = [step.detail for step in plan]
    assert any("ix_key_uses_many" in step for step in steps), steps
    assert not any(step.startswith("SCAN") and "INDEX" not in step for step in steps), steps


@pytest.mark.parametrize("tags", [("env=prod",), ("env",), ("env=prod", "team=a")])
def test_tagged_keys_come_in_their_order(store: Store, tags: tuple[str, ...]) -> None:
    """Read off the index of the first tag: no sorting of a million keys for a page of a thousand."""
    only = KeyFilter(state=KeyState.ACTIVE, key_type=KeyType.ED25519, after="a", limit=1000, tags=tags)
    with store.read() as connection:
        asked: list[str] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *call: asked.append(str(call[2])))
        list_keys(connection, only)
        steps = plan_of(connection, next(text for text in asked if text.startswith("SELECT keys.id")))
    assert steps[0].startswith("SEARCH key_tags USING COVERING INDEX ix_key_tags_name"), steps
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in steps), steps


def test_a_list_walks_along_the_rarest_tag(store: Store) -> None:
    """Whichever of them is given first."""
    with store.read() as connection:
        for asked in (["env", "team=a", "n=3"], ["n=3", "env", "team=a", "env"]):
            assert by_rarity(connection, asked) == ["n=3", "team=a", "env"]


def test_tags_of_a_few(store: Store) -> None:
    """By label; nothing of those that have none."""
    with store.read() as connection:
        assert tags_of(connection, ["A", "a", "nobody"]) == {
            "A": {"env": "prod", "n": "1"},
            "a": {"team": "a"},
        }


def test_alias_finds_its_key(store: Store) -> None:
    """Where a key is asked for by name; moved, it finds the other one; a list shows it with its key."""
    with store.write() as connection:
        set_alias(connection, "current", get_key(connection, "web-1").row_id, 5)
        assert get_key(connection, "current") == get_key(connection, "web-1")
        set_alias(connection, "current", get_key(connection, "web-2").row_id, 6)
        assert get_key(connection, "current").label == "web-2"
        assert [key.aliases for key in list_keys(connection, KeyFilter("web-?"))] == [(), ("current",)]
        delete_alias(connection, "current")
        with pytest.raises(NotFoundError, match="no key 'current'"):
            get_key(connection, "current")


def test_store_without_keys(tmp_path: Path) -> None:
    """Nothing is nothing."""
    with Store(tmp_path / "keystore.db") as empty, empty.read() as connection:
        assert (has_keys(connection), count_keys(connection), key_labels(connection)) == (False, 0, {})
        assert list_keys(connection, KeyFilter("*", limit=5)) == ()

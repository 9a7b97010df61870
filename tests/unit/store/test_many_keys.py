# SPDX-License-Identifier: Apache-2.0
"""Lists of keys: only those that are asked for, in pages, and without a look at all the others."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.store.keys import (
    KeyFilter,
    count_keys,
    get_key,
    has_keys,
    insert_first_version,
    insert_version,
    key_labels,
    key_types,
    list_keys,
    list_planned_keys,
    set_state,
)
from vmm_keystore.store.store import Store

LABELS = ("a", "A", "a.b", "ab", "abc", "b", "web-1", "web-10", "web-2", "web_1", "WEB-1", "z9")
PLANNED = (
    "SELECT id FROM keys WHERE rotate_every_s >= 0 OR id IN (SELECT key FROM key_versions WHERE destroy_at_s >= 0)"
)
TYPES = (KeyType.AES_256, KeyType.ED25519)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Keys of two types; every third one has two versions, the first of them deactivated."""
    with Store(tmp_path_factory.mktemp("store") / "keystore.db") as opened:
        with opened.write() as connection:
            assert not has_keys(connection)
            for number, label in enumerate(LABELS):
                key_id, key_type = bytes([number]) * 16, TYPES[number % 2]
                state = KeyState.ACTIVE if number % 4 else KeyState.PRE_ACTIVATION
                insert_first_version(
                    connection, key_id, label, key_type, state=state, sealed=b"s", public_der=b"", now_s=1
                )
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


@given(
    only=st.builds(
        KeyFilter,
        pattern=st.text("abWEeb-_.109*?", max_size=6),
        key_type=st.sampled_from([None, *TYPES]),
        state=st.sampled_from([None, KeyState.ACTIVE, KeyState.PRE_ACTIVATION, KeyState.DEACTIVATED]),
        after=st.sampled_from(["", *LABELS, "m"]),
        limit=st.sampled_from([None, 1, 3, 1000]),
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
        assert list_planned_keys(connection) == ()


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT id FROM keys WHERE label >= 'web' AND label < 'web~' AND label GLOB 'web*1'", "label>? AND label<?"),
        (PLANNED, "ix_keys_rotate_every_s"),
        (PLANNED, "ix_key_versions_destroy_at_s"),
    ],
)
def test_index_is_used(store: Store, statement: str, index: str) -> None:
    """A million keys are not looked at for a few."""
    with store.read() as connection:
        plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {statement}")).all()
    assert any(index in step.detail for step in plan), plan


def test_store_without_keys(tmp_path: Path) -> None:
    """Nothing is nothing."""
    with Store(tmp_path / "keystore.db") as empty, empty.read() as connection:
        assert (has_keys(connection), count_keys(connection), key_labels(connection)) == (False, 0, {})
        assert list_keys(connection, KeyFilter("*", limit=5)) == ()

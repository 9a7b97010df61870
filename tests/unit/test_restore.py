# SPDX-License-Identifier: Apache-2.0
"""Restoring without a daemon: what hostile, cut and old files become."""

import hashlib
import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from vmm_keystore.errors import BackupError
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Op
from vmm_keystore.restore import Restored, restore
from vmm_keystore.store import grants, guests, key_uses, keys, sqlite
from vmm_keystore.store.backup import BackupHead, copied_database
from vmm_keystore.store.schema import migrate
from vmm_keystore.store.store import Store

HINT = "use another backup"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A backup with a guest and a key."""
    path = tmp_path / "keystore.db"
    with Store(path) as store:
        with store.write() as connection:
            guests.insert_guest(connection, "vm1", "/run/vm1.sock", None, 1)
            row = keys.insert_key(connection, bytes(16), "web", KeyType.AES_256, 1)
            keys.insert_version(connection, row, 1, state=KeyState.ACTIVE, sealed=b"S" * 90, public_der=b"", now_s=1)
        with copied_database(path, tmp_path, store.schema, 1_790_000_000) as (head, content):
            (tmp_path / "good").write_bytes(head.encode() + content.read())
    return tmp_path / "good"


def try_restore(backup: Path, folder: Path) -> Restored:
    """Into *folder*."""
    return restore(backup, folder, lambda _done, _all: None)


def refused(backup: Path, folder: Path) -> BackupError:
    """The error; nothing may have come of the folder."""
    with pytest.raises(BackupError) as caught:
        try_restore(backup, folder)
    assert not folder.exists()
    assert caught.value.message.isprintable()
    return caught.value


def with_database(backup: Path, database: Path) -> Path:
    """A backup of another database, with the hash that it has."""
    body = database.read_bytes()
    head = BackupHead("r0012", 1, len(body), hashlib.sha256(body).hexdigest())
    backup.write_bytes(head.encode() + body)
    return backup


def changed(good: Path, statements: Sequence[str]) -> Path:
    """A backup of what the statements make of the database."""
    database = good.with_name("changed.db")
    database.write_bytes(good.read_bytes().partition(b"\n")[2])
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return with_database(good.with_name("bad"), database)


def test_every_cut_is_found(good: Path, tmp_path: Path) -> None:
    """Wherever a copy broke off: in the first line, behind it, at and around page boundaries, before the last byte."""
    content = good.read_bytes()
    first = content.index(b"\n") + 1
    bad = tmp_path / "bad"
    for size in {0, 1, first - 1, first, first + 1, *range(first + 4096, len(content), 16384), len(content) - 1}:
        bad.write_bytes(content[:size])
        expected = "it is no backup of vmm-keystore" if size < first else f"it is cut off: {len(content) - size} of"
        assert refused(bad, tmp_path / "state").message.startswith(expected), size


def test_every_flipped_bit_is_found(good: Path, tmp_path: Path) -> None:
    """In the first line too, as far as it says anything: what is restored is what was backed up."""
    content = good.read_bytes()
    first = content.index(b"\n") + 1
    bad = tmp_path / "bad"
    for at in [*range(first, len(content), 9973), len(content) - 1]:
        bad.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        error = refused(bad, tmp_path / "state")
        assert (error.message, error.hint) == (
            "it is damaged: its bytes have another SHA-256 than its first line says",
            HINT,
        )


VALUES: dict[str, tuple[str, str]] = {
    "state": ("UPDATE key_versions SET state = 'zzz'", "a key or guest in it has a value that no store writes"),
    "type": ("UPDATE keys SET key_type = 'zzz'", "a key or guest in it has a value that no store writes"),
    "no current version": ("UPDATE keys SET current_version = 9", "a key or guest in it has a value"),
    "blob as label": ("UPDATE keys SET label = x'ff00'", "keys.label holds blob, not text"),
    "text as time": ("UPDATE keys SET created_s = 'soon'", "keys.created_s holds text, not integer"),
    "text as lease": ("UPDATE key_versions SET next_lease = 'x'", "key_versions.next_lease holds text, not integer"),
    "fraction": ("UPDATE keys SET created_s = 1.5", "keys.created_s holds real, not integer"),
    "escape in a label": (
        "UPDATE keys SET label = char(27) || '[31m'",
        r"\x1b[31m is no name of a guest, role or key",
    ),
    "line end in a name": ("UPDATE guests SET name = 'a' || char(10)", r"a\n is no name of a guest, role or key"),
    "no UTF-8": ("UPDATE keys SET label = CAST(x'1bff' AS TEXT)", "its database is not usable"),
    "socket": ("UPDATE guests SET socket = '../vm1.sock'", "a guest's socket has no absolute path"),
    "audit line": ("INSERT INTO pending_audit (line) VALUES ('[]')", "an audit line that waits in it is none"),
    "audit line that is no JSON": ("INSERT INTO pending_audit (line) VALUES ('{')", "an audit line that waits in it"),
    "note": ("INSERT INTO meta VALUES ('lost-leases', '[1]')", "its note of key versions from an earlier backup"),
    "note that is no JSON": ("INSERT INTO meta VALUES ('lost-leases', 'x')", "its note of key versions"),
    "audit key": ("INSERT INTO meta VALUES ('audit-key', '{}')", "its audit key is damaged"),
    "audit key of another size": (
        """INSERT INTO meta VALUES ('retired-audit-key', '{"public": "AAAA", "sealed": "AAAA"}')""",
        "its audit key is damaged",
    ),
    "alias that is a label": (
        "INSERT INTO key_aliases SELECT label, id, 1 FROM keys",
        "an alias in it is a key's label",
    ),
    "alias with an escape": (
        "INSERT INTO key_aliases SELECT char(27) || 'c', id, 1 FROM keys",
        r"\x1bc is no name of a guest, role or key",
    ),
    "tag with an escape": (
        "INSERT INTO key_tags SELECT label, 'a', char(27) || 'c' FROM keys",
        "a key in it has tags that no key can have",
    ),
    "too many tags": (
        "INSERT INTO key_tags WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 33) SELECT 'web', i, 1 FROM n",
        "a key in it has tags that no key can have",
    ),
    "use of no operation": (
        "INSERT INTO key_uses SELECT id, 1, 'zzz', 1, 1 FROM keys",
        "a key or guest in it has a value that no store writes",
    ),
    "certificate that is none": (
        "INSERT INTO key_certificates SELECT id, 'x', 'x', '', '', 1, 2, '', 1 FROM key_versions",
        "a certificate chain in it is none",
    ),
    "no revision": ("DELETE FROM alembic_version", "its database is not usable"),
    "two revisions": ("INSERT INTO alembic_version VALUES ('r0001')", "its database is not usable"),
    "trigger named by an escape": (
        'CREATE TRIGGER "\x1b[31m" AFTER INSERT ON pending_audit BEGIN DELETE FROM keys; END',
        r"\x1b[31m is not what it should be",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_no_store_writes(good: Path, tmp_path: Path, case: str) -> None:
    """One clear line, without a byte of the file that a terminal would act on, and no folder."""
    statement, message = VALUES[case]
    error = refused(changed(good, [statement]), tmp_path / "state")
    assert message in error.message
    assert error.hint == HINT


def test_index_that_contradicts_its_table(good: Path, tmp_path: Path) -> None:
    """A look-up by label would find another key than the list shows."""
    database = tmp_path / "changed.db"
    database.write_bytes(good.read_bytes().partition(b"\n")[2])
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'guests' AND type = 'index' AND name LIKE '%1'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    body = bytearray(database.read_bytes())
    at = body.index(b"vm1", (page - 1) * size, page * size)
    body[at : at + 3] = b"vm2"
    database.write_bytes(body)
    error = refused(with_database(tmp_path / "bad", database), tmp_path / "state")
    assert error.message == "its database is not that of a store: its pages and indices contradict each other"


def test_older_schema_is_migrated(tmp_path: Path) -> None:
    """A backup of an older version is restored as this version would have opened that store."""
    path = tmp_path / "old.db"
    engine = sqlite.open_engine(path)
    with engine.connect().execution_options(**{sqlite.WRITE_OPTION: True}) as connection, connection.begin():
        sqlite.mark(connection)
        migrate(connection, path, "r0001")
        for statement in (
            "INSERT INTO guests VALUES (3, 'vm1', '/run/vm1.sock', NULL, 101)",
            "INSERT INTO keys VALUES (5, x'000102030405060708090a0b0c0d0e0f', 'web', 'aes-256', 1, 100)",
            "INSERT INTO key_versions VALUES (6, 5, 1, 'active', x'5345', NULL, 9, 100, 100)",
            "INSERT INTO grants VALUES (7, 3, 5, 16, 2, 0, 0, 0, 103)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    with copied_database(path, tmp_path, "r0001", 1) as (head, content):
        (tmp_path / "backup").write_bytes(head.encode() + content.read())
    restored = try_restore(tmp_path / "backup", tmp_path / "state")
    assert (restored.keys, restored.guests, restored.to_rotate) == (1, 1, ("web",))
    with Store(tmp_path / "state" / "keystore.db") as store, store.read() as connection:
        assert store.schema == "r0012"
        assert keys.get_key(connection, "web").state == KeyState.DEACTIVATED
        assert len(grants.list_grants(connection)) == 1


def test_names_and_uses_come_back(good: Path, tmp_path: Path) -> None:
    """Tags, aliases and the last uses; that there may have been later ones is not forgotten."""
    backup = changed(
        good,
        [
            "INSERT INTO key_tags VALUES ('web', 'env', 'prod')",
            "INSERT INTO key_aliases SELECT 'now', id, 7 FROM keys",
            "INSERT INTO key_uses SELECT id, 1, 'encrypt', 9, 3 FROM keys",
            """INSERT INTO meta VALUES ('key-uses', '{"seq": 5, "since_s": 0}')""",
        ],
    )
    try_restore(backup, tmp_path / "state")
    with Store(tmp_path / "state" / "keystore.db") as store, store.read() as connection:
        key = keys.get_key(connection, "now")
        assert (key.label, key.tags, key.aliases) == ("web", {"env": "prod"}, ("now",))
        assert key.uses == {1: (key_uses.UseRow(Op.ENCRYPT, 9, 3),)}
        assert key_uses.find_standing(connection) is None


def test_trigger_in_an_older_schema(tmp_path: Path) -> None:
    """It is found although it lay there while the schema was brought up to date."""
    path = tmp_path / "old.db"
    engine = sqlite.open_engine(path)
    with engine.connect().execution_options(**{sqlite.WRITE_OPTION: True}) as connection, connection.begin():
        sqlite.mark(connection)
        migrate(connection, path, "r0001")
        connection.exec_driver_sql("CREATE TRIGGER t AFTER UPDATE ON alembic_version BEGIN DELETE FROM keys; END")
    engine.dispose()
    with copied_database(path, tmp_path, "r0001", 1) as (head, content):
        (tmp_path / "backup").write_bytes(head.encode() + content.read())
    assert "t is not what it should be" in refused(tmp_path / "backup", tmp_path / "state").message


def test_first_line_is_read_strictly(good: Path) -> None:
    """The format as it is written down: a reader of its own can be made from the docstring."""
    fields = json.loads(io.BytesIO(good.read_bytes()).readline())
    assert fields.keys() == {"format", "schema", "created_s", "size_bytes", "sha256"}
    assert fields["format"] == "vmm-keystore backup 1"

# SPDX-License-Identifier: Apache-2.0
"""A store that says it has something still has it after any crash, and one that cannot says so and changes nothing."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from vmm_keystore._vks import lib
from vmm_keystore.errors import (
    DaemonError,
    NonceLeasesUsedUpError,
    StoreAccessError,
    StoreBusyError,
    StoreDamagedError,
    StoreFullError,
    StoreNewerError,
    StoreReadOnlyError,
)
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.store import grants, guests, key_list, key_uses, keys, own_keys, pending, roles, sqlite
from vmm_keystore.store.schema import migrate
from vmm_keystore.store.state_dir import StateDir
from vmm_keystore.store.store import Store
from vmm_keystore.store.tables import key_versions, metadata

SEALED = b"sealed blob that must be gone " * 8
KEY_ID = bytes(range(16))
GRANT = Permission(op_mask=0x10, mechanism_mask=0x2, uids=(7, 3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystore.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


def add_key(store: Store, label: str = "web", key_id: bytes = KEY_ID, key_type: KeyType = KeyType.AES_256) -> None:
    with store.write() as connection:
        row = keys.insert_key(connection, key_id, label, key_type, 100)
        keys.insert_version(connection, row, 1, state=KeyState.ACTIVE, sealed=SEALED, public_der=b"", now_s=100)


def add_granted_key(store: Store) -> None:
    add_key(store)
    with store.write() as connection:
        guests.insert_guest(connection, "vm1", "/run/vm1.sock", 1000, 101)
        key = keys.get_key(connection, "web")
        grants.insert_grant(connection, grants.get_holder(connection, "vm1"), key.row_id, GRANT, 102)


def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    """Every field comes back as it went in."""
    with Store(path) as store:
        add_granted_key(store)
    with Store(path) as store, store.read() as connection:
        assert guests.list_guests(connection) == (guests.GuestRow(1, "vm1", "/run/vm1.sock", 1000, 101, 1),)
        key = keys.get_key(connection, "web")
        assert (key.key_id, key.key_type, key.state, key.guests) == (
            KEY_ID,
            KeyType.AES_256,
            KeyState.ACTIVE,
            ("vm1",),
        )
        (version,) = grants.sealed_versions(connection, "vm1", {(KEY_ID, 1)})
        assert version.sealed == SEALED
        (permitted,) = grants.permitted_keys(connection, "vm1")
        assert permitted.permission == Permission(op_mask=0x10, mechanism_mask=0x2, uids=(3, 7))
        assert grants.find_grant(connection, "vm1", "web") == grants.GrantRow(
            1, "vm1", None, "web", Permission(op_mask=0x10, mechanism_mask=0x2, uids=(3, 7)), 102, 0, 0
        )


def test_last_orders_of_each_ring(store: Store) -> None:
    """One for each; the next one takes its place, and only that of its own ring."""
    assert own_keys.QUEUE_SHIFT == lib.VKS_STATE_SEQUENCE_SHIFT
    with store.write() as connection:
        guests.insert_guest(connection, "vm1", "/run/vm1.sock", None, 101)
        (row,) = guests.guest_rows(connection, ["vm1"])
        orders = [own_keys.OrderRow(lib.vks_state_sequence(queue, 6), bytes(16), queue) for queue in range(3)]
        for order in orders:
            own_keys.note_order(connection, row, order)
        later = own_keys.OrderRow(lib.vks_state_sequence(1, 7), bytes(16), 9)
        own_keys.note_order(connection, row, later)
        found = [own_keys.find_order(connection, "vm1", order.request_sequence) for order in (*orders, later)]
        assert found == [orders[0], None, orders[2], later]
        own_keys.forget_orders(connection, "vm1")
        assert not own_keys.has_orders(connection, "vm1")


def test_migrations_make_the_tables(store: Store) -> None:
    """The schema the migrations build is the one the code believes in."""
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("released", [f"r{number:04}" for number in range(1, 12)])
def test_store_of_a_released_schema_keeps_everything(path: Path, released: str) -> None:
    """What a store of every released schema holds is there, whole, in this one; and it is migrated once."""
    engine = sqlite.open_engine(path)
    with engine.connect().execution_options(**{sqlite.WRITE_OPTION: True}) as connection, connection.begin():
        sqlite.mark(connection)
        migrate(connection, path, "r0001")
        for statement in (
            "INSERT INTO guests VALUES (3, 'vm1', '/run/vm1.sock', 1000, 101), (4, 'vm2', '/run/vm2.sock', NULL, 102)",
            "INSERT INTO keys VALUES (5, x'000102030405060708090a0b0c0d0e0f', 'web', 'aes-256', 1, 100)",
            "INSERT INTO key_versions VALUES (6, 5, 1, 'active', x'5345', NULL, 9, 100, 100)",
            "INSERT INTO grants VALUES (7, 3, 5, 16, 2, 64, 10, 20, 103), (8, 4, 5, 16, 2, 0, 0, 0, 104)",
            "INSERT INTO grant_uids VALUES (7, 3), (7, 9)",
            "INSERT INTO pending_audit VALUES (41, '{}')",
        ):
            connection.exec_driver_sql(statement)
        migrate(connection, path, released)
        if released == "r0011":
            connection.exec_driver_sql("INSERT INTO guest_orders VALUES (3, 8, x'0001', 2), (4, 9, x'0002', 0)")
    engine.dispose()
    bounds = Permission(16, 2, not_before_s=10, not_after_s=20, input_bytes_max=64, uids=(3, 9))
    for _ in range(2):
        with Store(path) as store, store.read() as connection:
            assert store.schema == "r0012"
            assert grants.list_grants(connection) == (
                grants.GrantRow(7, "vm1", None, "web", bounds, 103, 0, 0),
                grants.GrantRow(8, "vm2", None, "web", Permission(16, 2), 104, 0, 0),
            )
            (permitted,) = grants.permitted_keys(connection, "vm1")
            assert permitted.permission == bounds
            (version,) = grants.sealed_versions(connection, "vm1", {(permitted.key_id, permitted.version)})
            assert version.sealed == b"SE"
            key = keys.get_key(connection, "web")
            assert (key.guests, key.tags, key.aliases) == (("vm1", "vm2"), {}, ())
            assert [row.grant_count for row in guests.list_guests(connection)] == [1, 1]
            assert pending.list_pending(connection) == ((41, "{}"),)
            orders = [own_keys.find_order(connection, guest, number) for guest, number in (("vm1", 8), ("vm2", 9))]
            assert orders == (
                [own_keys.OrderRow(8, b"\0\1", 2), own_keys.OrderRow(9, b"\0\2", 0)]
                if released == "r0011"
                else [None, None]
            )
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_durability_settings_are_in_force(store: Store) -> None:
    """WAL, synchronous=FULL, foreign keys and overwriting of deleted content, on every connection."""
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    for access in (store.read, store.write):
        with access() as connection:
            assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas} == pragmas


def test_file_is_ours_alone(store: Store, path: Path) -> None:
    """The database and its log are readable by their owner only."""
    add_key(store)
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_failed_block_leaves_nothing(store: Store) -> None:
    """A block that raises is undone as a whole."""
    with pytest.raises(RuntimeError), store.write() as connection:  # noqa: PT012
        keys.insert_key(connection, KEY_ID, "half", KeyType.AES_128, 1)
        raise RuntimeError
    with store.read() as connection:
        assert key_list.list_keys(connection) == ()


def test_reads_do_not_wait_for_the_writer(store: Store) -> None:
    """A reader sees the last committed state while a writer is at work."""
    add_key(store)
    with store.write() as writer:
        keys.insert_key(writer, bytes(16), "new", KeyType.AES_128, 1)
        with store.read() as reader:
            assert [key.label for key in key_list.list_keys(reader)] == ["web"]


def test_lease_survives_sigkill(path: Path) -> None:
    """A lease that was taken is never given again, whatever happens to the process that took it."""
    with Store(path) as store:
        add_key(store)
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from vmm_keystore.store.store import Store; from vmm_keystore.store import keys\n"
        "store = Store(Path(sys.argv[1]))\n"
        "with store.write() as connection: lease = keys.take_nonce_lease(connection, 1)\n"
        "print(lease, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    leases = []
    for _ in range(3):
        child = subprocess.run([sys.executable, "-P", "-c", script, path], capture_output=True, text=True, check=False)
        assert child.returncode == -signal.SIGKILL, child.stderr
        leases.append(int(child.stdout))
    assert leases == [1, 2, 3]


def test_leases_end(store: Store) -> None:
    """The 2^32nd lease is refused, not wrapped around to a used one."""
    add_key(store)
    with store.write() as connection:
        connection.execute(key_versions.update().values(next_lease=keys.LEASE_MAX))
    with store.write() as connection:
        assert keys.take_nonce_lease(connection, 1) == keys.LEASE_MAX
    with pytest.raises(NonceLeasesUsedUpError), store.write() as connection:
        keys.take_nonce_lease(connection, 1)


def test_leases_of_racing_threads_differ(store: Store) -> None:
    """Two loads at the same time never get the same lease."""
    add_key(store)
    leases: list[int] = []

    def take() -> None:
        for _ in range(10):
            with store.write() as connection:
                leases.append(keys.take_nonce_lease(connection, 1))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(leases) == list(range(1, 41))


def test_destroyed_blob_is_gone_from_the_files(store: Store, path: Path) -> None:
    """Not a copy of a destroyed key's sealed blob stays behind in the database or its log."""
    add_key(store)

    def files() -> bytes:
        return b"".join(file.read_bytes() for file in path.parent.iterdir())

    assert SEALED in files()
    with store.write() as connection:
        keys.set_state(connection, keys.get_key(connection, "web"), 1, KeyState.DESTROYED, 200)
    store.scrub()
    assert SEALED[:30] not in files()


def test_removing_a_guest_removes_its_grants(store: Store) -> None:
    """No grant outlives its guest; the key stays."""
    add_granted_key(store)
    with store.write() as connection:
        assert guests.delete_guest(connection, "vm1").grant_count == 1
    with store.read() as connection:
        assert grants.list_grants(connection) == ()
        assert keys.get_key(connection, "web").guests == ()
        assert connection.exec_driver_sql("SELECT count(*) FROM grant_uids").scalar() == 0


def test_destroyed_versions_are_not_permitted(store: Store) -> None:
    """A guest is never shown a destroyed version."""
    add_granted_key(store)
    with store.write() as connection:
        keys.set_state(connection, keys.get_key(connection, "web"), 1, KeyState.DESTROYED, 200)
    with store.read() as connection:
        assert grants.permitted_keys(connection, "vm1") == ()
        assert grants.sealed_versions(connection, "vm1", {(KEY_ID, 1)}) == ()


def test_numbers_of_changes_are_never_reused(store: Store) -> None:
    """The audit log tells a line written twice by the number of its change."""
    with store.write() as connection:
        first = pending.insert_pending(connection, "a")
        pending.delete_pending(connection, first)
        second = pending.insert_pending(connection, "b")
        assert second > first
        assert pending.list_pending(connection) == ((second, "b"),)


# What goes wrong with files.


def test_full_disk_is_said_and_changes_nothing(store: Store) -> None:
    """SQLITE_FULL: one error with a hint, the store goes on with what it had."""
    add_key(store)
    with pytest.raises(StoreFullError, match="no space left") as caught, store.write() as connection:  # noqa: PT012
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        row = keys.insert_key(connection, bytes(16), "big", KeyType.AES_128, 1)
        for version in range(1, 100):
            keys.insert_version(
                connection, row, version, state=KeyState.ACTIVE, sealed=bytes(8192), public_der=b"", now_s=1
            )
    assert caught.value.hint
    with store.read() as connection:
        assert [key.label for key in key_list.list_keys(connection)] == ["web"]
        assert connection.exec_driver_sql("PRAGMA quick_check").scalar() == "ok"


@pytest.mark.parametrize("damage", ["garbage", "truncated", "scribbled"])
def test_damaged_file_is_refused(path: Path, damage: str) -> None:
    """A file that is no whole database of ours is never opened for writing."""
    with Store(path) as store:
        add_granted_key(store)
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content[:] = b"not a database" * 1000
    elif damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[4096 : len(content)] = bytes(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="damaged") as caught:
        Store(path)
    assert "backup" in caught.value.hint
    assert path.read_bytes() == content


def test_database_of_another_program_is_refused(path: Path) -> None:
    """A SQLite file that somebody else made stays as it is."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    path.chmod(0o600)
    with pytest.raises(StoreDamagedError, match="another program"):
        Store(path)


def test_newer_schema_is_refused_untouched(path: Path) -> None:
    """A store written by a newer version is not downgraded or half-read."""
    with Store(path) as store, store.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'r9999'"))
    with pytest.raises(StoreNewerError, match="r9999") as caught:
        Store(path)
    assert caught.value.hint
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("r9999",)
    raw.close()


def test_readable_by_others_is_refused(path: Path) -> None:
    """Sealed or not, the blobs are nobody else's business."""
    Store(path).close()
    path.chmod(0o640)
    with pytest.raises(StoreAccessError, match="others may read") as caught:
        Store(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_write_held_by_another_process(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that never goes away ends in an error, not in waiting for ever."""
    monkeypatch.setattr("vmm_keystore.store.sqlite.BUSY_TIMEOUT_S", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusyError), Store(path):
        pass
    other.execute("ROLLBACK")
    other.close()
    add_key(store)


def _open_without_privilege(path: Path) -> str:
    """Open a store in a process that file modes bind, root or not; give the name of the error."""
    script = (
        "import sys; from pathlib import Path; from vmm_keystore.store.store import Store\n"
        "from vmm_keystore.errors import StoreError\n"
        "try: Store(Path(sys.argv[1]))\n"
        "except StoreError as error: print(type(error).__name__, bool(error.hint))\n"
    )
    command = [sys.executable, "-P", "-c", script, str(path)]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        assert setpriv is not None
        command = [setpriv, "--bounding-set=-dac_override,-dac_read_search", *command]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_read_only_and_unreadable_files_are_told_apart(path: Path) -> None:
    """Which right is missing decides the message."""
    with Store(path) as store:
        add_key(store)
    path.chmod(0o400)
    assert _open_without_privilege(path) == f"{StoreReadOnlyError.__name__} True"
    path.chmod(0o000)
    assert _open_without_privilege(path) == f"{StoreAccessError.__name__} True"
    path.chmod(0o600)
    path.parent.chmod(0o500)
    try:
        assert _open_without_privilege(path) in {
            f"{StoreAccessError.__name__} True",
            f"{StoreReadOnlyError.__name__} True",
        }
    finally:
        path.parent.chmod(0o700)


def test_state_dir_is_held_by_one(tmp_path: Path) -> None:
    """A second daemon on the same directory is refused; after the first is gone it may."""
    with StateDir(tmp_path / "state") as first:
        assert first.path.stat().st_mode & 0o777 == 0o700
        with pytest.raises(DaemonError, match="another daemon"):
            StateDir(tmp_path / "state")
    StateDir(tmp_path / "state").close()


def test_state_dir_must_be_ours_alone(tmp_path: Path) -> None:
    """A directory that others may enter, that is a file, or that is someone else's is refused with the way out."""
    tmp_path.chmod(0o755)
    with pytest.raises(StoreAccessError, match="others may enter") as caught:
        StateDir(tmp_path)
    assert caught.value.hint == f"chmod 700 {tmp_path}"
    (tmp_path / "file").touch()
    with pytest.raises(StoreAccessError):
        StateDir(tmp_path / "file")
    if os.geteuid() == 0:
        (tmp_path / "theirs").mkdir(mode=0o700)
        os.chown(tmp_path / "theirs", 12345, 12345)
        with pytest.raises(StoreAccessError, match="belongs to uid 12345"):
            StateDir(tmp_path / "theirs")


def test_blobs_are_for_who_is_granted_them(store: Store) -> None:
    """By a grant or by a role, and to nobody else; of versions that were asked for."""
    add_granted_key(store)
    asked = {(KEY_ID, 1), (KEY_ID, 2), (bytes(16), 1)}
    with store.write() as connection:
        for name in ("other", "member"):
            guests.insert_guest(connection, name, f"/run/{name}.sock", None, 103)
        roles.insert_role(connection, "all", 104)
        roles.add_members(connection, roles.get_role(connection, "all"), guests.guest_rows(connection, ["member"]))
        key = keys.get_key(connection, "web")
        grants.insert_grant(connection, grants.get_holder(connection, "@all"), key.row_id, GRANT, 105)
    with store.read() as connection:
        for name, versions in (("vm1", [1]), ("member", [1]), ("other", []), ("nobody", [])):
            assert [v.version for v in grants.sealed_versions(connection, name, asked)] == versions


def test_keys_used_last(store: Store) -> None:
    """Of those that a guest holds, the latest first, by whomever; never used ones are not among them."""
    add_granted_key(store)
    labels = ["first", "second", "third", "never", "foreign"]
    with store.write() as connection:
        for number, label in enumerate(labels):
            key_id = bytes([number + 50]) * 16
            row = keys.insert_key(connection, key_id, label, KeyType.ED25519, 100)
            if label != "foreign":
                grants.insert_grant(connection, grants.get_holder(connection, "vm1"), row, GRANT, 101)
        for label, used_s in (("first", 10), ("second", 30), ("third", 20), ("foreign", 40)):
            connection.execute(sa.text("UPDATE keys SET last_used_s = :s WHERE label = :l"), {"s": used_s, "l": label})
    with store.read() as connection:
        ids = [key_id[0] - 50 for key_id in key_uses.last_used(connection, "vm1", 10)]
        assert [labels[number] for number in ids] == ["second", "third", "first"]
        assert len(key_uses.last_used(connection, "vm1", 2)) == 2

# SPDX-License-Identifier: Apache-2.0
"""An answered change is durable, in force and on record; a refused one has left nothing behind."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.fakes import FakeDaemon

from vmm_keystore.errors import (
    AlreadyExistsError,
    AuditWriteError,
    CustodianError,
    ImportRefusedError,
    InvalidRequestError,
    KeystoreError,
    NotFoundError,
    StateError,
    StoreFullError,
    WorkerError,
)
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Mechanism, Op, mask
from vmm_keystore.service import changes
from vmm_keystore.service import grants as service_grants
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest
from vmm_keystore.service.guest_values import ApplyOutcome, Guest
from vmm_keystore.store.pending import insert_pending, list_pending

ROOT = Actor(uid=0, pid=99)
VM1 = Guest("vm1", "/run/vm1.sock", 1000)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    opened = FakeDaemon(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def granted(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with guest vm1 that may sign with key web."""
    daemon.keystore.guests.add(ROOT, VM1)
    daemon.keystore.keys.generate(ROOT, "web", KeyType.EC_P256, activate=True)
    daemon.keystore.grants.add(ROOT, GrantRequest("vm1", "web", [Op.SIGN]))
    return daemon


def test_grant_is_in_force_when_answered(granted: FakeDaemon) -> None:
    """The worker has the grant before the admin has the answer (P6), and loses it the same way."""
    (key,) = granted.workers.in_force["vm1"]
    assert (key.label, key.version, key.current, key.state) == ("web", 1, True, KeyState.ACTIVE)
    assert key.permission.op_mask == mask([Op.SIGN])
    removed, applied = granted.keystore.grants.remove(ROOT, "vm1", "web")
    assert granted.workers.in_force["vm1"] == ()
    assert [one.outcome for one in applied] == [ApplyOutcome.ACKNOWLEDGED]
    assert (removed.guest, removed.key) == ("vm1", "web")


def test_every_change_is_on_record(granted: FakeDaemon) -> None:
    """One line a change: who, what, to what, and what became of it in the workers."""
    granted.workers.outcome = ApplyOutcome.WORKER_KILLED
    granted.keystore.keys.move(Actor(1000, 7), "web", KeyState.SUSPENDED, None)
    granted.keystore.guests.remove(ROOT, "vm1")
    lines = granted.admin_lines()
    assert [(line["action"], line["uid"], line["pid"]) for line in lines] == [
        ("guest-add", 0, 99),
        ("key-generate", 0, 99),
        ("grant-add", 0, 99),
        ("key-suspend", 1000, 7),
        ("guest-remove", 0, 99),
    ]
    assert [line["change"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[2]["ops"] == ["sign"]
    assert (lines[3]["version"], lines[3]["applied"]) == (1, {"vm1": "worker-killed"})
    with granted.store.read() as connection:
        assert list_pending(connection) == ()


def test_restart_brings_everything_back(granted: FakeDaemon, tmp_path: Path) -> None:
    """A new daemon over the same directory serves the same guests, keys and grants."""
    before = granted.workers.in_force
    granted.close()
    again = FakeDaemon(tmp_path)
    assert again.workers.in_force == before
    assert again.keystore.status().keys == 1
    again.close()


def test_a_load_has_a_lease_of_its_own(granted: FakeDaemon, tmp_path: Path) -> None:
    """Every load of an AES key gets a new lease, over restarts too; other types spend none."""
    granted.keystore.keys.generate(ROOT, "disk", KeyType.AES_256, activate=True)
    granted.keystore.grants.add(ROOT, GrantRequest("vm1", "disk", [Op.ENCRYPT]))
    leases = [(load.key_type, load.nonce_lease) for load in granted.workers.loads]
    granted.close()
    for _ in range(2):
        again = FakeDaemon(tmp_path)
        leases += [(load.key_type, load.nonce_lease) for load in again.workers.loads]
        again.close()
    assert [lease for key_type, lease in leases if key_type == KeyType.AES_256] == [1, 2, 3]
    assert {lease for key_type, lease in leases if key_type == KeyType.EC_P256} == {0}


def test_leases_are_only_for_what_is_permitted(granted: FakeDaemon) -> None:
    """A worker cannot get blobs of another guest's keys, of unknown guests, or of destroyed versions."""
    key = granted.keystore.keys.show("web")
    keys = granted.workers.guest_keys
    assert len(keys.lease_keys("vm1", [(key.key_id, 1), (key.key_id, 2), (bytes(16), 1)])) == 1
    granted.keystore.keys.rotate(ROOT, "web")
    assert [load.version for load in keys.lease_keys("vm1", [(key.key_id, 2)])] == [2]
    assert keys.lease_keys("vm2", [(key.key_id, 1)]) == ()
    granted.keystore.keys.move(ROOT, "web", KeyState.DESTROYED, None)
    assert keys.lease_keys("vm1", [(key.key_id, 1)]) == ()


def test_rotation(granted: FakeDaemon) -> None:
    """The new version protects, the old one only processes; both are with the guest."""
    key, applied = granted.keystore.keys.rotate(ROOT, "web")
    assert key.current_version == 2
    assert granted.states() == [(1, KeyState.DEACTIVATED, False), (2, KeyState.ACTIVE, True)]
    assert [one.guest for one in applied] == ["vm1"]
    first, second = (granted.keystore.keys.public_pem("web", version) for version in (1, 2))
    assert first != second
    assert second == granted.keystore.keys.public_pem("web", None)


def test_life_cycle(granted: FakeDaemon) -> None:
    """Each move reaches the worker; one the standard does not have changes nothing."""
    move = granted.keystore.keys.move
    move(ROOT, "web", KeyState.SUSPENDED, None)
    assert granted.states() == [(1, KeyState.SUSPENDED, True)]
    move(ROOT, "web", KeyState.ACTIVE, 1)
    move(ROOT, "web", KeyState.DEACTIVATED, None)
    with pytest.raises(StateError, match=r"key 'web' version 1: .* deactivated cannot become active") as caught:
        move(ROOT, "web", KeyState.ACTIVE, None)
    assert "destroyed" in caught.value.hint
    assert granted.states() == [(1, KeyState.DEACTIVATED, True)]
    with pytest.raises(NotFoundError, match="no version 9"):
        move(ROOT, "web", KeyState.DESTROYED, 9)
    move(ROOT, "web", KeyState.COMPROMISED, None)
    move(ROOT, "web", KeyState.DESTROYED, None)
    assert granted.states() == []


def test_destroyed_key_leaves_no_blob(granted: FakeDaemon, tmp_path: Path) -> None:
    """Every version's sealed blob is gone from every file; the label stays taken."""
    granted.keystore.keys.rotate(ROOT, "web")
    key_id = granted.keystore.keys.show("web").key_id

    def on_disk() -> bool:
        return any(b"sealed:" + key_id in f.read_bytes() for f in tmp_path.iterdir() if f.is_file())

    assert on_disk()
    key, _ = granted.keystore.keys.move(ROOT, "web", KeyState.DESTROYED, None)
    assert {version.state for version in key.versions} == {KeyState.DESTROYED}
    assert granted.admin_lines()[-1]["versions"] == [1, 2]
    assert not on_disk()
    with pytest.raises(StateError, match="destroyed already"):
        granted.keystore.keys.move(ROOT, "web", KeyState.DESTROYED, None)
    with pytest.raises(AlreadyExistsError, match="'web'"):
        granted.keystore.keys.generate(ROOT, "web", KeyType.EC_P256, activate=True)
    with pytest.raises(StateError, match="is destroyed"):
        granted.keystore.keys.public_pem("web", None)
    granted.keystore.grants.remove(ROOT, "vm1", "web")
    with pytest.raises(StateError, match="is destroyed"):
        granted.keystore.grants.add(ROOT, GrantRequest("vm1", "web", [Op.SIGN]))


def test_pre_activation(daemon: FakeDaemon) -> None:
    """A key that was not activated waits; rotating it makes no sense."""
    key = daemon.keystore.keys.generate(ROOT, "later", KeyType.AES_128, activate=False)
    assert key.state == KeyState.PRE_ACTIVATION
    with pytest.raises(StateError, match="never active"):
        daemon.keystore.keys.rotate(ROOT, "later")
    assert daemon.keystore.keys.move(ROOT, "later", KeyState.ACTIVE, None)[0].state == KeyState.ACTIVE


def test_import(daemon: FakeDaemon) -> None:
    """An import is of the type the custodian found; a wrong expectation or a used offer leaves nothing."""
    offer = daemon.keystore.keys.offer_import()
    key = daemon.keystore.keys.import_key(ROOT, "in", offer.offer_id, b"rsa-2048", None, activate=True)
    assert key.key_type == KeyType.RSA_2048
    with pytest.raises(ImportRefusedError):
        daemon.keystore.keys.import_key(ROOT, "in2", offer.offer_id, b"rsa-2048", None, activate=True)
    offer = daemon.keystore.keys.offer_import()
    with pytest.raises(InvalidRequestError, match="of type rsa-2048, not ed25519"):
        daemon.keystore.keys.import_key(ROOT, "in2", offer.offer_id, b"rsa-2048", KeyType.ED25519, activate=True)
    assert [key.label for key in daemon.keystore.keys.list()] == ["in"]


def test_public_key_of_symmetric_key(daemon: FakeDaemon) -> None:
    """There is none, and it is said."""
    daemon.keystore.keys.generate(ROOT, "mac", KeyType.HMAC_SHA256, activate=True)
    with pytest.raises(InvalidRequestError, match="symmetric"):
        daemon.keystore.keys.public_pem("mac", None)


def test_custodian_failure_leaves_nothing(daemon: FakeDaemon) -> None:
    """No row without a sealed blob."""
    daemon.custodian.broken = True
    with pytest.raises(CustodianError):
        daemon.keystore.keys.generate(ROOT, "web", KeyType.EC_P256, activate=True)
    assert daemon.keystore.keys.list() == ()
    assert isinstance(daemon.keystore.status().custodian, CustodianError)


@pytest.mark.parametrize(
    ("guest", "error", "message"),
    [
        (Guest("vm1", "/run/other.sock"), AlreadyExistsError, "there is a guest 'vm1' already"),
        (Guest("vm2", "/run/vm1.sock"), AlreadyExistsError, "belongs to guest 'vm1'"),
        (Guest("vm2", "relative.sock"), InvalidRequestError, "absolute"),
        (Guest("vm2", "/run/../run/vm1.sock"), InvalidRequestError, "absolute"),
        (Guest("vm2", "/run/" + "ü" * 60), InvalidRequestError, "107 bytes"),
    ],
)
def test_guest_that_cannot_be(granted: FakeDaemon, guest: Guest, error: type[Exception], message: str) -> None:
    """Names and sockets belong to one guest each; a path must fit a socket."""
    with pytest.raises(error, match=message):
        granted.keystore.guests.add(ROOT, guest)
    assert list(granted.workers.sockets) == ["vm1"]
    assert [view.guest.name for view in granted.keystore.guests.list()] == ["vm1"]


def test_guest_whose_socket_fails_is_not_stored(daemon: FakeDaemon) -> None:
    """What cannot be served is not remembered."""
    daemon.workers.refuse_add = WorkerError("cannot listen on /run/vm1.sock: permission denied")
    with pytest.raises(WorkerError, match="permission denied"):
        daemon.keystore.guests.add(ROOT, VM1)
    assert daemon.keystore.guests.list() == ()
    (refused,) = daemon.admin_lines()
    assert (refused["action"], refused["guest"], refused["uid"]) == ("guest-add", "vm1", ROOT.uid)
    assert (refused["status"], refused["reason"]) == (
        "worker-failed",
        "cannot listen on /run/vm1.sock: permission denied",
    )


def test_guest_that_cannot_be_stored_is_not_served(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes the socket away again."""

    def full(*_: object) -> int:
        raise StoreFullError("no space left")

    monkeypatch.setattr(changes, "insert_pending", full)
    with pytest.raises(StoreFullError):
        daemon.keystore.guests.add(ROOT, VM1)
    assert daemon.workers.sockets == {}
    assert daemon.keystore.guests.list() == ()


def test_guest_removal(granted: FakeDaemon) -> None:
    """Its grants go with it, its worker is gone when the answer comes, its name is free again."""
    assert granted.keystore.guests.remove(ROOT, "vm1") == (1, 0)
    assert granted.workers.sockets == {}
    assert granted.keystore.grants.list() == ()
    with pytest.raises(NotFoundError, match="no guest 'vm1'"):
        granted.keystore.guests.remove(ROOT, "vm1")
    granted.keystore.guests.add(ROOT, VM1)
    assert granted.workers.in_force["vm1"] == ()


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (GrantRequest("vm9", "web", [Op.SIGN]), NotFoundError, "no guest 'vm9'"),
        (GrantRequest("vm1", "nope", [Op.SIGN]), NotFoundError, "no key 'nope'"),
        (GrantRequest("vm1", "web", [Op.SIGN]), AlreadyExistsError, "has a grant"),
        (GrantRequest("vm1", "web", [Op.ENCRYPT]), InvalidRequestError, "cannot encrypt"),
        (GrantRequest("vm1", "web", [Op.SIGN], [Mechanism.AES_GCM]), InvalidRequestError, "no mechanism"),
    ],
)
def test_grant_that_cannot_be(
    granted: FakeDaemon, request_: GrantRequest, error: type[KeystoreError], message: str
) -> None:
    """Refused with the cause; what was granted before stays."""
    before = granted.workers.in_force["vm1"]
    with pytest.raises(error, match=message):
        granted.keystore.grants.add(ROOT, request_)
    assert granted.workers.guest_keys.permitted_keys("vm1") == before
    *_, refused = granted.admin_lines()
    assert (refused["action"], refused["guest"], refused["key"]) == ("grant-add", request_.guest, request_.key)
    assert refused["status"] == error.code
    assert message in refused["reason"]
    assert "change" not in refused


def test_budgets_have_room_in_the_guest_or_are_refused(granted: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest has so many counters; a grant without one goes on."""
    monkeypatch.setattr(service_grants, "BUDGETS_MAX", 2)
    for label in ("a", "b", "c"):
        granted.keystore.keys.generate(ROOT, label, KeyType.ED25519, activate=True)
    granted.keystore.grants.add(ROOT, GrantRequest("vm1", "a", [Op.SIGN], ops_max=5))
    granted.keystore.grants.add(ROOT, GrantRequest("vm1", "b", [Op.SIGN], ops_a_second=5))
    with pytest.raises(
        StateError, match="guest 'vm1' has 2 grants with a bound on operations, 2 is the most"
    ) as refused:
        granted.keystore.grants.add(ROOT, GrantRequest("vm1", "c", [Op.SIGN], ops_max=5))
    assert "without --max-ops" in refused.value.hint
    granted.keystore.grants.add(ROOT, GrantRequest("vm1", "c", [Op.SIGN]))
    granted.workers.used["vm1"] = {row.budget_id: 3 for row in granted.keystore.grants.list(key="a")}
    assert [(row.key, row.ops_used) for row in granted.keystore.grants.list()] == [
        ("a", 3),
        ("b", 0),
        ("c", 0),
        ("web", 0),
    ]


def test_grant_lists_are_filtered(granted: FakeDaemon) -> None:
    """By guest, by key; a name that does not exist is an error, not an empty list."""
    granted.keystore.guests.add(ROOT, Guest("vm2", "/run/vm2.sock"))
    granted.keystore.grants.add(ROOT, GrantRequest("vm2", "web", [Op.VERIFY], uids=[5]))
    assert [grant.guest for grant in granted.keystore.grants.list()] == ["vm1", "vm2"]
    assert [grant.permission.uids for grant in granted.keystore.grants.list(guest="vm2", key="web")] == [(5,)]
    with pytest.raises(NotFoundError):
        granted.keystore.grants.list(guest="vm3")


def test_unconfirmed_change_is_not_answered_as_done(granted: FakeDaemon) -> None:
    """A worker that neither acknowledged nor could be ended: an error that says what holds, and a line with it."""
    granted.workers.refuse_apply = WorkerError("cannot signal the worker")
    with pytest.raises(WorkerError, match=r"the change is stored, .* guest 'vm1': cannot signal the worker"):
        granted.keystore.grants.remove(ROOT, "vm1", "web")
    granted.workers.refuse_apply = None
    assert granted.keystore.grants.list() == ()
    assert granted.admin_lines()[-1]["failed"] == ["guest 'vm1': cannot signal the worker"]


def test_removal_that_does_not_end_the_worker_is_said(granted: FakeDaemon) -> None:
    """The guest is gone from the store, but the admin learns that something of it is left."""
    granted.workers.refuse_remove = WorkerError("the worker does not end")
    with pytest.raises(WorkerError, match="the worker does not end"):
        granted.keystore.guests.remove(ROOT, "vm1")
    assert granted.admin_lines()[-1]["failed"] == ["the worker does not end"]


def test_change_without_its_line_is_recorded_later(
    granted: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that cannot be written: the answer says so, the line comes with the next change, once, in order."""
    with monkeypatch.context() as patch:
        patch.setattr(granted.audit, "append_change", _fail_to_write)
        with pytest.raises(AuditWriteError, match="the change is in force"):
            granted.keystore.keys.rotate(ROOT, "web")
    assert granted.states()[-1] == (2, KeyState.ACTIVE, True)
    granted.keystore.keys.rotate(ROOT, "web")
    assert [line["action"] for line in granted.admin_lines()][3:] == ["key-rotate", "key-rotate"]
    granted.close()
    again = FakeDaemon(tmp_path)
    assert [line["change"] for line in again.admin_lines()] == [1, 2, 3, 4, 5]
    again.close()


def _fail_to_write(*_: object) -> None:
    raise AuditWriteError("cannot write the audit log: no space left on device", "free space")


@pytest.mark.parametrize("line_written", [False, True])
def test_daemon_killed_between_commit_and_line(granted: FakeDaemon, tmp_path: Path, line_written: bool) -> None:
    """Whether or not the line made it before the kill: after the restart it is there exactly once."""
    with granted.store.write() as connection:
        number = insert_pending(connection, '{"action":"key-rotate","uid":0}')
    if line_written:
        granted.audit.append_change(number, {"action": "key-rotate", "uid": 0})
    granted.close()
    again = FakeDaemon(tmp_path)
    assert [line["change"] for line in again.admin_lines()] == [1, 2, 3, number]
    with again.store.read() as connection:
        assert list_pending(connection) == ()
    again.close()


def test_changes_are_one_at_a_time_and_reads_do_not_wait(granted: FakeDaemon) -> None:
    """While a change waits for a worker, reads answer and the next change waits."""
    workers = granted.workers
    workers.hold.clear()
    workers.entered.clear()
    first = threading.Thread(target=granted.keystore.grants.remove, args=(ROOT, "vm1", "web"))
    second = threading.Thread(
        target=granted.keystore.keys.generate, args=(ROOT, "b", KeyType.ED25519), kwargs={"activate": True}
    )
    first.start()
    assert workers.entered.wait(10)
    second.start()
    assert granted.keystore.grants.list() == ()
    assert [view.guest.name for view in granted.keystore.guests.list()] == ["vm1"]
    assert [key.label for key in granted.keystore.keys.list()] == ["web"]
    second.join(0.1)
    assert second.is_alive()
    workers.hold.set()
    first.join(10)
    second.join(10)
    assert [line["action"] for line in granted.admin_lines()][3:] == ["grant-remove", "key-generate"]


def test_audit_page(granted: FakeDaemon) -> None:
    """Without a start the last lines; from a start on, in pages; the next page starts where this one ended."""
    lines, last = granted.keystore.audit.page(None, 2)
    assert ([line["seq"] for line in lines], last) == ([2, 3], 3)
    assert granted.keystore.audit.page(last, 10) == ([], 3)
    assert granted.keystore.audit.page(10**9, 10) == ([], 3)
    assert [line["seq"] for line in granted.keystore.audit.page(0, 1)[0]] == [1]
    assert granted.keystore.audit.verify().ok

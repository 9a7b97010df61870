# SPDX-License-Identifier: Apache-2.0
"""keystored dies or is exchanged while guests work: they keep their devices, and the next one takes everything back."""

import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from framework.checked_load import DEPTH, KEYS, loaded
from framework.checked_work import Ledger, Run, check_records
from framework.frontend import QEMU_7_2, QEMU_11_1, FrontEnd
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import RingGuest, ring_guest
from workers.test_deaths import alive, processes, worker_pid

from vmm_keystore._vks import lib

MESSAGE = b"m"


@pytest.fixture
def guest_socket(vault: Keystored) -> Path:
    """A guest with keys for both lanes."""
    path = vault.add_guest("g")
    for label, key_type in KEYS.items():
        vault.api.generate(label, key_type)
        vault.api.grant("g", label, ["sign"])
    return path


def records(vault: Keystored) -> list[Run]:
    """The guest's uses on record; the log must hold together."""
    assert vault.api.get("/audit/verify")["ok"]
    runs, after = [], 0
    while True:
        page = vault.api.get(f"/audit?after={after}&limit=1000")
        runs += [Run.of_line(line) for line in page["lines"] if line["kind"] == "use" and line["op"] == "sign"]
        if page["last_seq"] == after:
            return runs
        after = page["last_seq"]


def check_whole(vault: Keystored, ledger: Ledger) -> None:
    """Every request answered once, right, and on record."""
    assert set(ledger.statuses) == {lib.VKS_STATUS_OK}
    check_records(ledger, records(vault))


def reconfigure(frontend: FrontEnd, guest: RingGuest) -> None:
    """What a front-end does now and then: another call descriptor, stop, start."""
    frontend.set_call(guest.ring)
    frontend.start_ring(guest.ring, frontend.stop_ring(guest.ring))


END: dict[str, Callable[[Keystored], None]] = {"SIGKILL": Keystored.kill, "upgrade": Keystored.hand_over}


@pytest.mark.parametrize("profile", [QEMU_7_2, QEMU_11_1], ids=lambda profile: profile.name)
@pytest.mark.parametrize("end", END)
def test_guests_go_on(vault: Keystored, guest_socket: Path, end: str, profile: Any) -> None:
    """No request is lost, doubled or wrong; the next keystored has front-end, worker, grants and audit."""
    with loaded(guest_socket, profile) as (guest, load):
        before = worker_pid(vault, "g")
        END[end](vault)
        load.wait_for_more()
        assert alive(before)
        vault.start()
        load.wait_for_more()
        worker = vault.api.get("/guests/g")["worker"]
        assert worker["front_end_pid"] == os.getpid()
        assert worker["pid"] not in {before, 0, None}
        wait_for(lambda: not alive(before))
        reconfigure(guest.frontend, guest)
        load.wait_for_more()
        check_whole(vault, load.finish())
        vault.api.revoke("g", "p256")
        assert guest.sign(load.works[0].key_id, MESSAGE).status == lib.VKS_STATUS_NO_KEY


@pytest.mark.timeout(240)
@pytest.mark.alone
def test_time_to_take_everything_back(vault: Keystored, guest_socket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the start of the next process to its readiness, by which every guest has its worker; figures, no verdict."""
    lines = []
    with loaded(guest_socket) as (_guest, load), ExitStack() as others:
        for more in (0, 20, 80):
            for number in range(more):
                path = vault.add_guest(f"other{more}-{number}")
                vault.api.grant(f"other{more}-{number}", "ed", ["sign"])
                others.enter_context(ring_guest(path)).sign("ed", MESSAGE)
            # Not at the moment at which nobody knows whether a front-end has its last answer.
            wait_for(lambda: all(b'"step":"idle"' in kept.read_bytes() for kept in vault.runtime_dir.glob("*.session")))
            took_s = []
            for _ in range(3):
                vault.kill()
                started_s = time.monotonic()
                vault.start()
                took_s.append(time.monotonic() - started_s)
                names = [guest["name"] for guest in vault.api.get("/guests")["guests"]]
                workers = {name: vault.api.get(f"/guests/{name}")["worker"] for name in names}
                without = {name: worker for name, worker in workers.items() if not worker["running"]}
                assert not without, [
                    line for line in vault.log_text.splitlines() if any(name in line for name in without)
                ]
            load.wait_for_more()
            lines.append(f"{len(names)} guests {statistics.median(took_s):.2f} s")
        load.finish()
    with capsys.disabled():
        print("\n  keystored killed, from the next one's start until all is taken back: " + ", ".join(lines))


def test_again_and_again(vault: Keystored, guest_socket: Path) -> None:
    """Each keystored takes over from the one before it, whichever way that one ended, at a random moment.

    Also where that one had not made room in the audit ring yet: requests wait then, and no longer than for the next.
    """
    chance = random.Random("take-over")  # noqa: S311 - when to kill
    with loaded(guest_socket) as (guest, load):
        for number in range(10):
            time.sleep(chance.uniform(0.0, 0.2))
            END[chance.choice(list(END))](vault)
            vault.start()
            if number % 3 == 0:
                reconfigure(guest.frontend, guest)
            load.wait_for_more(DEPTH)
        check_whole(vault, load.finish())
    assert files(vault) <= {"g.session", "g.state", "g.worker", "holder.sock"}


@pytest.mark.timeout(240)
def test_killed_while_the_front_end_talks(vault: Keystored, guest_socket: Path) -> None:
    """A front-end that never stops reconfiguring its ring; keystored is killed in between, twenty times.

    At one moment of a message nobody knows whether its answer arrived: then the session ends and the log says why.
    """
    chance = random.Random("talk")  # noqa: S311 - when to kill
    ends = Counter[str]()
    for _ in range(20):
        with ring_guest(guest_socket) as guest:
            key_id = guest.key_id("ed")
            talking = Talk(guest)
            talking.start()
            time.sleep(chance.uniform(0.0, 0.05))
            vault.kill()
            vault.start()
            talking.wait_for_more()
            failure = talking.finish()
            if failure is None:
                assert guest.sign(key_id, MESSAGE).status == lib.VKS_STATUS_OK
                ends["carried on"] += 1
            else:
                assert "whether its front-end has its last answer" in vault.log_text, failure
                ends["ended"] += 1
    assert ends["carried on"] > ends["ended"], ends


class Talk(threading.Thread):
    """Reconfigures a ring until it is told to stop or the connection ends."""

    def __init__(self, guest: RingGuest) -> None:
        super().__init__(name="talk", daemon=True)
        self.count = 0
        self.failure: Exception | None = None
        self._guest = guest
        self._done = threading.Event()

    def run(self) -> None:
        """Talk."""
        try:
            while not self._done.is_set():
                reconfigure(self._guest.frontend, self._guest)
                self.count += 1
        except Exception as error:  # noqa: BLE001 - the test reports it
            self.failure = error

    def wait_for_more(self) -> None:
        """Wait until it has gone on, or cannot."""
        end = self.count + 3
        wait_for(lambda: self.failure or self.count >= end)

    def finish(self) -> Exception | None:
        """Stop; what went wrong."""
        self._done.set()
        self.join(30)
        return self.failure


def test_front_end_may_come_while_there_is_no_keystored(vault: Keystored, guest_socket: Path) -> None:
    """It waits for the next one instead of being refused, which would cost QEMU its life at hot-plug."""
    vault.kill()
    seen: list[int] = []

    def use() -> None:
        with ring_guest(guest_socket) as guest:
            seen.append(guest.sign("ed", MESSAGE).status)

    front_end = threading.Thread(target=use, daemon=True)
    front_end.start()
    vault.start()
    front_end.join(10)
    assert seen == [lib.VKS_STATUS_OK]


def test_killed_holder_is_restored(vault: Keystored, guest_socket: Path) -> None:
    """Guests notice nothing, and the new holder has all of it: keystored may die next."""
    with loaded(guest_socket) as (_guest, load):
        first = vault.kill_holder()
        load.wait_for_more()
        wait_for(lambda: "vks-holder restarted" in vault.log_text)
        assert vault.holder_pid not in {0, first}
        vault.kill()
        load.wait_for_more()
        vault.start()
        load.wait_for_more()
        check_whole(vault, load.finish())


def test_nobody_else_talks_to_the_holder(vault: Keystored, guest_socket: Path) -> None:
    """Its socket is for keystored's user alone, as is the folder that it lies in."""
    assert guest_socket.exists()
    folder = vault.runtime_dir.stat()
    socket = (vault.runtime_dir / "holder.sock").stat()
    assert (folder.st_mode & 0o777, folder.st_uid) == (0o700, os.geteuid())
    assert (socket.st_mode & 0o777, socket.st_uid) == (0o600, os.geteuid())


def test_stopped_holder_holds_nobody_up(vault: Keystored, guest_socket: Path) -> None:
    """One that takes no message any more is killed and replaced; front-ends come and go meanwhile."""
    os.kill(vault.holder_pid, signal.SIGSTOP)

    def visit() -> bool:
        with ring_guest(guest_socket) as guest:
            assert guest.sign("ed", MESSAGE).status == lib.VKS_STATUS_OK
        return "vks-holder restarted" in vault.log_text

    wait_for(visit)
    with loaded(guest_socket) as (_guest, load):
        vault.kill()
        vault.start()
        load.wait_for_more()
        load.finish()


def test_both_killed_ends_workers_and_sessions(vault: Keystored, guest_socket: Path) -> None:
    """The front-end is told by the connection's end, nothing stays behind, and a new one is served."""
    with ring_guest(guest_socket) as guest:
        answered = guest.sign("ed", MESSAGE)
        mine = [*processes(vault.pid).values(), worker_pid(vault, "g")]
        vault.kill_all()
        wait_for(guest.frontend.hung_up)
        wait_for(lambda: not any(alive(pid) for pid in mine))
    vault.start()
    with ring_guest(guest_socket) as guest:
        assert guest.sign("ed", MESSAGE).status == lib.VKS_STATUS_OK
    assert answered.sequence in {run.first for run in records(vault)}


def test_worker_of_a_dead_keystored_is_ended_first(vault: Keystored, guest_socket: Path) -> None:
    """Also where nothing but the name of its process is left: two workers must never have one ring."""
    with ring_guest(guest_socket) as guest:
        guest.sign("ed", MESSAGE)
        pid = worker_pid(vault, "g")
        os.kill(pid, signal.SIGSTOP)  # it cannot see that its control socket closes
        vault.kill_all()
    assert alive(pid)
    vault.start()
    assert not alive(pid)
    with ring_guest(guest_socket) as guest:
        assert guest.sign("ed", MESSAGE).status == lib.VKS_STATUS_OK


def test_pid_of_another_process_is_left_alone(vault: Keystored, guest_socket: Path) -> None:
    """The file may name a pid that somebody else has by now."""
    with ring_guest(guest_socket) as guest:
        guest.sign("ed", MESSAGE)
    vault.kill_all()
    (vault.runtime_dir / "g.worker").write_text(f"{os.getpid()} 1\n")
    vault.start()  # or it kills this very process
    with ring_guest(guest_socket) as guest:
        assert guest.sign("ed", MESSAGE).status == lib.VKS_STATUS_OK


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"x\n{}", b"\xff\xfe\n[]"])
def test_damaged_session_costs_the_front_end_only(vault: Keystored, guest_socket: Path, damage: bytes) -> None:
    """It is dropped; the guest, its keys and the next front-end are served."""
    with ring_guest(guest_socket) as guest:
        guest.sign("ed", MESSAGE)
        vault.kill()
        path = vault.runtime_dir / "g.session"
        bag = path.read_bytes().partition(b"\n")[0]
        path.write_bytes(damage.replace(b"x", bag))
        vault.start()
        wait_for(guest.frontend.hung_up)
    with ring_guest(guest_socket) as guest:
        assert guest.sign("ed", MESSAGE).status == lib.VKS_STATUS_OK


def test_lost_state_memory_costs_the_front_end_only(vault: Keystored, guest_socket: Path) -> None:
    """Which requests were in flight is unknown then: the ring does not go on, and nothing is done twice."""
    with ring_guest(guest_socket) as guest:
        guest.sign("ed", MESSAGE)
        vault.kill()
        (vault.runtime_dir / "g.state").unlink()
        vault.start()
        wait_for(guest.frontend.hung_up)
    assert "state memory is lost" in vault.log_text
    with ring_guest(guest_socket) as guest:
        assert guest.sign("ed", MESSAGE).status == lib.VKS_STATUS_OK


def test_removed_guest_leaves_nothing_kept(vault: Keystored, guest_socket: Path) -> None:
    """Its descriptors are dropped, its files are gone."""
    with ring_guest(guest_socket) as guest:
        guest.sign("ed", MESSAGE)
    held = wait_for(lambda: descriptors(vault.holder_pid))
    vault.api.delete("/guests/g")
    wait_for(lambda: descriptors(vault.holder_pid) < held)
    assert files(vault) == {"holder.sock"}


def test_nothing_piles_up_in_the_holder(vault: Keystored, guest_socket: Path) -> None:
    """Front-ends come and go, workers die, keystored is exchanged: as many descriptors as before."""
    with ring_guest(guest_socket) as guest:
        guest.sign("ed", MESSAGE)
    first = descriptors(vault.holder_pid)
    for _ in range(5):
        with ring_guest(guest_socket) as guest:
            reconfigure(guest.frontend, guest)
            os.kill(worker_pid(vault, "g"), signal.SIGKILL)
            guest.sign("ed", MESSAGE)
            vault.hand_over()
            vault.start()
            guest.sign("ed", MESSAGE)
    wait_for(lambda: descriptors(vault.holder_pid) <= first)


def test_later_programs_get_nothing_of_a_guest(vault: Keystored, guest_socket: Path) -> None:
    """What the next keystored took back is not handed on to programs that it starts."""
    with loaded(guest_socket) as (_guest, load):
        vault.kill()
        vault.start()
        load.wait_for_more()
        for role in ("vks-custodian", "vks-zygote", "vks-holder"):
            os.kill(vault.holder_pid if role == "vks-holder" else processes(vault.pid)[role], signal.SIGKILL)
            while f"{role} restarted" not in vault.log_text:
                load.wait_for_more()
            load.wait_for_more()
            # No memory, no eventfd, no pidfd.
            assert not kinds(processes(vault.pid)[role]) & {"/memfd", "anon_inode"}
        load.finish()


def kinds(pid: int) -> set[str]:
    """What kinds of files a process has open."""
    return {str(fd.readlink()).split(":")[0] for fd in Path(f"/proc/{pid}/fd").iterdir()}


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def files(vault: Keystored) -> set[str]:
    """What lies in the runtime folder."""
    return {path.name for path in vault.runtime_dir.iterdir()}


def test_failed_start_leaves_guests_alone(vault: Keystored, guest_socket: Path) -> None:
    """A keystored that cannot start takes no device away; the next one that can takes over.

    Meanwhile requests may come to wait for room in the audit ring.
    """
    with loaded(guest_socket) as (_guest, load):
        pid = worker_pid(vault, "g")
        vault.kill()
        kek = vault.state_dir / "kek"
        kek.rename(vault.folder / "kek")
        with pytest.raises(AssertionError, match="did not start"):
            vault.start()
        assert alive(pid)
        (vault.folder / "kek").rename(kek)
        vault.start()
        load.wait_for_more()
        check_whole(vault, load.finish())

# SPDX-License-Identifier: Apache-2.0
"""A front-end with several rings against a real keystored: each is served, and they live through what one ring does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from framework.checked_load import DEPTH, KEYS, Load
from framework.checked_work import Ledger, Run, check_records, ecdsa_work
from framework.frontend import FrontEnd, Msg
from framework.guest_ram import GuestRam
from framework.hsm_vault import keystored as hsm_keystored
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.processes import kill
from framework.ring_guest import RingGuest, ring_guests
from framework.software_hsm import MODULE, SoftwareHsm
from framework.split_ring import SplitRing
from workers.test_deaths import alive, worker_pid

RINGS = 2


def kill_worker(vault: Keystored) -> None:
    """Another one takes its place."""
    before = worker_pid(vault, "g")
    kill(before)
    wait_for(lambda: not alive(before))


def begin_anew(end: Callable[[Keystored], None]) -> Callable[[Keystored], None]:
    """Keystored ends in this way, and another one starts."""

    def run(vault: Keystored) -> None:
        end(vault)
        vault.start()

    return run


TROUBLE: dict[str, Callable[[Keystored], None]] = {
    "worker killed": kill_worker,
    "keystored killed": begin_anew(Keystored.kill),
    "upgrade": begin_anew(Keystored.hand_over),
}


@pytest.fixture
def vault() -> Iterator[Keystored]:
    """A keystored whose guests may have two rings, and one guest."""
    with Keystored(arguments=("--rings", str(RINGS))) as vault:
        vault.add_guest("g")
        for label, key_type in KEYS.items():
            vault.api.generate(label, key_type)
            vault.api.grant("g", label, ["sign"])
        yield vault


@contextmanager
def loads(rings: list[RingGuest]) -> Iterator[list[Load]]:
    """All of them at work."""
    found = [Load(ring) for ring in rings]
    for load in found:
        load.start()
    for load in found:
        load.wait_for_more()
    yield found
    for load in found:
        load.finish()


def check_whole(vault: Keystored, ledgers: list[Ledger]) -> None:
    """Every request of every ring answered once, right, and on record under its ring."""
    lines, after = [], 0
    while (page := vault.api.get(f"/audit?after={after}&limit=1000"))["last_seq"] != after:
        lines += [line for line in page["lines"] if line["kind"] == "use" and line["op"] == "sign"]
        after = page["last_seq"]
    assert vault.api.get("/audit/verify")["ok"]
    for queue, ledger in enumerate(ledgers):
        check_records(ledger, [Run.of_line(line) for line in lines if line["queue"] == queue])


@pytest.mark.parametrize("trouble", TROUBLE)
def test_both_go_on(vault: Keystored, trouble: str) -> None:
    """No request is lost, doubled or wrong, whoever died; a change is in force on both rings."""
    with ring_guests(vault.folder / "g.sock", RINGS, slot_count=DEPTH) as rings:
        assert rings[0].frontend.ask(Msg.GET_QUEUE_NUM).u64 == RINGS
        with loads(rings) as work:
            for _ in range(3):
                TROUBLE[trouble](vault)
                for load in work:
                    load.wait_for_more()
            rings[1].frontend.start_ring(rings[1].ring, rings[1].frontend.stop_ring(rings[1].ring))
            for load in work:
                load.wait_for_more()
            check_whole(vault, [load.finish() for load in work])
        vault.api.revoke("g", "p256")
        assert [{entry.label for entry in ring.list_keys()} for ring in rings] == [{"ed", "rsa"}] * RINGS


def test_threads_are_those_of_the_rings(vault: Keystored) -> None:
    """A fast and a slow one each."""
    with ring_guests(vault.folder / "g.sock", RINGS, slot_count=DEPTH) as rings:
        assert rings[1].list_keys()
        assert len(list(Path(f"/proc/{worker_pid(vault, 'g')}/task").iterdir())) == 2 * RINGS


def test_a_token_signs_for_both() -> None:
    """Whatever the token does for one ring comes back by that ring, when both wait for it."""
    with SoftwareHsm() as hsm, hsm_keystored(hsm, MODULE, "--rings", str(RINGS)) as vault:
        socket = vault.add_guest("g")
        vault.cli("key", "generate", "k", "--type", "ec-p256", "--in-token")
        vault.api.grant("g", "k", ["sign"])
        with ring_guests(socket, RINGS, slot_count=DEPTH) as rings:
            key_id = rings[0].key_id("k")
            public = load_der_public_key(rings[0].public(key_id))
            assert isinstance(public, ec.EllipticCurvePublicKey)
            work = ecdsa_work(key_id, public)
            ledgers = [Ledger(ring.vault) for ring in rings]
            for _ in range(3):
                for ledger, ring in zip(ledgers, rings, strict=True):
                    for _ in range(DEPTH):
                        ledger.submit(work)
                    ring.ring.kick(force=True)
                for ledger in ledgers:
                    ledger.settle()
            check_whole(vault, ledgers)


def eventfds(pid: int | str) -> dict[str, str]:
    """The kernel's numbers of those that a process has, by descriptor."""
    found = {}
    for place in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            for line in place.read_text().splitlines():
                if line.startswith("eventfd-id"):
                    found[place.name] = line
    return found


def test_descriptors_of_a_ring_that_is_no_more(vault: Keystored) -> None:
    """A front-end has given them for a ring that does not run, and keystored has no use for them."""
    with (
        GuestRam() as ram,
        SplitRing(ram) as ring,
        SplitRing(ram, index=1) as other,
        FrontEnd.connect(vault.folder / "g.sock", ram) as frontend,
    ):
        frontend.negotiate()
        frontend.set_call(other)
        frontend.start(ring)
        ours = eventfds("self")
        theirs = {ours[str(ring.call_fd)]: True, ours[str(other.call_fd)]: True}
        assert theirs.keys() <= set(eventfds(vault.pid).values())
        vault.hand_over()
        vault.start("--rings", "1")
        theirs[ours[str(other.call_fd)]] = False
        kept = set(eventfds(vault.pid).values())
        assert {number: number in kept for number in theirs} == theirs


@pytest.mark.parametrize(("started", "now", "stays"), [(2, 4, True), (1, 1, True), (2, 1, False)])
def test_another_number_after_an_upgrade(vault: Keystored, started: int, now: int, stays: bool) -> None:
    """Rings that run keep their front-end as long as there may be so many; the log says why one is dropped."""
    with ring_guests(vault.folder / "g.sock", started) as rings:
        assert rings[-1].list_keys()
        vault.hand_over()
        vault.start("--rings", str(now))
        if stays:
            assert [len(ring.list_keys()) for ring in rings] == [len(KEYS)] * started
        else:
            assert rings[0].frontend.hung_up()
            wait_for(lambda: "more rings that run than the 1 that there may be" in vault.log_text)

# SPDX-License-Identifier: Apache-2.0
"""Promise P5 in real guests: from the host, workers are killed while ``vks`` runs, then keystored is, again and again.

Nobody in the guest notices.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.checked_work import Run, attempts_by_request
from framework.guest import Guest
from framework.keystored import Keystored
from framework.qemu import qemu_version
from guest.boot import Boot
from qemu_images.keystore import content
from qemu_images.qemu import qemu_11

CARRIERS = [
    pytest.param("qemu-7.2", marks=pytest.mark.qemu),
    pytest.param("qemu-11.1", marks=pytest.mark.qemu),
    pytest.param("uml-plain", marks=pytest.mark.uml),
]
ROUND = 100
SIGNATURE_BYTES = 64
PAUSE_S = 0.3
KILLS_MIN = 20
EXCHANGES_MIN = 6


@dataclass(frozen=True)
class Place:
    """A booted guest and its vault."""

    guest: Guest
    vault: Keystored
    name: str


@pytest.fixture(params=CARRIERS)
def place(request: pytest.FixtureRequest, vault: Keystored, boot: Boot) -> Place:
    """Boot a guest on one carrier with a keystored of its own."""
    carrier: str = request.param
    name = carrier.replace(".", "-")
    socket = vault.add_guest(name)
    if carrier.startswith("uml"):
        return Place(boot(carrier, content(), devices=[(socket, 20)]), vault, name)
    command = qemu_11().command if carrier == "qemu-11.1" else ("qemu-system-x86_64",)
    version = "{}.{}".format(*qemu_version(command))
    options = vault.facts("qemu-args", name, "--qemu", version, "--accel", "tcg")
    return Place(boot("qemu-cloud", content(), devices=options, command=command), vault, name)


class Killer:
    """Does a deed to the guest's worker or to keystored again and again, on a thread; a context manager."""

    def __init__(self, deed: Callable[[int], bool], pause_s: float) -> None:
        self._deed = deed
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.kills = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            self.kills += self._deed(self.kills)


@pytest.mark.timeout(300)
def test_guest_does_not_notice_that_workers_die(place: Place) -> None:
    """Every command succeeds, every signature is right, every request is on record once for each of its runs."""

    def kill_worker(_kills: int) -> bool:
        pid = place.vault.api.get(f"/guests/{place.name}")["worker"]["pid"]
        if pid:
            os.kill(pid, signal.SIGKILL)
        return bool(pid)

    kills = sign_under(place, Killer(kill_worker, PAUSE_S), KILLS_MIN)
    worker = place.vault.api.get(f"/guests/{place.name}")["worker"]
    assert worker["replaced"] == kills
    assert worker["set_aside"] == 0


@pytest.mark.timeout(300)
def test_guest_does_not_notice_that_keystored_is_exchanged(place: Place) -> None:
    """Killed or asked to hand over, in turn; for a moment there is none, and signing goes on."""

    def exchange(kills: int) -> bool:
        if kills % 2:
            place.vault.hand_over()
        else:
            place.vault.kill()
        time.sleep(PAUSE_S)
        place.vault.start()
        return True

    sign_under(place, Killer(exchange, PAUSE_S), EXCHANGES_MIN)


def sign_under(place: Place, killer: Killer, kills_min: int) -> int:
    """Sign until there were so many kills, and check everything; how many there were."""
    vault, name = place.vault, place.name
    vault.api.generate("key", "ed25519")
    vault.api.grant(name, "key", ["sign"])
    key_id = vault.api.get("/keys/key")["id"]
    public = load_pem_public_key(vault.cli("key", "public", "key").stdout.encode())
    assert isinstance(public, ed25519.Ed25519PublicKey)
    count = 0
    with killer:
        # How many fit between two deaths is the machine's business.
        while killer.kills < kills_min:
            script = (
                f"i={count}; while [ $i -lt {count + ROUND} ]; do "
                f"echo message $i | vks sign {key_id} >>/tmp/signatures || {{ echo failed at $i; exit 1; }}; "
                "i=$((i+1)); done"
            )
            place.guest.run(script, timeout=120)
            count += ROUND
    signatures = place.guest.run("cat /tmp/signatures").stdout
    assert len(signatures) == count * SIGNATURE_BYTES
    for i in range(count):
        public.verify(signatures[i * SIGNATURE_BYTES :][:SIGNATURE_BYTES], b"message %d\n" % i)
    assert vault.api.get("/audit/verify")["ok"]
    uses = []
    after = 0
    while lines := vault.api.get(f"/audit?after={after}&limit=1000")["lines"]:
        after = lines[-1]["seq"]
        uses += [line for line in lines if line["kind"] == "use" and line["op"] == "sign"]
    assert {line["status"] for line in uses} == {"ok"}
    runs = attempts_by_request(map(Run.of_line, uses))
    assert len(runs) == count
    assert all(attempts == sorted(set(attempts)) for attempts in runs.values())
    return killer.kills

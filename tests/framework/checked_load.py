# SPDX-License-Identifier: Apache-2.0
"""A guest without a kernel that signs without end and checks every answer, on a thread or in a process of its own.

``python -m framework.checked_load SOCKET`` says ``ready``, answers each line on its standard input with the number of
requests answered by then, at least ``MORE`` more than before, and at the input's end with ``done N``.
"""

import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from framework.checked_work import Ledger, Work, ecdsa_work, ed25519_work, rsa_work
from framework.frontend import QEMU_7_2, Profile
from framework.ring_guest import RingGuest, ring_guest
from vmm_keystore._vks import lib

DEPTH = 16
MORE = 5 * DEPTH
PATIENCE_S = 20.0
KEYS = {"p256": "ec-p256", "ed": "ed25519", "rsa": "rsa-2048"}
"""Labels and types of the keys that the guest must be granted."""


def works(guest: RingGuest) -> list[Work]:
    """Signatures that are checked with the public keys."""
    found = {entry.label: entry.key_id for entry in guest.list_keys()}
    p256, edwards, rsa_key = (load_der_public_key(guest.public(found[label])) for label in KEYS)
    if not (
        isinstance(p256, ec.EllipticCurvePublicKey)
        and isinstance(edwards, ed25519.Ed25519PublicKey)
        and isinstance(rsa_key, rsa.RSAPublicKey)
    ):
        raise TypeError("public keys of other types")
    fast = [ecdsa_work(found["p256"], p256), ed25519_work(found["ed"], edwards)]
    return [*fast, *fast, rsa_work(found["rsa"], rsa_key)]


class Load(threading.Thread):
    """Requests without end, every answer checked; what was answered when."""

    def __init__(self, guest: RingGuest) -> None:
        super().__init__(name="load", daemon=True)
        self.ledger = Ledger(guest.vault)
        self.works = works(guest)
        self.answered = 0
        self.longest_s = 0.0
        self.failure: Exception | None = None
        self._ring = guest.ring
        self._done = threading.Event()

    def run(self) -> None:
        """Work."""
        chance = random.Random(5)  # noqa: S311 - a mix
        try:
            while not self._done.is_set():
                started_s = time.monotonic()
                for _ in range(DEPTH):
                    self.ledger.submit(chance.choice(self.works))
                self._ring.kick(force=True)
                self.ledger.settle()
                self.answered += DEPTH
                self.longest_s = max(self.longest_s, time.monotonic() - started_s)
        except Exception as error:  # noqa: BLE001 - the test reports it
            self.failure = error

    def wait_for_more(self, count: int = MORE) -> None:
        """Wait until so many more are answered."""
        end = self.answered + count
        end_s = time.monotonic() + PATIENCE_S
        while not self.failure and self.answered < end:
            if time.monotonic() > end_s:
                raise AssertionError(f"{self.answered} requests answered, then no more")
            time.sleep(0.005)
        self._check()

    def finish(self) -> Ledger:
        """Stop; every answer was right."""
        self._done.set()
        self.join(PATIENCE_S)
        self._check()
        return self.ledger

    def _check(self) -> None:
        if self.failure is not None:
            raise AssertionError(f"{type(self.failure).__name__}: {self.failure}") from self.failure


@contextmanager
def loaded(socket: Path, profile: Profile = QEMU_7_2) -> Iterator[tuple[RingGuest, Load]]:
    """A guest at work."""
    with ring_guest(socket, profile, slot_count=DEPTH) as guest:
        load = Load(guest)
        load.start()
        load.wait_for_more()
        yield guest, load


def main() -> None:
    """Work until the input ends."""
    with loaded(Path(sys.argv[1])) as (_guest, load):
        print("ready", flush=True)
        for _line in sys.stdin:
            load.wait_for_more()
            print(load.answered, flush=True)
        ledger = load.finish()
        if set(ledger.statuses) != {lib.VKS_STATUS_OK}:
            raise AssertionError(f"statuses {dict(ledger.statuses)}")
        print("done", len(ledger.sequences), flush=True)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""One guest's load, in a process of its own: mixed requests over one ring, every answer checked independently.

Runs until its parent closes the pipe; answers then with the number of every request that was answered.
"""

import random
import time
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from framework.checked_work import Ledger, Work, ecdsa_work, ed25519_work, gcm_work, mac_work, rsa_work
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib

READY = "ready"
BATCH_MAX = 24
PATIENCE_S = 60.0
"""Longer than any restart takes: a request that is not answered by then is lost."""
PAUSE_S = 0.02
"""Between two batches: the machine must have time for the processes that are started again."""


@dataclass
class Tally:
    """What one guest saw."""

    guest: str
    sequences: "array[int]" = field(default_factory=lambda: array("Q"))
    statuses: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0
    failure: str = ""

    def __str__(self) -> str:
        return self.failure


def run_guest(name: str, socket: Path, secrets: Mapping[str, bytes], seed: int, pipe: Connection) -> None:
    """Work until the other end of *pipe* says so, then send the tally.

    Args:
        name: of the guest.
        socket: where its front-end connects.
        secrets: keys that were imported, by label; what they make is computed again here.
        seed: of the mix.
        pipe: to the parent.
    """
    tally = Tally(name)
    try:
        with ring_guest(socket, slot_count=BATCH_MAX) as guest:
            load(guest, secrets, random.Random(seed), tally, pipe)  # noqa: S311 - a mix, not a key
    except Exception as error:  # noqa: BLE001 - the parent reports it
        tally.failure = f"{type(error).__name__}: {error}"
    pipe.send(tally)


def load(guest: RingGuest, secrets: Mapping[str, bytes], chance: random.Random, tally: Tally, pipe: Connection) -> None:
    """Batches of random size and mix; the guest's own listing goes in between."""
    ledger = Ledger(guest.vault)
    kinds = works(guest, secrets)
    pipe.send(READY)
    while not pipe.poll():
        started_s = time.monotonic()
        for _ in range(chance.randrange(1, BATCH_MAX)):
            ledger.submit(chance.choice(kinds))
        guest.ring.kick(force=True)
        # Two workers that die over one request: it is answered as the promise says, and counted.
        ledger.settle(PATIENCE_S, refused={lib.VKS_STATUS_INTERNAL})
        tally.longest_s = max(tally.longest_s, time.monotonic() - started_s)
        tally.sequences.extend(ledger.sequences)
        ledger.sequences.clear()
        time.sleep(PAUSE_S)
    tally.statuses = ledger.statuses


def works(guest: RingGuest, secrets: Mapping[str, bytes]) -> list[Work]:
    """Every kind of request, the fast ones more often than the slow ones."""
    found = {entry.label.rpartition("-")[2]: entry.key_id for entry in guest.list_keys()}
    p256, edwards, rsa_key = (load_der_public_key(guest.public(found[label])) for label in ("p256", "ed25519", "rsa"))
    if not (
        isinstance(p256, ec.EllipticCurvePublicKey)
        and isinstance(edwards, ed25519.Ed25519PublicKey)
        and isinstance(rsa_key, rsa.RSAPublicKey)
    ):
        raise TypeError("public keys of other types")
    fast = [
        ecdsa_work(found["p256"], p256),
        ed25519_work(found["ed25519"], edwards),
        mac_work(found["mac"], secrets["mac"]),
        gcm_work(found["gcm"], secrets["gcm"]),
    ]
    return [*fast, *fast, rsa_work(found["rsa"], rsa_key)]

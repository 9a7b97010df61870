# SPDX-License-Identifier: Apache-2.0
"""A guest that minds its own business while another one is in trouble."""

import threading
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key

from framework.checked_work import Ledger, ed25519_work
from framework.ring_guest import RingGuest

ANSWER_S_MAX = 10.0


class Neighbour:
    """Signs with an Ed25519 key on a thread; a context manager whose end fails if an answer was wrong or missing."""

    def __init__(self, guest: RingGuest, key: str) -> None:
        public = load_der_public_key(guest.public(key))
        if not isinstance(public, ed25519.Ed25519PublicKey):
            raise TypeError("the key is of another type")
        self._work = ed25519_work(guest.key_id(key), public)
        self._guest = guest
        self._ledger = Ledger(guest.vault)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbour")
        self.failure = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None and self.failure:
            raise AssertionError(self.failure)

    @property
    def answered(self) -> int:
        """How many answers it has had."""
        return len(self._ledger.sequences)

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.002):
                self._ledger.submit(self._work)
                self._guest.ring.kick()
                self._ledger.settle(ANSWER_S_MAX)
        except Exception as error:  # noqa: BLE001 - the test's own thread raises it
            self.failure = f"{type(error).__name__}: {error}"

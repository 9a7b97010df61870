# SPDX-License-Identifier: Apache-2.0
"""An administrator who never rests: makes, grants, rotates, revokes and destroys keys, and remembers what was answered.

keystored may die over a change: then there is no answer, and what became of it is looked up.
"""

import random
import threading
import time
from collections.abc import Sequence

import httpx
from framework.keystored import Keystored

KEYS_MAX = 12
PAUSE_S = 0.05
BACK_WAIT_S = 30.0


class Churn:
    """The administrator's thread."""

    def __init__(self, vault: Keystored, guests: Sequence[str], seed: int) -> None:
        self._vault = vault
        self._guests = guests
        self._chance = random.Random(seed)  # noqa: S311 - a mix, not a key
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="churn")
        self._made = 0
        self.keys: dict[str, int] = {}
        """Current version by label."""
        self.answered = 0
        self.unanswered = 0
        self.failure = ""

    def start(self) -> None:
        """Start to change things."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the change under way."""
        self._stopping.set()
        self._thread.join()

    def check(self) -> str:
        """Compare what the store has with what was answered; what is wrong, empty when nothing is."""
        stored = {key["label"]: key for key in self._vault.api.get("/keys")["keys"]}
        for label, version in self.keys.items():
            if label not in stored:
                return f"key {label} was made and is gone"
            if stored[label]["current_version"] != version:
                return f"key {label} is at version {stored[label]['current_version']}, answered was {version}"
        return ""

    def _run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_S):
                self._step()
        except (AssertionError, httpx.TransportError) as error:
            self.failure = f"a change was not made: {error}"

    def _step(self) -> None:
        if len(self.keys) < KEYS_MAX:
            self._made += 1
            label, change = f"churn-{self._made}", self._make
        else:
            label = self._chance.choice(list(self.keys))
            [change] = self._chance.choices([self._flip_grant, self._rotate, self._destroy], [14, 3, 3])
        try:
            change(label)
        except httpx.TransportError:
            self.unanswered += 1
            self._look_up(label)

    def _look_up(self, label: str) -> None:
        """Learn from the next keystored what became of a change that nobody answered."""
        end_s = time.monotonic() + BACK_WAIT_S
        while True:
            try:
                stored = {key["label"]: key for key in self._vault.api.get("/keys")["keys"]}
                grants = self._vault.api.get(f"/grants?key={label}")["grants"] if label in stored else []
                for grant in grants:
                    self._vault.api.revoke(grant["guest"], label)
            except httpx.TransportError:
                if time.monotonic() > end_s:
                    raise
                time.sleep(PAUSE_S)
                continue
            break
        if label in stored and stored[label]["state"] != "destroyed":
            self.keys[label] = stored[label]["current_version"]
        else:
            self.keys.pop(label, None)

    def _make(self, label: str) -> None:
        self._vault.api.generate(label, "ed25519")
        self.keys[label] = 1
        self.answered += 1

    def _flip_grant(self, label: str) -> None:
        guest = self._chance.choice(self._guests)
        self._vault.api.grant(guest, label, ["sign", "verify"])
        self._vault.api.revoke(guest, label)
        self.answered += 2

    def _rotate(self, label: str) -> None:
        self._vault.api.post(f"/keys/{label}/rotate")
        self.keys[label] += 1
        self.answered += 1

    def _destroy(self, label: str) -> None:
        self._vault.api.post(f"/keys/{label}/destroy")
        del self.keys[label]
        self.answered += 1

# SPDX-License-Identifier: Apache-2.0
"""An administrator who never rests: makes, grants, rotates, revokes and destroys keys, and remembers what was answered.

What was answered must hold at the end; what was not, because keystored died over it, may be either.
"""

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from framework.keystored import Keystored

KEYS_MAX = 12
PAUSE_S = 0.05


class Churn:
    """The administrator's thread."""

    def __init__(self, vault: Keystored, guests: Sequence[str], seed: int) -> None:
        self._vault = vault
        self._guests = guests
        self._chance = random.Random(seed)  # noqa: S311 - a mix, not a key
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="churn")
        self._made = 0
        self.keys: dict[str, int | None] = {}
        """Current version by label; None: not known, a change was cut short."""
        self.answered = 0
        self.cut_short = 0
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
            if version is None:
                continue
            if label not in stored:
                return f"key {label} was made and is gone"
            if stored[label]["current_version"] != version:
                return f"key {label} is at version {stored[label]['current_version']}, answered was {version}"
        return ""

    def _run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_S):
                self._step()
        except AssertionError as error:
            self.failure = f"a change was refused: {error}"

    def _step(self) -> None:
        known = [label for label, version in self.keys.items() if version is not None]
        if len(known) < KEYS_MAX:
            self._make()
        elif self._chance.random() < 0.7:
            self._flip_grant(self._chance.choice(known))
        elif self._chance.random() < 0.5:
            self._rotate(self._chance.choice(known))
        else:
            self._destroy(self._chance.choice(known))

    def _attempt(self, label: str, change: Callable[[], Any]) -> bool:
        try:
            change()
        except httpx.TransportError:
            # keystored died before it answered: nobody was told anything.
            self.keys[label] = None
            self.cut_short += 1
            return False
        self.answered += 1
        return True

    def _make(self) -> None:
        self._made += 1
        label = f"churn-{self._made}"
        if self._attempt(label, lambda: self._vault.api.generate(label, "ed25519")):
            self.keys[label] = 1

    def _flip_grant(self, label: str) -> None:
        guest = self._chance.choice(self._guests)
        if self._attempt(label, lambda: self._vault.api.grant(guest, label, ["sign", "verify"])):
            self._attempt(label, lambda: self._vault.api.revoke(guest, label))

    def _rotate(self, label: str) -> None:
        version = self.keys[label] or 0
        if self._attempt(label, lambda: self._vault.api.post(f"/keys/{label}/rotate")):
            self.keys[label] = version + 1

    def _destroy(self, label: str) -> None:
        if self._attempt(label, lambda: self._vault.api.post(f"/keys/{label}/destroy")):
            del self.keys[label]

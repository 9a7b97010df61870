# SPDX-License-Identifier: Apache-2.0
"""Promise P6: no operation that contradicts an answered change starts after the answer."""

import bisect
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Self

import pytest
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib

PAIRS = 5000
"""Of a grant and its revocation: 10,000 changes."""
IN_FLIGHT = 4


class Hammer:
    """Signs without a pause, from as many requests at a time as the ring has slots."""

    def __init__(self, guest: RingGuest, key_id: bytes) -> None:
        self._vault = guest.vault
        self._key_id = key_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._answered = threading.Condition()
        self.statuses: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_answers(self, count: int) -> None:
        """Wait until *count* more requests were answered."""
        with self._answered:
            until = sum(self.statuses.values()) + count
            assert self._answered.wait_for(lambda: sum(self.statuses.values()) >= until, 10)

    def _run(self) -> None:
        for _ in range(IN_FLIGHT):
            self._submit()
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            self._vault.ring.kick()
            for _head, answer in self._vault.collect():
                with self._answered:
                    self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                    self._answered.notify_all()
                self._submit()
                # Refusals are cheap: at full speed they would fill the log and not the point.
                pause_s = 0.0 if answer.status == lib.VKS_STATUS_OK else 0.002

    def _submit(self) -> None:
        self._vault.submit(lib.VKS_OP_SIGN, key_id=self._key_id, data=b"m", output_bytes=64)


def audit_lines(vault: Keystored) -> Iterator[dict[str, Any]]:
    """Every line of the log."""
    assert vault.api.get("/audit/verify")["ok"]
    yield from map(json.loads, vault.cli("audit", "export").stdout.splitlines())


def recorded_ns(line_time: str) -> int:
    """Nanoseconds of a line's time, exactly."""
    whole, fraction = line_time.removesuffix("Z").split(".")
    return int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()) * 10**9 + int(fraction)


@pytest.mark.timeout(1500)
def test_no_signature_after_the_answer_to_a_revocation(vault: Keystored) -> None:
    """Under full load, by the worker's own records: allowed uses lie only between grant and answered revocation."""
    socket = vault.add_guest("hammered")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("hammered", "key", ["sign"])
    windows: list[tuple[int, int]] = []
    with ring_guest(socket, slot_count=IN_FLIGHT) as guest:
        key_id = guest.key_id("key")
        vault.api.revoke("hammered", "key")
        with Hammer(guest, key_id) as hammer:
            for _ in range(PAIRS):
                asked_ns = time.time_ns()
                vault.api.grant("hammered", "key", ["sign"])
                vault.api.revoke("hammered", "key")
                windows.append((asked_ns, time.time_ns()))
                # Without a gap behind it, a use that came too late would lie in the next window.
                hammer.wait_answers(2 * IN_FLIGHT)
    assert set(hammer.statuses) == {lib.VKS_STATUS_OK, lib.VKS_STATUS_NO_KEY}
    allowed_ns, count = [], 0
    for line in audit_lines(vault):
        if line["kind"] == "use" and line["op"] == "sign" and line["status"] == "ok":
            allowed_ns.append(recorded_ns(line["time"]))
            count += line["count"]
    assert count == hammer.statuses[lib.VKS_STATUS_OK]
    # The window that began last before each use; windows do not overlap.
    last_begun = [bisect.bisect_right(windows, (when_ns, 2**63)) - 1 for when_ns in allowed_ns]
    outside = [index for index, when_ns in zip(last_begun, allowed_ns, strict=True) if not when_ns <= windows[index][1]]
    assert outside == []
    assert min(last_begun) >= 0
    # The load was there when it mattered: most windows saw a signature.
    assert len(set(last_begun)) > PAIRS // 2

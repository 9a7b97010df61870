# SPDX-License-Identifier: Apache-2.0
"""A back-end that is killed at each moment of a conversation, and another one that goes on: the front-end sees nothing.

The first one is a process that kills itself right before or right after each time that it keeps its session, which
are all the moments that differ: before the message is taken, after, before the answer, after. One of them nobody can
tell from its neighbour: the answer was owed and may have been read. Then the session ends, and says so.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from framework.frontend import PROFILES, FrontEnd, Msg, Profile
from framework.guest_ram import GuestRam
from framework.mortal_server import GUEST, serving
from framework.split_ring import Segment, SplitRing

from vmm_keystore.vhost_user.saved import Step

TESTS = Path(__file__).resolve().parents[1]
TEXT = b"who carries on?"
PATIENCE_S = 10.0


@contextmanager
def mortal(folder: Path, count: int, when: str) -> Iterator[subprocess.Popen[str]]:
    """A back-end that will kill itself."""
    command = [sys.executable, "-P", "-m", "framework.mortal_server", str(folder / "g.sock"), str(folder)]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    command += [str(count), when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


class Conversation(threading.Thread):
    """All that a front-end says until its ring runs, stops and runs again; then the ring is used."""

    def __init__(self, socket: Path, profile: Profile) -> None:
        super().__init__(name="front-end", daemon=True)
        self.socket = socket
        self.profile = profile
        self.failure: Exception | None = None
        self.echoed: list[tuple[int, int]] = []
        self.answer = b""

    def run(self) -> None:
        """Say it."""
        try:
            self._talk()
        except (OSError, AssertionError) as error:
            self.failure = error

    def _talk(self) -> None:
        with (
            ram_for(self.profile) as ram,
            SplitRing(ram, 64, call_is_pipe=self.profile.is_uml) as ring,
            FrontEnd.connect(self.socket, ram, self.profile) as frontend,
        ):
            frontend.negotiate()
            frontend.start(ring)
            if not self.profile.is_uml:
                frontend.start_ring(ring, frontend.stop_ring(ring))
                frontend.ask(Msg.GET_FEATURES)
            source, target = ram.alloc(len(TEXT)), ram.alloc(len(TEXT))
            ram.at(source, len(TEXT))[:] = TEXT
            ring.publish(ring.add([Segment(source, len(TEXT)), Segment(target, len(TEXT), writable=True)]))
            ring.kick()
            self.echoed = ring.wait(timeout_s=PATIENCE_S)
            self.answer = bytes(ram.at(target, len(TEXT)))


def ram_for(profile: Profile) -> GuestRam:
    """Memory where that front-end has it."""
    return GuestRam(layout=[(0x10_0000, 8 << 20)], uva_offset=0) if profile.is_uml else GuestRam()


def step_kept(folder: Path) -> Step | None:
    """How far the conversation had come that is kept; None: none is."""
    try:
        content = (folder / f"{GUEST}.session").read_bytes().partition(b"\n")[2]
    except FileNotFoundError:
        return None
    return Step(json.loads(content)["conversation"]["step"])


def die_at(folder: Path, profile: Profile, count: int, when: str) -> tuple[Conversation, Step | None, bool]:
    """Let the first back-end die at a moment and another one go on; what was kept, and whether it died at all."""
    with mortal(folder, count, when) as process:
        conversation = Conversation(folder / "g.sock", profile)
        conversation.start()
        end_s = time.monotonic() + PATIENCE_S
        while process.poll() is None and (conversation.is_alive() or conversation.failure is not None):
            assert time.monotonic() < end_s, "neither died nor done"
            time.sleep(0.002)
        died = process.poll() is not None
        if not died:
            process.kill()
            process.wait()
        step = step_kept(folder)
        with serving(folder / "g.sock", folder):
            conversation.join(PATIENCE_S)
            assert not conversation.is_alive(), f"front-end hangs; {step} was kept"
    return conversation, step, died


@pytest.mark.timeout(240)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_killed_at_each_moment(
    tmpfs_folder: Path, profile: Profile, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every message is served once, every answer arrives once, and the ring works."""
    carried: Counter[Step | None] = Counter()
    ended: Counter[Step | None] = Counter()
    for count in itertools.count(1):
        caplog.clear()
        conversation, step, died = die_at(tmpfs_folder, profile, count, when)
        if not died:
            break
        if conversation.failure is None:
            assert conversation.answer == TEXT
            carried[step] += 1
        else:
            assert step in {None, Step.OWING}, conversation.failure
            assert step is None or "whether its front-end has its last answer" in caplog.text
            ended[step] += 1
    assert conversation.failure is None
    # Accepted, but not kept yet: the very first moment.
    assert ended[None] == (when == "before")
    assert carried[Step.IDLE] > 10
    assert carried[Step.TAKING] > 10
    if when == "after":
        assert carried[Step.OWING] == 0, "it answered twice, or not at all, without being able to know"
        assert ended[Step.OWING] > 5
    else:
        assert carried[Step.OWING] > 0, "an answer that was read ended the session"

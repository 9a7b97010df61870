# SPDX-License-Identifier: Apache-2.0
"""The host's end of the guest agent: frames, and jobs that collect what a command writes.

No I/O: bytes in by ``Agent.received``, bytes out by the function it is given. Frames are drawn in ``agent/agent.c``.
"""

import struct
import threading
from collections.abc import Callable
from enum import IntEnum
from itertools import count

HEAD = struct.Struct("<IIB3x")
FRAME_BYTES_MAX = 65536
AGENT_VERSION = 1


class Frame(IntEnum):
    """Types of frames; below 16 the host sends them."""

    RUN = 1
    INPUT = 2
    SIGNAL = 3
    HELLO = 16
    STDOUT = 17
    STDERR = 18
    EXIT = 19
    TAKEN = 20


class AgentGone(Exception):
    """The agent's channel ended, or what came through it was not of the agent."""


class Job:
    """A command that runs in the guest."""

    def __init__(self, agent: "Agent", number: int, command: str) -> None:
        self.command = command
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.status: int | None = None
        self._agent = agent
        self._number = number
        self._ended = threading.Event()
        self._output = threading.Condition()

    def send(self, data: bytes) -> None:
        """Give *data* to the command's stdin."""
        for start in range(0, len(data), FRAME_BYTES_MAX):
            self._agent.send(Frame.INPUT, self._number, data[start : start + FRAME_BYTES_MAX])

    def end_input(self) -> None:
        """The command reads end of file after what was sent."""
        self._agent.send(Frame.INPUT, self._number, b"")

    def signal(self, number: int) -> None:
        """Send a signal to the command and its children."""
        self._agent.send(Frame.SIGNAL, self._number, struct.pack("<I", number))

    def wait(self, timeout: float) -> bool:
        """Whether the command ended within *timeout* seconds.

        Raises:
            AgentGone: the guest went away before.
        """
        done = self._ended.wait(timeout)
        if done and self.status is None:
            raise AgentGone(self._agent.gone)
        return done

    def wait_for_output(self, text: bytes, timeout: float) -> bool:
        """Whether *text* was in the command's stdout within *timeout* seconds."""
        with self._output:
            return self._output.wait_for(lambda: text in self.stdout or self._ended.is_set(), timeout) and (
                text in self.stdout
            )

    def take(self, kind: Frame, payload: bytes) -> None:
        """Take a frame of the guest; called from the thread that reads."""
        with self._output:
            if kind is Frame.STDOUT:
                self.stdout += payload
            elif kind is Frame.STDERR:
                self.stderr += payload
            elif kind is Frame.EXIT:
                (self.status,) = struct.unpack("<i", payload)
                self._ended.set()
            self._output.notify_all()

    def abandon(self) -> None:
        """The guest went away."""
        with self._output:
            self._ended.set()
            self._output.notify_all()


class Agent:
    """One agent's channel; jobs may be started from any thread.

    Args:
        write: sends bytes to the guest.
        window_bytes: so many may be on the way to it at a time.
    """

    def __init__(self, write: Callable[[bytes], None], window_bytes: int) -> None:
        self.ready = threading.Event()
        self.gone = ""
        self._write = write
        self._buffer = bytearray()
        self._jobs: dict[int, Job] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._window = window_bytes
        self._credit = threading.Condition()

    def start(self, command: str) -> Job:
        """Run *command* by the guest's shell."""
        with self._lock:
            number = next(self._numbers)
            job = self._jobs[number] = Job(self, number, command)
        self.send(Frame.RUN, number, command.encode())
        return job

    def send(self, kind: Frame, number: int, payload: bytes) -> None:
        """Send one frame whole."""
        with self._lock:
            frame = HEAD.pack(len(payload), number, kind) + payload
            while frame:
                with self._credit:
                    self._credit.wait_for(lambda: self._window > 0 or self.gone)
                    if self.gone:
                        raise AgentGone(self.gone)
                    piece, frame = frame[: self._window], frame[self._window :]
                    self._window -= len(piece)
                try:
                    self._write(piece)
                except OSError as error:
                    raise AgentGone(f"the channel broke: {error}") from error

    def received(self, data: bytes) -> None:
        """Take bytes of the guest, in whatever pieces they come."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            size, number, kind = HEAD.unpack_from(self._buffer)
            if size > FRAME_BYTES_MAX:
                raise AgentGone(f"a frame of {size} bytes")
            if len(self._buffer) < HEAD.size + size:
                return
            payload = bytes(self._buffer[HEAD.size : HEAD.size + size])
            del self._buffer[: HEAD.size + size]
            self._frame(Frame(kind), number, payload)

    def _frame(self, kind: Frame, number: int, payload: bytes) -> None:
        if kind is Frame.HELLO:
            (version,) = struct.unpack("<I", payload)
            if version != AGENT_VERSION:
                raise AgentGone(f"agent version {version}, expected {AGENT_VERSION}")
            self.ready.set()
        elif kind is Frame.TAKEN:
            with self._credit:
                self._window += struct.unpack("<I", payload)[0]
                self._credit.notify()
        elif number in self._jobs:
            self._jobs[number].take(kind, payload)
            if kind is Frame.EXIT:
                del self._jobs[number]

    def lost(self, reason: str) -> None:
        """The guest went away: nobody waits in vain."""
        self.gone = reason
        self.ready.set()
        with self._credit:
            self._credit.notify_all()
        for job in list(self._jobs.values()):
            job.abandon()

# SPDX-License-Identifier: Apache-2.0
"""Promise P3 at the vhost-user socket of the real keystored: a front-end's messages, spoilt one at a time.

A whole session is spoken again and again, each time with another message dropped, sent twice, sent after the next one,
cut short, made longer, or with other descriptors than it should have. It costs that connection at most: another guest
works all the time and every one of its answers is checked, and nothing is left behind.
"""

import fcntl
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from framework.frontend import NEED_REPLY, QEMU_7_2, QEMU_11_1, UML, BackEndRefusedError, FrontEnd, Profile
from framework.guest_ram import GuestRam
from framework.holdings import holdings, wait_for_no_growth
from framework.keystored import Keystored
from framework.neighbour import Neighbour
from framework.ring_guest import ring_guest
from framework.split_ring import SplitRing
from framework.vault import Vault

from vmm_keystore._vks import lib

IMPATIENCE_S = 0.15
"""A spoilt message may never be answered; a quiet back-end is waited for no longer."""
PATIENCE_S = 20.0
RAM_BYTES = 1 << 20
Fds = list[int]


class SpoilingFrontEnd(FrontEnd):
    """Spoils the message with number *target*, in the way *spoil* says."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sock.settimeout(IMPATIENCE_S)
        self.target = -1
        self.spoil: Spoil | None = None
        self.count = 0
        self._late: list[Message] = []

    def send(self, request: int, payload: bytes = b"", fds: Sequence[int] = (), *, flags: int = 1) -> None:
        """Send it, or what became of it."""
        number, self.count = self.count, self.count + 1
        message = Message(request, payload, list(fds), flags)
        if number != self.target or not self.spoil:
            self._send_all([message, *self._late])
        elif self.spoil is LATE:
            # Its descriptors may be closed by the time that it goes out.
            self._late = [message.with_(fds=[os.dup(fd) for fd in message.fds])]
        else:
            self._send_all(self.spoil(message))

    def close(self) -> None:
        """Hang up."""
        super().close()
        for message in self._late:
            for fd in message.fds:
                os.close(fd)

    def _send_all(self, messages: Sequence["Message"]) -> None:
        for message in messages:
            super().send(message.request, message.payload, message.fds, flags=message.flags)


@dataclass(frozen=True, slots=True)
class Message:
    """A message before it goes out."""

    request: int
    payload: bytes
    fds: Fds
    flags: int

    def with_(self, **changes: Any) -> "Message":
        """The same with other fields."""
        fields = {"request": self.request, "payload": self.payload, "fds": self.fds, "flags": self.flags}
        return Message(**{**fields, **changes})


Spoil = Callable[[Message], list[Message]]


def LATE(message: Message) -> list[Message]:  # noqa: N802 - a value, told apart by what it is
    """Send it after the next one; the front-end itself does that."""
    return [message]


class WrongFds:
    """Descriptors of every kind that a message does not expect; a context manager that owns them."""

    def __init__(self) -> None:
        sealed = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(sealed, RAM_BYTES)
        fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        small, empty = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("small", "empty"))
        os.ftruncate(small, 4096)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self.by_name = {
            "pipe, reading end": reading,
            "pipe, writing end": writing,
            "directory": os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC),
            "/dev/zero": os.open("/dev/zero", os.O_RDWR | os.O_CLOEXEC),
            "/dev/null, to read": os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC),
            "empty memfd": empty,
            "small memfd": small,
            "memfd sealed against writing": sealed,
            "memfd to read": os.open(f"/proc/self/fd/{sealed}", os.O_RDONLY | os.O_CLOEXEC),
            "path only": os.open("/etc/passwd", os.O_PATH | os.O_CLOEXEC),
            "regular file, to read": os.open("/etc/passwd", os.O_RDONLY | os.O_CLOEXEC),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for fd in self.by_name.values():
            os.close(fd)


def spoils(wrong: WrongFds) -> dict[str, Spoil]:
    """Every way to spoil a message."""
    some = wrong.by_name["pipe, reading end"]
    found: dict[str, Spoil] = {
        "dropped": lambda _message: [],
        "sent after the next one": LATE,
        "sent twice": lambda message: [message, message],
        "cut short": lambda message: [message.with_(payload=message.payload[:-1])],
        "without payload": lambda message: [message.with_(payload=b"")],
        "a byte longer": lambda message: [message.with_(payload=message.payload + b"\0")],
        "as long as there is": lambda message: [message.with_(payload=message.payload.ljust(1 << 16, b"\xff"))],
        "all ones": lambda message: [message.with_(payload=b"\xff" * len(message.payload))],
        "of another version": lambda message: [message.with_(flags=2)],
        "as a reply": lambda message: [message.with_(flags=5)],
        "to be acknowledged": lambda message: [message.with_(flags=1 | NEED_REPLY)],
        "unknown": lambda message: [message.with_(request=99)],
        "as GET_VRING_BASE": lambda message: [message.with_(request=11)],
        "behind RESET_OWNER": lambda message: [Message(4, b"", [], 1), message],
        "without descriptors": lambda message: [message.with_(fds=[])],
        "with one descriptor more": lambda message: [message.with_(fds=[*message.fds, some])],
        "with 60 descriptors": lambda message: [message.with_(fds=[some] * 60)],
    }
    for name, fd in wrong.by_name.items():
        found[f"with {name}"] = exchange(fd)
    return found


def exchange(fd: int) -> Spoil:
    """Send *fd* in the place of every descriptor, and where there should be none."""
    return lambda message: [message.with_(fds=[fd] * max(1, len(message.fds)))]


@dataclass
class Place:
    """A daemon with a guest that is being spoilt and one that works."""

    vault: Keystored
    spoilt: Path
    neighbour: Neighbour

    def wait_disconnected(self) -> None:
        """Wait until the daemon has seen the end of the spoilt guest's connection."""
        self.wait(lambda: not self.vault.api.get("/guests/spoilt")["worker"]["connected"])

    def wait(self, condition: Callable[[], bool]) -> None:
        """Ask until it is true."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, "it did not happen:\n" + self.vault.log_text[-3000:]
            time.sleep(0.005)


@pytest.fixture(scope="module")
def place(shared_vault: Keystored) -> Iterator[Place]:
    vault = shared_vault
    spoilt, path = vault.add_guest("spoilt"), vault.add_guest("neighbour")
    vault.api.generate("key", "ed25519")
    for name in ("spoilt", "neighbour"):
        vault.api.grant(name, "key", ["sign"])
    with ring_guest(path, slot_count=4) as guest, Neighbour(guest, "key") as neighbour:
        yield Place(vault, spoilt, neighbour)


@contextmanager
def spoiling(path: Path, profile: Profile) -> Iterator[tuple[SpoilingFrontEnd, SplitRing]]:
    with (
        GuestRam(RAM_BYTES) as ram,
        SplitRing(ram, 16) as ring,
        SpoilingFrontEnd.connect(path, ram, profile) as frontend,
    ):
        yield frontend, ring


def speak(frontend: FrontEnd, ring: SplitRing) -> None:
    """A session from its first to its last message, with a live change of each descriptor, and an operation."""
    frontend.negotiate()
    frontend.start(ring)
    vault = Vault(frontend.ram, ring)
    vault.request(lib.VKS_OP_RANDOM, output_bytes=8, timeout_s=IMPATIENCE_S)
    frontend.set_call(ring)
    frontend.set_kick(ring)
    frontend.set_mem_table(frontend.ram.regions)
    frontend.stop(ring)


def message_count(path: Path, profile: Profile) -> int:
    with spoiling(path, profile) as (frontend, ring):
        speak(frontend, ring)
        return frontend.count


@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", [QEMU_7_2, QEMU_11_1, UML], ids=lambda profile: profile.name)
def test_spoilt_messages(place: Place, profile: Profile) -> None:
    """Every message in every way; then both guests work, and the daemon holds what it held before."""
    count = message_count(place.spoilt, profile)
    place.wait_disconnected()
    before = holdings(place.vault.pid)
    answered = place.neighbour.answered
    with WrongFds() as wrong:
        for target, spoil in itertools.product(range(count), spoils(wrong).values()):
            with (
                spoiling(place.spoilt, profile) as (frontend, ring),
                suppress(OSError, TimeoutError, BackEndRefusedError, AssertionError),
            ):
                frontend.target, frontend.spoil = target, spoil
                speak(frontend, ring)
    place.wait_disconnected()
    with ring_guest(place.spoilt) as guest:
        assert guest.sign("key", b"as if nothing had been").status == lib.VKS_STATUS_OK
    place.wait_disconnected()
    assert not place.neighbour.failure
    assert place.neighbour.answered > answered
    wait_for_no_growth(place.vault.pid, before)

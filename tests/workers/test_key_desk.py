# SPDX-License-Identifier: Apache-2.0
"""Who brings keys that are asked for: turns of guests, what fails, and what a worker that has fallen could send."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from framework.patience import wait_for

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.key_values import KeyLoad
from vmm_keystore.service.ports import GuestKeys
from vmm_keystore.workers.errors import ProgramLostError, VaultLockedError, WorkerGoneError
from vmm_keystore.workers.ipc import pack
from vmm_keystore.workers.key_desk import ROUNDS_MAX, KeyDesk
from vmm_keystore.workers.worker import wanted_keys

KEY_ID = bytes(range(16))


class Leases:
    """Gives a lease of its own each time."""

    def __init__(self) -> None:
        self.count = 0

    def lease_keys(self, _guest: str, versions: Sequence[tuple[bytes, int]]) -> tuple[KeyLoad, ...]:
        """See ``GuestKeys``."""
        self.count += 1
        return tuple(KeyLoad(key_id, version, KeyType.AES_256, self.count, b"") for key_id, version in versions)


class Asker:
    """A worker that fails as often as it is told to."""

    def __init__(self, guest: str, failures: Sequence[Exception | list[str]] = ()) -> None:
        self.guest = guest
        self.failures = list(failures)
        self.leases: list[int] = []
        self.filled = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def fill(self, loads: Sequence[KeyLoad]) -> list[str]:
        """See ``Asker``."""
        assert self.go_on.wait(10)
        self.leases += [load.nonce_lease for load in loads]
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        return []

    def note_filled(self) -> None:
        """See ``Asker``."""
        self.filled.release()

    def wait_filled(self) -> None:
        """Wait until it was looked after."""
        assert self.filled.acquire(timeout=10)


@pytest.fixture
def desk() -> Iterator[KeyDesk]:
    """One that is open."""
    desk = KeyDesk(cast("GuestKeys", Leases()))
    desk.start()
    yield desk
    desk.stop()


def test_lost_custodian_is_tried_again(desk: KeyDesk) -> None:
    """Under fresh leases, a few times; then whoever waits is told."""
    few = Asker("g", [ProgramLostError("gone")] * (ROUNDS_MAX - 1))
    desk.take(few, ((KEY_ID, 1),))
    few.wait_filled()
    assert few.leases == [1, 2, 3, 4]
    many = Asker("g", [ProgramLostError("gone")] * ROUNDS_MAX)
    desk.take(many, ((KEY_ID, 1),))
    many.wait_filled()
    assert (len(many.leases), many.failures) == (ROUNDS_MAX, [])


def test_what_is_not_tried_again(desk: KeyDesk) -> None:
    """A vault that is locked, a worker that is gone, a mistake of ours; and the next one has its turn."""
    locked = Asker("g", [VaultLockedError("the vault is locked"), []])
    gone = Asker("g", [WorkerGoneError("gone"), []])
    broken = Asker("g", [RuntimeError("a mistake of ours"), []])
    for asker in (locked, gone, broken):
        desk.take(asker, ((KEY_ID, 1),))
        asker.wait_filled()
        assert len(asker.leases) == 1


def test_told_of_once(desk: KeyDesk, caplog: pytest.LogCaptureFixture) -> None:
    """What a guest asks for again and again does not fill the log."""
    asker = Asker("g", [["key 1 is damaged"]] * 5 + [["key 2 is damaged"]])
    for _ in range(6):
        desk.take(asker, ((KEY_ID, 1),))
        asker.wait_filled()
    told = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert len(told) == 2


def test_what_is_left_at_the_end() -> None:
    """The list under way is looked after, the others are left: nobody waits for them."""
    desk = KeyDesk(cast("GuestKeys", Leases()))
    first, second = Asker("g"), Asker("h")
    first.go_on.clear()
    desk.take(first, ((KEY_ID, 1),))
    desk.take(second, ((KEY_ID, 1),))
    desk.start()
    stopping = threading.Thread(target=desk.stop)
    stopping.start()
    wait_for(desk._stopping.is_set)
    first.go_on.set()
    stopping.join(10)
    assert (len(first.leases), len(second.leases)) == (1, 0)


def body(count: int) -> Any:
    """A ``vks_worker_keys_wanted``."""
    key = [{"key_id": KEY_ID, "version": 3}]
    return ffi.from_buffer(
        "struct vks_worker_keys_wanted *", pack("vks_worker_keys_wanted", {"count": count, "key": key})
    )


def test_what_a_worker_sends() -> None:
    """Is taken over as far as it says."""
    assert wanted_keys(body(1)) == ((KEY_ID, 3),)
    assert len(wanted_keys(body(lib.VKS_KEYS_WANTED_MAX))) == lib.VKS_KEYS_WANTED_MAX


@pytest.mark.parametrize("count", [0, lib.VKS_KEYS_WANTED_MAX + 1, (1 << 32) - 1])
def test_what_no_worker_of_ours_sends(count: int) -> None:
    """Ends it: it has fallen."""
    assert wanted_keys(body(count)) == ()

# SPDX-License-Identifier: BSD-3-Clause
"""A device, and what it says of itself."""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from vks.error import check
from vks.key import Key, KeyInfo, key_info, names
from vks.library import InfoStructure, KeyStructure, free, library, words

VERSION_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a device is and serves.

    Attributes:
        guest: what the host calls this guest.
        version: of the device, as ``0.1.0``.
        key_count: keys granted to this guest.
        input_bytes_max: of one operation.
        operations: by the names that ``vks`` has for them.
        mechanisms: likewise.
    """

    guest: str
    version: str
    key_count: int
    input_bytes_max: int
    operations: frozenset[str]
    mechanisms: frozenset[str]


class Device:
    """An open device; a context manager. Any number of threads may use it at once.

    Args:
        path: ``/dev/keystoreN`` or ``vhost-user:PATH``; else ``$VKS_DEVICE``, else the first there is.

    Raises:
        Unavailable: there is none, or it may not be opened.
    """

    def __init__(self, path: str = "") -> None:
        handle = ctypes.c_void_p()
        check(library.vks_open(words(path) or None, ctypes.byref(handle)))
        self._handle = handle
        self._forget_calls()
        self.path: str = os.fsdecode(library.vks_path(handle))
        _open.add(self)

    def _forget_calls(self) -> None:
        """There are none, nor anybody who waits for them."""
        self._idle = threading.Condition()
        self._calls = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it, when the calls of other threads have ended; no second time. All that a child of fork() may do."""
        with self._idle:
            handle, self._handle = self._handle, ctypes.c_void_p()
            self._idle.wait_for(lambda: not self._calls)
        if handle:
            library.vks_close(handle)

    def call(self, function: Callable[..., int], *arguments: object) -> None:
        """Call a function of libvks with this device before *arguments*.

        Raises:
            Refused: the device said so.
            Unavailable: there was no answer.
            ValueError: the device is closed.
        """
        with self._idle:
            if not self._handle:
                raise ValueError("the device is closed")
            self._calls += 1
            handle = self._handle
        try:
            check(function(handle, *arguments))
        finally:
            with self._idle:
                self._calls -= 1
                self._idle.notify_all()

    def info(self) -> DeviceInfo:
        """Ask what it is."""
        info = InfoStructure()
        self.call(library.vks_info, ctypes.byref(info))
        version = info.device_version
        return DeviceInfo(
            guest=info.guest_name.decode(errors="replace"),
            version=f"{version >> 16}.{version >> 8 & 255}.{version & 255}",
            key_count=info.key_count,
            input_bytes_max=info.input_bytes_max,
            operations=names(info.op_mask, library.vks_op_name),
            mechanisms=names(info.mechanism_mask, library.vks_mechanism_name),
        )

    def list_keys(self) -> list[KeyInfo]:
        """Every version of every key that is granted to this guest."""
        keys, count = ctypes.POINTER(KeyStructure)(), ctypes.c_size_t()
        self.call(library.vks_list, ctypes.byref(keys), ctypes.byref(count))
        try:
            return [key_info(keys[number]) for number in range(count.value)]
        finally:
            free(keys)

    def key(self, name: str, version: int = 0) -> Key:
        """Find a key by its label, or its id as 32 hexadecimal digits.

        Args:
            name: which.
            version: 0 is whichever is the current one when it is used.

        Raises:
            ValueError: no key has such a name or version.
            Refused: ``Status.NO_KEY``, it is not there or not granted to this guest.
        """
        if not 0 <= version <= VERSION_MAX:
            raise ValueError(f"no key has a version {version}")
        found = KeyStructure()
        self.call(library.vks_find_key, words(name), version, ctypes.byref(found))
        return Key(self, key_info(found), version)

    def random(self, size: int) -> bytes:
        """So many random bytes from the host."""
        output = ctypes.create_string_buffer(size)
        self.call(library.vks_random, output, size)
        return output.raw


_open: "weakref.WeakSet[Device]" = weakref.WeakSet()


def _after_fork() -> None:
    """In a child the other threads' calls neither go on nor end."""
    for device in _open:
        device._forget_calls()  # noqa: SLF001  its own module


os.register_at_fork(after_in_child=_after_fork)

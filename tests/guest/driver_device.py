# SPDX-License-Identifier: Apache-2.0
"""A vmm_keystore device in Python for tests of the guest driver: honest, until a test tells it to misbehave.

It holds one MAC key with a public value and speaks the ABI as far as driver, library and CLI need it; it is no vault.
The reactor's thread serves, the test's thread sets ``lie`` and looks at ``requests``.
"""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from framework.echo_device import EchoDevice
from framework.split_ring import DESC, F_INDIRECT, F_NEXT, F_WRITE

from vmm_keystore._vks import ffi, lib
from vmm_keystore.vhost_user.backend import Completion, Session, Vring

HEAD_BYTES = lib.VKS_HEAD_BYTES
TAIL_BYTES = lib.VKS_RESULT_BYTES + 1
KEY_ID = bytes(range(16))
KEY_LABEL = "courier"
MAC_KEY = b"a public test value"


@dataclass(repr=False)
class Request:
    """What arrived; *head* is a cffi copy."""

    head: Any
    parameter: bytes
    aad: bytes
    input: bytes
    writable_bytes: int

    @property
    def op(self) -> int:
        """The operation, if the service is ours."""
        return int(self.head.opcode) & 0xFF

    @classmethod
    def decode(cls, readable: bytes, writable_bytes: int) -> "Request":
        """Cut the readable bytes as the head says; a driver that breaks MUST-6 fails here."""
        head: Any = ffi.new("struct vks_request_head *")
        ffi.memmove(head, readable, HEAD_BYTES)
        aad_at = HEAD_BYTES + head.parameter_bytes
        input_at = aad_at + head.aad_bytes
        assert input_at + head.input_bytes == len(readable)
        assert head.output_bytes + TAIL_BYTES == writable_bytes
        return cls(head, readable[HEAD_BYTES:aad_at], readable[aad_at:input_at], readable[input_at:], writable_bytes)


@dataclass(repr=False)
class Answer:
    """What goes back. A lie changes any of it; *used_bytes* None is the truth, *head* None the request's own."""

    status: int = 0
    output: bytes = b""
    output_bytes: int | None = None
    used_bytes: int | None = None
    head: int | None = None
    times: int = 1
    silent: bool = False
    skip_output: bool = False
    skip_status: bool = False
    unpublished: bool = False
    unsignalled: bool = False


Lie = Callable[[Request, Answer], None]


@dataclass(repr=False)
class Record:
    """The requests in the order of arrival, to be waited for."""

    requests: list[Request] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def add(self, request: Request) -> None:
        """Append one."""
        with self.arrived:
            self.requests.append(request)
            self.arrived.notify_all()

    def wait(self, count: int, timeout: float = 10.0) -> None:
        """Until at least *count* arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= count, timeout), len(self.requests)


class KeystoreDevice(EchoDevice):
    """The VringBackend of one session."""

    def __init__(self, session: Session, owner: "KeystoreFactory") -> None:
        super().__init__(session)
        self.owner = owner
        self.current_head = 0
        self._held: list[tuple[Vring, int, Request, Answer]] = []
        self._signal_wanted = False

    def stop_ring(self, index: int, completion: Completion) -> None:
        """Forget what was kept back: it is the guest's memory again."""
        self._held = [held for held in self._held if held[0].index != index]
        super().stop_ring(index, completion)

    def _chain(self, table: memoryview, head: int) -> list[tuple[int, int, int, int]]:
        """Walk a chain, of bounded length: virtio_uml does not stop a device before the driver frees its tables."""
        chain = [DESC.unpack_from(table, 16 * head)]
        if chain[0][2] & F_INDIRECT:
            return self._chain(self._at_gpa(chain[0][0], chain[0][1]), 0)
        while chain[-1][2] & F_NEXT and len(chain) <= lib.VKS_DESCRIPTORS_MAX:
            chain.append(DESC.unpack_from(table, 16 * chain[-1][3]))
        return chain

    def _serve(self, index: int) -> None:
        vring = self.rings[index]
        if self.owner.deaf:
            return
        with (
            self._at_uva(vring.avail_uva, 6 + 2 * vring.size).cast("H") as avail,
            self._at_uva(vring.used_uva + 4 + 8 * vring.size, 2).cast("H") as avail_event,
        ):
            while self._last_avail[index] != avail[1]:
                head = avail[2 + self._last_avail[index] % vring.size]
                self._last_avail[index] = (self._last_avail[index] + 1) & 0xFFFF
                # The driver negotiated EVENT_IDX: without this it kicks no more. Looked at again by the loop.
                avail_event[0] = self._last_avail[index]
                self._take(vring, head)
        if self._signal_wanted:
            self._signal_wanted = False
            self._signal(index)

    def _take(self, vring: Vring, head: int) -> None:
        readable, writable_bytes = bytearray(), 0
        for gpa, size_bytes, flags, _ in self._chain(self._at_uva(vring.desc_uva, 16 * vring.size), head):
            if flags & F_WRITE:
                writable_bytes += size_bytes
            else:
                assert not writable_bytes
                with self._at_gpa(gpa, size_bytes) as view:
                    readable += view
        self.current_head = head
        request = Request.decode(bytes(readable), writable_bytes)
        answer = answer_honestly(request)
        if self.owner.lie is not None:
            self.owner.lie(request, answer)
        if answer.silent:
            self._held.append((vring, head, request, answer))
        else:
            self._give(vring, head, request, answer)
        self.owner.record.add(request)

    def _give(self, vring: Vring, head: int, request: Request, answer: Answer) -> None:
        area = request.head.output_bytes
        result: Any = ffi.new("struct vks_result *")
        result.output_bytes = len(answer.output) if answer.output_bytes is None else answer.output_bytes
        result.sequence = len(self.owner.record.requests) + 1
        result.abi_version = lib.VKS_ABI_VERSION
        written = answer.output[:area].ljust(area, b"\0") + bytes(ffi.buffer(result))
        if not answer.skip_status:
            written += bytes([answer.status])
        left_alone = area if answer.skip_output else 0
        for gpa, size_bytes, flags, _ in self._chain(self._at_uva(vring.desc_uva, 16 * vring.size), head):
            if not flags & F_WRITE:
                continue
            piece, written = written[:size_bytes], written[size_bytes:]
            skipped = min(left_alone, len(piece))
            left_alone -= skipped
            with self._at_gpa(gpa, size_bytes) as view:
                view[skipped : len(piece)] = piece[skipped:]
        used_bytes = request.writable_bytes if answer.used_bytes is None else answer.used_bytes
        self._signal_wanted |= not (answer.unsignalled or answer.unpublished)
        for _ in range(0 if answer.unpublished else answer.times):
            self._use(vring, head if answer.head is None else answer.head, used_bytes)

    def interrupt(self, count: int) -> None:
        """Signal the driver so often, with nothing for it; on the reactor's thread."""
        for _ in range(count):
            for index in self.rings:
                self._signal(index)

    def release(self) -> None:
        """Answer what was kept back, the latest first; on the reactor's thread."""
        indices = {vring.index for vring, *_ in self._held}
        while self._held:
            self._give(*self._held.pop())
        for index in indices:
            self._signal(index)


@dataclass(repr=False)
class KeystoreFactory:
    """Makes the devices of one socket and keeps what tests look at."""

    lie: Lie | None = None
    deaf: bool = False
    record: Record = field(default_factory=Record)
    devices: list[KeystoreDevice] = field(default_factory=list)

    def open_session(self, session: Session) -> KeystoreDevice:
        """A device for this front-end."""
        self.devices.append(KeystoreDevice(session, self))
        return self.devices[-1]

    def release(self) -> None:
        """Answer what the newest device kept back, and wait until that is done."""
        device, done = self.devices[-1], threading.Event()

        def act() -> None:
            device.release()
            done.set()

        device.session.reactor.call_soon(act)
        assert done.wait(10)


def answer_honestly(request: Request) -> Answer:
    """What a vault with one HMAC key would say."""
    head, op = request.head, request.op
    if head.opcode >> 8 != lib.VKS_SERVICE or head.reserved0 or head.reserved1:
        return Answer(lib.VKS_STATUS_MALFORMED)
    if op in _WITHOUT_KEY:
        return _fitting(request, _WITHOUT_KEY[op](request))
    if bytes(head.key_id) != KEY_ID:
        return Answer(lib.VKS_STATUS_NO_KEY)
    if op == lib.VKS_OP_MAC_VERIFY:
        good = _mac(request) == request.parameter
        return Answer(lib.VKS_STATUS_OK if good else lib.VKS_STATUS_AUTH_FAILED)
    return _fitting(request, _WITH_KEY[op](request)) if op in _WITH_KEY else Answer(lib.VKS_STATUS_UNSUPPORTED)


def _fitting(request: Request, output: bytes) -> Answer:
    if len(output) > request.head.output_bytes:
        return Answer(lib.VKS_STATUS_OUTPUT_SIZE, output_bytes=len(output))
    return Answer(output=output)


def _info(_request: Request) -> bytes:
    info: Any = ffi.new("struct vks_info *")
    info.abi_version_min = lib.VKS_ABI_VERSION_MIN
    info.abi_version_max = lib.VKS_ABI_VERSION
    info.device_version = 0x000100
    info.input_bytes_max = lib.VKS_INPUT_BYTES_MAX
    info.output_bytes_max = lib.VKS_OUTPUT_BYTES_MAX
    info.aad_bytes_max = lib.VKS_AAD_BYTES_MAX
    info.parameter_bytes_max = lib.VKS_PARAMETER_BYTES_MAX
    info.random_bytes_max = lib.VKS_RANDOM_BYTES_MAX
    info.descriptors_max = lib.VKS_DESCRIPTORS_MAX
    info.op_mask = 0x7FE
    info.mechanism_mask = 1 << lib.VKS_MECHANISM_HMAC_SHA256
    info.key_count = 1
    ffi.memmove(info.guest_name, b"python-test", 11)
    return bytes(ffi.buffer(info))


def _list(request: Request) -> bytes:
    after: Any = ffi.from_buffer("struct vks_list_request *", request.input)
    head: Any = ffi.new("struct vks_list_head *")
    if (bytes(after.after_key_id), after.after_version) >= (KEY_ID, 1):
        return bytes(ffi.buffer(head))
    head.entry_count = 1
    entry: Any = ffi.new("struct vks_key_entry *")
    ffi.memmove(entry.key_id, KEY_ID, 16)
    entry.version = 1
    entry.type = lib.VKS_KEY_TYPE_HMAC_SHA256
    entry.state = lib.VKS_KEY_STATE_ACTIVE
    entry.is_current = 1
    entry.op_mask = 1 << lib.VKS_OP_MAC | 1 << lib.VKS_OP_MAC_VERIFY
    entry.mechanism_mask = 1 << lib.VKS_MECHANISM_HMAC_SHA256
    ffi.memmove(entry.label, KEY_LABEL.encode(), len(KEY_LABEL))
    return bytes(ffi.buffer(head)) + bytes(ffi.buffer(entry))


def _random(request: Request) -> bytes:
    return os.urandom(request.head.output_bytes)


def _mac(request: Request) -> bytes:
    return hmac.digest(MAC_KEY, request.input, hashlib.sha256)


def _reverse(request: Request) -> bytes:
    """No cipher: an output as long as the input, to see that every byte goes both ways."""
    return (request.parameter + request.aad + request.input)[::-1]


_WITHOUT_KEY = {lib.VKS_OP_INFO: _info, lib.VKS_OP_LIST: _list, lib.VKS_OP_RANDOM: _random}
_WITH_KEY = {lib.VKS_OP_MAC: _mac, lib.VKS_OP_ENCRYPT: _reverse}

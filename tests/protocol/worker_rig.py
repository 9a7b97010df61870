# SPDX-License-Identifier: Apache-2.0
"""The real worker without keystored: the test plays keystored and the custodian, a front-end's ring does the rest.

Every message is sent and awaited by hand, so that a test controls what the worker knows at every instant.
"""

import array
import fcntl
import mmap
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from framework.guest_ram import GuestRam
from framework.secret_forms import PrivateKey
from framework.split_ring import SplitRing
from framework.vault import Vault

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.workers import programs
from vmm_keystore.workers.data_plane import DataPlane
from vmm_keystore.workers.ipc import HEAD_BYTES, pack, pack_message
from vmm_keystore.workers.programs import start_program
from vmm_keystore.workers.snapshot import build_entries, build_snapshot, seal_snapshot

STATE_BYTES = lib.vks_state_bytes()
FDS_MAX = 8
PAGE_BYTES = 4096
RECORDS_WAIT_S = 5.0
BUDGET_IDS = 1000
ALL = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class RigKey:
    """A key version that a test made itself, and what the guest may do with it."""

    key_id: bytes
    key_type: int
    material: bytes
    version: int = 1
    state: int = lib.VKS_KEY_STATE_ACTIVE
    current: bool = True
    op_mask: int = (1 << lib.VKS_OP_COUNT) - 1 | 1 << lib.VKS_OP_RELEASE
    mechanism_mask: int = ALL
    input_bytes_max: int = 0
    uids: tuple[int, ...] = ()
    ops_max: int = 0
    ops_a_second: int = 0
    budget: int = 0
    """Index + 1 of its counters."""
    nonce_lease: int = 1

    def with_(self, **changes: Any) -> "RigKey":
        """The same with other fields."""
        return replace(self, **changes)

    def permitted(self) -> PermittedKey:
        """Its entry in a snapshot."""
        permission = Permission(
            op_mask=self.op_mask,
            mechanism_mask=self.mechanism_mask & lib.vks_policy_type_mechanisms(self.key_type),
            input_bytes_max=self.input_bytes_max,
            uids=self.uids,
            ops_max=self.ops_max,
            ops_a_second=self.ops_a_second,
        )
        return PermittedKey(
            key_id=self.key_id,
            version=self.version,
            key_type=KeyType(self.key_type),
            state=KeyState(self.state),
            current=self.current,
            permission=permission,
            label=f"key-{self.key_id.hex()[:8]}",
            budget_id=BUDGET_IDS + self.budget if self.budget else 0,
        )

    def slot(self) -> bytes:
        """Its place in the custodian's page."""
        head = pack(
            "vks_key_slot",
            {
                "key_id": self.key_id,
                "version": self.version,
                "type": self.key_type,
                "nonce_lease": self.nonce_lease,
                "material_bytes": len(self.material),
            },
        )
        return head + self.material + bytes(-len(self.material) % 8)


def key_id(number: int) -> bytes:
    """A key id that sorts by *number*."""
    return number.to_bytes(16, "big")


def pkcs8(key: PrivateKey) -> bytes:
    """Material of an asymmetric key."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class Reply:
    """A message of the worker; *fds* are the receiver's."""

    type: int
    tag: int
    error: int
    body: bytes
    fds: tuple[int, ...]


def send(sock: socket.socket, packet: bytes, fds: Sequence[int] = ()) -> None:
    """One packet, whatever it says."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
    sock.sendmsg([packet], ancillary)


def receive(sock: socket.socket) -> Reply:
    """One message.

    Raises:
        ConnectionError: the other side is gone.
    """
    packet, ancillary, _flags, _address = sock.recvmsg(lib.VKS_IPC_BYTES_MAX, socket.CMSG_SPACE(4 * FDS_MAX))
    if not packet:
        raise ConnectionResetError("worker is gone")
    fds = array.array("i")
    for _level, _type, data in ancillary:
        fds.frombytes(data)
    head: Any = ffi.from_buffer("struct vks_ipc_head *", packet)
    return Reply(head.type, head.tag, head.error, packet[HEAD_BYTES:], tuple(fds))


def make_state() -> int:
    """A fresh state memory."""
    fd = os.memfd_create("state", os.MFD_CLOEXEC)
    os.ftruncate(fd, STATE_BYTES)
    with mmap.mmap(fd, STATE_BYTES) as mapping, ffi.from_buffer(mapping, require_writable=True) as state:
        lib.vks_state_init(state)
    return fd


AS_IT_IS = DataPlane()
"""Workers that sleep at once, with whatever engines there are."""


class Zygote:
    """The installed vks-zygote; a context manager that ends it."""

    def __init__(self) -> None:
        self.process, self.control = start_program("vks-zygote")
        self.control.settimeout(10)
        self._worker_ids = iter(range(1, 1 << 30))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.control.close()
        self.process.close(reap=True)

    def spawn(self, control_fd: int, key_fd: int, state_fd: int, data_plane: DataPlane = AS_IT_IS) -> tuple[int, int]:
        """Pid and pidfd of a new worker."""
        body = pack("vks_zygote_spawn", {"worker_id": next(self._worker_ids)} | data_plane.spawn_fields())
        fds = [control_fd, key_fd, state_fd, *data_plane.spawn_fds()]
        send(self.control, pack_message(lib.VKS_ZYGOTE_SPAWN, 1, body), fds)
        reply = receive(self.control)
        if reply.error:
            raise OSError(-reply.error, "zygote refused")
        spawned: Any = ffi.from_buffer("struct vks_zygote_spawned *", reply.body)
        return spawned.pid, reply.fds[0]


@contextmanager
def running_zygote(libexec: Path | None = None) -> Iterator[Zygote]:
    """Give a zygote, warmed up; *libexec* is another folder with the programs than the installed one."""
    with pytest.MonkeyPatch.context() as patch:
        if libexec:
            patch.setattr(programs, "LIBEXEC", libexec)
        running = Zygote()
    with running:
        yield running


class WorkerRig:
    """One worker and its three wires; a context manager that ends it. *state_fd* lets a successor take over."""

    def __init__(self, zygote: Zygote, state_fd: int | None = None, data_plane: DataPlane = AS_IT_IS) -> None:
        self.state_fd = make_state() if state_fd is None else os.dup(state_fd)
        self._map = mmap.mmap(self.state_fd, STATE_BYTES)
        self.state: Any = ffi.from_buffer(self._map, require_writable=True)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.keys, their_keys = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(10)
        with theirs, their_keys:
            self.pid, self.pidfd = zygote.spawn(theirs.fileno(), their_keys.fileno(), self.state_fd, data_plane)
        self._tag = 0
        self._generation = 0
        self.poll_us = data_plane.poll_us
        self.own_keys_max = 0
        self.events: list[Reply] = []
        self.ready = self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker, wait for it, let go of everything."""
        self.control.close()
        self.keys.close()
        self.wait_ended()
        os.close(self.pidfd)
        ffi.release(self.state)
        self._map.close()
        os.close(self.state_fd)

    def kill(self) -> None:
        """SIGKILL."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.wait_ended()

    def wait_ended(self, timeout_s: float = 10) -> None:
        """Wait for its end."""
        if not select.select([self.pidfd], [], [], timeout_s)[0]:
            raise TimeoutError("worker does not end")

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not select.select([self.pidfd], [], [], 0)[0]

    # -- keystored ---------------------------------------------------------------------------------------------------

    def receive(self) -> Reply:
        """The next message, event or reply."""
        return receive(self.control)

    def post(self, message_type: int, body: bytes = b"", fds: Sequence[int] = ()) -> int:
        """Send a request; its tag."""
        self._tag += 1
        send(self.control, pack_message(message_type, self._tag, body), fds)
        return self._tag

    def wait(self, tag: int) -> Reply:
        """The reply to *tag*; events on the way are kept."""
        while (reply := self.receive()).tag != tag:
            self.events.append(reply)
        return reply

    def ask(self, message_type: int, body: bytes = b"", fds: Sequence[int] = (), *, error: int = 0) -> Reply:
        """Send a request and wait for its reply, which must carry *error*."""
        reply = self.wait(self.post(message_type, body, fds))
        if reply.type != message_type | lib.VKS_IPC_REPLY or reply.error != error:
            raise AssertionError(f"{reply} to message {message_type:#x}")
        return reply

    def event(self, message_type: int) -> Reply:
        """The next event of a type."""
        while True:
            for place, event in enumerate(self.events):
                if event.type == message_type:
                    return self.events.pop(place)
            self.events.append(self.receive())

    def share(self, ram: GuestRam) -> None:
        """The memory table."""
        regions = [
            {"gpa": r.gpa, "uva": r.uva, "size_bytes": r.size_bytes, "mmap_offset": r.mmap_offset} for r in ram.regions
        ]
        body = pack("vks_worker_mem_table", {"region_count": len(regions), "regions": regions})
        self.ask(lib.VKS_WORKER_MEM_TABLE, body, [ram.fd] * len(regions))

    def start(self, ring: SplitRing, *, base: int = 0, error: int = 0, **fields: int) -> None:
        """Start the ring."""
        reply = self.wait(self.post_start(ring, base=base, **fields))
        if reply.error != error:
            raise AssertionError(f"{reply} to a start")

    def post_start(self, ring: SplitRing, *, base: int = 0, **fields: int) -> int:
        """Ask for the start of the ring; the tag of the reply."""
        body = {
            "queue": 0,
            "size": ring.size,
            "base": base,
            "flags": lib.VKS_RING_F_CALL | lib.VKS_RING_F_ERR,
            "features": 1 << 30,
            "desc_uva": ring.ram.uva(ring.desc_gpa),
            "avail_uva": ring.ram.uva(ring.avail_gpa),
            "used_uva": ring.ram.uva(ring.used_gpa),
        } | fields
        fds = [ring.kick_fd, ring.call_fd, ring.err_fd]
        return self.post(lib.VKS_WORKER_RING_START, pack("vks_worker_ring_start", body), fds)

    def stop(self, queue: int = 0) -> int:
        """Stop the ring; its base."""
        reply = self.ask(lib.VKS_WORKER_RING_STOP, pack("vks_worker_ring", {"queue": queue}))
        stopped: Any = ffi.from_buffer("struct vks_worker_ring_stopped *", reply.body)
        return int(stopped.base)

    def set_ring_fd(self, message_type: int, fds: Sequence[int], *, error: int = 0) -> None:
        """Replace one of the ring's descriptors."""
        self.ask(message_type, pack("vks_worker_ring"), fds, error=error)

    def publish(self, *keys: RigKey) -> None:
        """A snapshot with these keys and no other, and its acknowledgement."""
        self.wait(self.post_snapshot(*keys))

    def post_snapshot(self, *keys: RigKey) -> int:
        """Send a snapshot; the tag of its reply."""
        return self.post_permitted([key.permitted() for key in keys])

    def publish_permitted(self, keys: Sequence[PermittedKey]) -> None:
        """A snapshot of entries that no RigKey describes."""
        self.wait(self.post_permitted(keys))

    def post_permitted(self, keys: Sequence[PermittedKey]) -> int:
        """Send such a snapshot; the tag of its reply."""
        self._generation += 1
        budgets = {key.budget_id: key.budget_id - BUDGET_IDS - 1 for key in keys if key.budget_id}
        content = build_snapshot(
            "guest",
            self._generation,
            build_entries(keys, budgets),
            poll_us=self.poll_us,
            own_keys_max=self.own_keys_max,
        )
        fd = seal_snapshot(content)
        try:
            body = pack("vks_worker_snapshot", {"generation": self._generation, "size_bytes": len(content)})
            return self.post(lib.VKS_WORKER_SNAPSHOT, body, [fd])
        finally:
            os.close(fd)

    def open_budget(self, key: RigKey, *, leased: int, low: int = 0, used: int = 0) -> None:
        """Have counters for *key*, with operations up to *leased* to use."""
        lib.vks_budget_open(self.state, key.budget - 1, BUDGET_IDS + key.budget, used)
        lib.vks_budget_lease(self.state, key.budget - 1, leased, low)

    def used(self, key: RigKey) -> int:
        """Operations counted."""
        return int(lib.vks_budget_used(self.state, key.budget - 1))

    # -- custodian ---------------------------------------------------------------------------------------------------

    def fill(self, *keys: RigKey, error: int = 0) -> None:
        """Hand over what was asked for, under the snapshot in force."""
        self.load(*keys, error=error, flags=lib.VKS_LOAD_F_FILL)

    def wanted(self) -> list[tuple[bytes, int]]:
        """The key versions that it asks for next."""
        body: Any = ffi.from_buffer("struct vks_worker_keys_wanted *", self.event(lib.VKS_WORKER_KEYS_WANTED).body)
        return [(bytes(key.key_id), int(key.version)) for key in body.key[0 : body.count]]

    def note_filled(self) -> None:
        """Say that what it asked for was looked after."""
        self.ask(lib.VKS_WORKER_KEYS_FILLED)

    def load(self, *keys: RigKey, error: int = 0, key_count: int | None = None, flags: int = 0) -> None:
        """Hand over material in a sealed page and wait until it was taken."""
        content = b"".join(key.slot() for key in keys)
        size_bytes = -(-max(1, len(content)) // PAGE_BYTES) * PAGE_BYTES
        fd = os.memfd_create("keys", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(fd, content.ljust(size_bytes, b"\0"))
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            body = {
                "load_id": 7,
                "size_bytes": size_bytes,
                "key_count": len(keys) if key_count is None else key_count,
                "secret_memory": lib.VKS_SECRET_MEMORY_MLOCK,
                "flags": flags,
            }
            send(self.keys, pack_message(lib.VKS_KEYS, 0, pack("vks_keys", body)), [fd])
            reply = self.event(lib.VKS_WORKER_KEYS_LOADED)
            if os.pread(fd, size_bytes, 0).strip(b"\0") and not error:
                raise AssertionError("the page was not wiped")
        finally:
            os.close(fd)
        loaded: Any = ffi.from_buffer("struct vks_worker_keys_loaded *", reply.body)
        if loaded.error != error or loaded.load_id != 7:
            raise AssertionError(f"load ended with {loaded.error}")

    def give(self, *keys: RigKey) -> None:
        """Load and publish."""
        self.load(*keys)
        self.publish(*keys)

    # -- audit -------------------------------------------------------------------------------------------------------

    def take_records(self) -> list[Any]:
        """Take what is committed and closed so far, while it goes on."""
        return self._take(lib.vks_state_audit(self.state))

    def records(self) -> list[Any]:
        """Take every record, once the worker has nothing more to add; a dead one's as it left them."""
        ring: Any = lib.vks_state_audit(self.state)
        end_s = time.monotonic() + RECORDS_WAIT_S
        while ring.closed != ring.head:
            if not self.alive:
                lib.vks_audit_close(ring)
            if time.monotonic() > end_s:
                raise AssertionError("the worker rests and leaves a record open")
            time.sleep(0.0005)
        return self._take(ring)

    def _take(self, ring: Any) -> list[Any]:
        records = ffi.new("struct vks_audit_record[]", lib.VKS_AUDIT_RING_RECORDS)
        count = lib.vks_audit_peek(ring, records, lib.VKS_AUDIT_RING_RECORDS)
        if count < 0:
            raise AssertionError("audit ring is broken")
        lib.vks_audit_take(ring, count)
        return [ffi.new("struct vks_audit_record *", records[i]) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Bench:
    """A worker with a running ring."""

    rig: WorkerRig
    ram: GuestRam
    ring: SplitRing
    vault: Vault


@contextmanager
def running_bench(
    zygote: Zygote, *, slot_count: int = 112, slot_bytes: int = 32 << 10, data_plane: DataPlane = AS_IT_IS
) -> Iterator[Bench]:
    """Give a worker with a running ring and no keys; at the end it must still be alive."""
    with GuestRam(64 << 20) as ram, SplitRing(ram, 512) as ring, WorkerRig(zygote, data_plane=data_plane) as rig:
        rig.share(ram)
        rig.start(ring)
        vault = Vault(
            ram,
            ring,
            slot_count=slot_count,
            readable_bytes_max=slot_bytes,
            writable_bytes_max=max(16 << 10, slot_bytes),
        )
        yield Bench(rig, ram, ring, vault)
        if not rig.alive:
            raise AssertionError("the worker ended")

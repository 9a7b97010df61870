# SPDX-License-Identifier: Apache-2.0
"""A real vks-custodian on a socket pair, spoken to in the messages of ipc.h."""

from __future__ import annotations

import array
import mmap
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import vmm_keystore
from vmm_keystore._vks import ffi, lib

LIBEXEC = Path(vmm_keystore.__file__).parent / "libexec"
# What makes root an ordinary user to the kernel, but for the files it owns.
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
KEY_ID = bytes(range(16))


def pack(struct: str, **fields: object) -> bytes:
    """One structure of ipc.h."""
    value: Any = ffi.new(f"struct {struct} *")
    for name, field in fields.items():
        if isinstance(field, bytes):
            ffi.memmove(getattr(value, name), field, len(field))
        else:
            setattr(value, name, field)
    return bytes(ffi.buffer(value))


def unpack(struct: str, data: bytes) -> Any:
    value = ffi.new(f"struct {struct} *")
    ffi.memmove(value, data, ffi.sizeof(f"struct {struct}"))
    return value


@dataclass(frozen=True)
class Key:
    """What generate and import answer."""

    type: int
    sealed: bytes
    public: bytes


@dataclass(frozen=True)
class Slot:
    """One key slot of a secret page."""

    key_id: bytes
    version: int
    type: int
    nonce_lease: int
    material: bytes


@dataclass(frozen=True)
class Secret:
    """What opens a root of trust, as a message carries it."""

    source: int = lib.VKS_ROOT_SECRET_NONE
    offer_id: bytes = bytes(16)
    wrapped: bytes = b""
    fd: int | None = None

    @property
    def fields(self) -> dict[str, object]:
        """``struct vks_custodian_secret``."""
        return {"source": self.source, "wrapped_bytes": len(self.wrapped), "offer_id": self.offer_id}


def root_body(*, create: bool = False, secret: Secret | None = None) -> bytes:
    """``struct vks_custodian_root`` and what follows."""
    secret = secret or Secret()
    body = ffi.new("struct vks_custodian_root *", {"create": int(create), "secret": secret.fields})
    return bytes(ffi.buffer(body)) + secret.wrapped


def fds_of(file: int, secret: Secret | None) -> list[int]:
    """The descriptors of a message about a KEK file."""
    return [file] if secret is None or secret.fd is None else [file, secret.fd]


class Channel:
    """The worker's end of a key channel."""

    def __init__(self) -> None:
        self.ours, self.custodians = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(10)

    def receive(self) -> tuple[int, Any, list[Slot]]:
        """Take one VKS_KEYS: load id, the message, and the slots read out of the secret page."""
        data, fds, _, _ = socket.recv_fds(self.ours, 65536, 4)
        head = unpack("vks_ipc_head", data)
        assert head.type == lib.VKS_KEYS
        assert len(fds) == 1
        keys = unpack("vks_keys", data[ffi.sizeof("struct vks_ipc_head") :])
        assert os.fstat(fds[0]).st_size == keys.size_bytes
        with mmap.mmap(fds[0], keys.size_bytes, mmap.MAP_SHARED) as page:
            content = page[:]
        os.close(fds[0])
        return keys.load_id, keys, list(self._slots(content, keys.key_count))

    @staticmethod
    def _slots(content: bytes, count: int) -> list[Slot]:
        slots: list[Slot] = []
        offset, size = 0, ffi.sizeof("struct vks_key_slot")
        for _ in range(count):
            slot = unpack("vks_key_slot", content[offset : offset + size])
            material = content[offset + size : offset + size + slot.material_bytes]
            slots.append(Slot(bytes(slot.key_id), slot.version, slot.type, slot.nonce_lease, material))
            offset += size + (slot.material_bytes + 7) // 8 * 8
        assert not any(content[offset:])
        return slots


class Custodian:
    """The process; a context manager that ends it by closing its socket and expects a clean exit."""

    def __init__(self, *prefix: str) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        command = [*prefix, str(LIBEXEC / "vks-custodian")]
        file_actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
        self.pid = os.posix_spawnp(command[0], command, {}, file_actions=file_actions)
        theirs.close()
        self.channels: list[Channel] = []
        self._exit_code: int | None = None
        self._tag = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        for channel in self.channels:
            channel.ours.close()
        assert self.wait() == 0

    def wait(self) -> int:
        """The exit code."""
        if self._exit_code is None:
            self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._exit_code

    def send(self, data: bytes, fds: list[int] | None = None) -> None:
        """One packet exactly as given."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], rights)

    def call(self, message: int, body: bytes = b"", fds: list[int] | None = None) -> tuple[int, bytes]:
        """Request and reply: the error and the reply's body."""
        self._tag += 1
        size = ffi.sizeof("struct vks_ipc_head")
        self.send(pack("vks_ipc_head", type=message, size_bytes=size + len(body), tag=self._tag) + body, fds)
        data = self.socket.recv(65536)
        head = unpack("vks_ipc_head", data)
        assert (head.type, head.tag, head.size_bytes) == (message | lib.VKS_IPC_REPLY, self._tag, len(data))
        return head.error, data[size:]

    def open_root(self, path: Path, *, create: bool = False, mode: int = 0o600, secret: Secret | None = None) -> int:
        """Open the KEK file as keystored does; the error."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        fd = os.open(path, flags, mode)
        try:
            return self.call(lib.VKS_CUSTODIAN_ROOT_OPEN, root_body(create=create, secret=secret), fds_of(fd, secret))[
                0
            ]
        finally:
            os.close(fd)

    def change_root(self, path: Path, kind: int, *, secret: Secret | None = None, blob: bytes = b"") -> int:
        """Have the next KEK written to an empty file; the error."""
        secret = secret or Secret()
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600)
        fields = {"kind": kind, "blob_bytes": len(blob), "secret": secret.fields}
        body = ffi.new("struct vks_custodian_root_change *", fields)
        try:
            message = bytes(ffi.buffer(body)) + secret.wrapped + blob
            return self.call(lib.VKS_CUSTODIAN_ROOT_CHANGE, message, fds_of(fd, secret))[0]
        finally:
            os.close(fd)

    def reseal(self, entries: list[tuple[bytes, int, int, bytes]]) -> tuple[int, list[bytes]]:
        """Have (key id, version, type, sealed) sealed under the next KEK; error and blobs."""
        content = b"".join(
            pack("vks_custodian_load_entry", key_id=key_id, version=version, type=key_type, sealed_bytes=len(sealed))
            + sealed
            + bytes(-len(sealed) % 8)
            for key_id, version, key_type, sealed in entries
        )
        head = pack("vks_custodian_reseal", count=len(entries), entries_bytes=len(content))
        error, body = self.call(lib.VKS_CUSTODIAN_RESEAL, head + content)
        blobs, offset = [], len(head)
        for *_, sealed in entries if error == 0 else ():
            offset += ffi.sizeof("struct vks_custodian_load_entry")
            blobs.append(body[offset : offset + len(sealed)])
            offset += len(sealed) + -len(sealed) % 8
        return error, blobs

    def switch_root(self) -> int:
        """Have the next KEK in force; the error."""
        return self.call(lib.VKS_CUSTODIAN_ROOT_SWITCH)[0]

    def status(self) -> Any:
        """``struct vks_custodian_status``."""
        error, body = self.call(lib.VKS_CUSTODIAN_STATUS)
        assert error == 0
        return unpack("vks_custodian_status", body)

    def generate(self, key_type: int, *, key_id: bytes = KEY_ID, version: int = 1) -> tuple[int, Key | None]:
        """Error and, if it is 0, the key."""
        body = pack("vks_custodian_generate", key_id=key_id, version=version, type=key_type)
        return self._key(*self.call(lib.VKS_CUSTODIAN_GENERATE, body))

    def offer(self) -> bytes:
        """Offer id and public key."""
        error, body = self.call(lib.VKS_CUSTODIAN_OFFER)
        assert error == 0
        assert len(body) == ffi.sizeof("struct vks_custodian_offer")
        return body

    def import_key(
        self, offer_id: bytes, wrapped: bytes, *, key_id: bytes = KEY_ID, version: int = 1
    ) -> tuple[int, Key | None]:
        """Error and, if it is 0, the key."""
        head = pack(
            "vks_custodian_import", offer_id=offer_id, key_id=key_id, version=version, wrapped_bytes=len(wrapped)
        )
        return self._key(*self.call(lib.VKS_CUSTODIAN_IMPORT, head + wrapped))

    @staticmethod
    def _key(error: int, body: bytes) -> tuple[int, Key | None]:
        if error:
            assert body == b""
            return error, None
        size = ffi.sizeof("struct vks_custodian_key")
        key = unpack("vks_custodian_key", body)
        assert len(body) == size + key.sealed_bytes + key.public_bytes
        return 0, Key(key.type, body[size : size + key.sealed_bytes], body[size + key.sealed_bytes :])

    def add_channel(self, channel_id: int) -> Channel:
        """Make a key channel known; the worker's end."""
        channel = Channel()
        self.channels.append(channel)
        body = pack("vks_custodian_channel", channel_id=channel_id)
        assert self.call(lib.VKS_CUSTODIAN_CHANNEL, body, [channel.custodians.fileno()])[0] == 0
        channel.custodians.close()
        return channel

    def load(self, channel_id: int, load_id: int, entries: list[tuple[bytes, int, int, int, bytes]]) -> int:
        """Load (key id, version, type, nonce lease, sealed) into a channel; the error."""
        body = pack("vks_custodian_load", channel_id=channel_id, load_id=load_id, count=len(entries))
        for key_id, version, key_type, lease, sealed in entries:
            body += pack(
                "vks_custodian_load_entry", key_id=key_id, version=version, type=key_type, nonce_lease=lease,
                sealed_bytes=len(sealed),
            )  # fmt: skip
            body += sealed + bytes(-len(sealed) % 8)
        return self.call(lib.VKS_CUSTODIAN_LOAD, body)[0]

# SPDX-License-Identifier: Apache-2.0
"""The custodian as the rest of keystored sees it: keys made, imported and handed to workers, always sealed or unseen.

Knows ``VKS_CUSTODIAN_*`` of ``ipc.h``. The KEK file is opened here and read there. When the custodian dies, its
successor is told the root of trust and every key channel again; running workers notice nothing.
"""

import errno
import logging
import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from vmm_keystore._vks import ffi, lib
from vmm_keystore.errors import CustodianError, ImportRefusedError, RootOfTrustError
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.ports import CustodianStatus, ImportOffer, KeyLoad, SealedKey
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.errors import ProgramError, ProgramLostError, ProgramRefusedError
from vmm_keystore.workers.ipc import HEAD_BYTES, REPLY, Form, Message, pack
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.programs import FirstPrograms
from vmm_keystore.workers.sandbox import describe
from vmm_keystore.workers.supervised import SupervisedProgram

log = logging.getLogger(__name__)

PROGRAM = "vks-custodian"
KIND_FILE = 1
GENERATE_TIMEOUT_S = 60.0  # RSA-4096 on a busy machine
TIMEOUT_S = 5.0
LOAD_HEAD_BYTES: int = HEAD_BYTES + ffi.sizeof("struct vks_custodian_load")
SECRET_MEMORY = {lib.VKS_SECRET_MEMORY_MEMFD: "memfd-secret", lib.VKS_SECRET_MEMORY_MLOCK: "mlock"}
IMPORT_REFUSALS = {
    errno.ENOENT: "the import offer is unknown or used",
    errno.EBADMSG: "what was sent was not wrapped to this offer, or is damaged",
    errno.EINVAL: "what was sent is not a key of a supported type",
}


def key_tail_bytes(key: Any) -> int:
    """Bytes behind ``struct vks_custodian_key``."""
    return int(key.sealed_bytes + key.public_bytes)


def audit_key_tail_bytes(key: Any) -> int:
    """Bytes behind ``struct vks_custodian_audit_key``."""
    return int(key.sealed_bytes)


FORMS = {
    lib.VKS_CUSTODIAN_STATUS | REPLY: Form("vks_custodian_status"),
    lib.VKS_CUSTODIAN_ROOT_OPEN | REPLY: Form(),
    lib.VKS_CUSTODIAN_GENERATE | REPLY: Form("vks_custodian_key", key_tail_bytes),
    lib.VKS_CUSTODIAN_OFFER | REPLY: Form("vks_custodian_offer"),
    lib.VKS_CUSTODIAN_IMPORT | REPLY: Form("vks_custodian_key", key_tail_bytes),
    lib.VKS_CUSTODIAN_CHANNEL | REPLY: Form(),
    lib.VKS_CUSTODIAN_CHANNEL_CLOSE | REPLY: Form(),
    lib.VKS_CUSTODIAN_LOAD | REPLY: Form(),
    lib.VKS_CUSTODIAN_AUDIT_KEY | REPLY: Form("vks_custodian_audit_key", audit_key_tail_bytes),
    lib.VKS_CUSTODIAN_AUDIT_SIGN | REPLY: Form("vks_custodian_audit_signature"),
}


def open_kek(path: Path, *, may_create: bool) -> tuple[int, bool]:
    """Open the KEK file for the custodian; the second value says that it is empty and a KEK must be made.

    Raises:
        RootOfTrustError: it is missing or empty although keys were sealed with it, or not private to this user.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            fd = create_durably(path, flags) if may_create else os.open(path, flags)
        except FileExistsError:
            fd = os.open(path, flags)
    except OSError as error:
        hint = "restore it from a backup, the keys in the store cannot be opened without it"
        raise RootOfTrustError(f"cannot open {path}: {os.strerror(error.errno or 0).lower()}", hint) from None
    status = os.fstat(fd)
    problem, hint = "", ""
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        problem, hint = f"{path} is not private to this user", f"chmod 600 {path}, owned by uid {os.geteuid()}"
    elif status.st_size == 0 and not may_create:
        problem, hint = f"{path} is empty, but the store has keys", "restore it from a backup"
    if problem:
        os.close(fd)
        raise RootOfTrustError(problem, hint)
    return fd, status.st_size == 0


def root_refusal(error: int) -> RootOfTrustError:
    """Say why the custodian did not take the KEK file."""
    if error in {errno.EBADMSG, errno.EINVAL, errno.EIO}:
        hint = "restore it from a backup, the keys in the store cannot be opened without it"
        return RootOfTrustError("the kek is damaged", hint)
    return RootOfTrustError(f"the kek cannot be opened: {os.strerror(error).lower()}")


def create_durably(path: Path, flags: int) -> int:
    """Make an empty file whose name survives a crash of the host."""
    fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return fd


class Custodian:
    """``service.ports.KeyCustodian`` over vks-custodian, and the loading of keys into workers."""

    def __init__(self, loop: Loop, open_root: Callable[[], tuple[int, bool]], first: FirstPrograms | None) -> None:
        """Set up without starting.

        Args:
            loop: watches the program.
            open_root: gives the KEK file's descriptor, and whether a KEK must be made; called at each (re)start.
            first: has the first one; None: it is started here.
        """
        self._open_root = open_root
        self._program = SupervisedProgram(
            loop,
            PROGRAM,
            FORMS,
            self._prepare,
            first=first,
            without_rights="the custodian is no user of its own, but keystored's",
        )
        self._channels: dict[int, int] = {}
        self._channels_lock = threading.Lock()

    def start(self) -> None:
        """Start the program and open the root of trust.

        Raises:
            CustodianError: it is missing or refuses.
        """
        try:
            self._program.start()
        except ProgramError as error:
            raise CustodianError(str(error)) from error

    def stop(self) -> None:
        """End the program."""
        self._program.stop()

    def _prepare(self, connection: Connection) -> None:
        fd, create = self._open_root()
        try:
            root = pack("vks_custodian_root", {"kind": KIND_FILE, "create": int(create)})
            connection.request(lib.VKS_CUSTODIAN_ROOT_OPEN, root, [fd])
        except ProgramRefusedError as error:
            raise root_refusal(error.errno) from None
        finally:
            os.close(fd)
        with self._channels_lock:
            for channel_id, channel_fd in self._channels.items():
                connection.request(lib.VKS_CUSTODIAN_CHANNEL, channel_body(channel_id), [channel_fd])

    def _ask(self, message_type: int, body: bytes = b"", *, timeout_s: float = TIMEOUT_S) -> Message:
        """Ask; when the custodian dies over it, ask its successor once."""
        try:
            try:
                return self._program.connection().request(message_type, body, timeout_s=timeout_s)
            except ProgramLostError:
                return self._program.connection().request(message_type, body, timeout_s=timeout_s)
        except ProgramLostError as error:
            raise CustodianError(str(error), "the daemon's log says why") from error

    def status(self) -> CustodianStatus:
        """Ask how it is."""
        body = self._ask(lib.VKS_CUSTODIAN_STATUS).body
        return CustodianStatus(
            pid=self._program.pid or 0,
            secret_memory=SECRET_MEMORY.get(body.secret_memory, "unknown"),
            root_open=body.root_open == 1,
            sandbox=describe(body.sandbox),
        )

    def generate(self, key_id: bytes, version: int, key_type: KeyType) -> SealedKey:
        """Make a key and seal it to (*key_id*, *version*, *key_type*)."""
        body = pack("vks_custodian_generate", {"key_id": key_id, "version": version, "type": int(key_type)})
        try:
            return sealed_key(self._ask(lib.VKS_CUSTODIAN_GENERATE, body, timeout_s=GENERATE_TIMEOUT_S))
        except ProgramRefusedError as error:
            raise CustodianError(f"the custodian made no key: {os.strerror(error.errno)}") from error

    def offer_import(self) -> ImportOffer:
        """Make a one-time key to wrap an import to."""
        try:
            body = self._ask(lib.VKS_CUSTODIAN_OFFER).body
        except ProgramRefusedError as error:
            raise CustodianError(f"the custodian made no import offer: {os.strerror(error.errno)}") from error
        return ImportOffer(bytes(body.offer_id), bytes(body.public_key))

    def import_key(self, offer_id: bytes, key_id: bytes, version: int, wrapped: bytes) -> SealedKey:
        """Unwrap an import and seal it."""
        fields = {"offer_id": offer_id, "key_id": key_id, "version": version, "wrapped_bytes": len(wrapped)}
        try:
            return sealed_key(self._ask(lib.VKS_CUSTODIAN_IMPORT, pack("vks_custodian_import", fields) + wrapped))
        except ProgramRefusedError as error:
            cause = IMPORT_REFUSALS.get(error.errno, os.strerror(error.errno))
            raise ImportRefusedError(f"import refused: {cause}") from error

    def make_audit_key(self) -> tuple[bytes, bytes]:
        """Make the key that signs checkpoints: its public part and a sealed blob."""
        try:
            message = self._ask(lib.VKS_CUSTODIAN_AUDIT_KEY)
        except ProgramRefusedError as error:
            raise CustodianError(f"the custodian made no audit key: {os.strerror(error.errno)}") from error
        return bytes(message.body.public_key), message.tail

    def sign_checkpoint(self, sealed: bytes, text: bytes) -> bytes:
        """Sign the text of a checkpoint; raises RootOfTrustError when the key was sealed under another KEK."""
        fields = {"sealed_bytes": len(sealed), "text_bytes": len(text)}
        try:
            message = self._ask(lib.VKS_CUSTODIAN_AUDIT_SIGN, pack("vks_custodian_audit_sign", fields) + sealed + text)
        except ProgramRefusedError as error:
            if error.errno == errno.EBADMSG:
                raise RootOfTrustError(
                    "the kek does not open what the store has sealed: it is that of another store",
                    "put the kek file back that the store was used with",
                ) from error
            raise CustodianError(f"the custodian signed no checkpoint: {os.strerror(error.errno)}") from error
        return bytes(message.body.signature)

    def open_channel(self, channel_id: int, fd: int) -> None:
        """Give a worker's key channel to the custodian, and to each of its successors.

        Args:
            channel_id: the worker's id.
            fd: the custodian's end; owned by this object until :meth:`close_channel`.
        """
        with self._channels_lock:
            self._channels[channel_id] = fd
            try:
                self._program.connection(0).request(lib.VKS_CUSTODIAN_CHANNEL, channel_body(channel_id), [fd])
            except ProgramLostError:
                return  # the successor is told

    def close_channel(self, channel_id: int) -> None:
        """Take the channel of a worker that ended back; never blocks."""
        with self._channels_lock:
            fd = self._channels.pop(channel_id, -1)
        if fd < 0:
            return
        os.close(fd)
        try:
            self._program.connection(0).post(lib.VKS_CUSTODIAN_CHANNEL_CLOSE, channel_body(channel_id))
        except ProgramLostError:
            return

    def give_up(self, reason: str) -> None:
        """End a custodian that hangs; its successor starts at once."""
        try:
            self._program.connection(0).close(f"vks-custodian: {reason}")
        except ProgramLostError:
            return

    def load(self, channel_id: int, load_id: int, loads: Sequence[KeyLoad]) -> Future[Message]:
        """Have keys unsealed and handed to a worker; the worker says when it has them.

        Args:
            channel_id: the worker's.
            load_id: comes back in the worker's answer.
            loads: as many as :func:`load_batches` puts together.
        """
        fields = {"channel_id": channel_id, "load_id": load_id, "count": len(loads)}
        body = pack("vks_custodian_load", fields) + b"".join(load_entry(load) for load in loads)
        return self._program.connection().post(lib.VKS_CUSTODIAN_LOAD, body, wait_ms=1000)


def channel_body(channel_id: int) -> bytes:
    """Name a channel."""
    return pack("vks_custodian_channel", {"channel_id": channel_id})


def sealed_key(message: Message) -> SealedKey:
    """Read ``struct vks_custodian_key`` and what follows it."""
    sealed_bytes = int(message.body.sealed_bytes)
    return SealedKey(KeyType(message.body.type), message.tail[:sealed_bytes], message.tail[sealed_bytes:])


def load_entry(load: KeyLoad) -> bytes:
    """Lay out one entry of a load, padded to 8."""
    fields = {
        "key_id": load.key_id,
        "version": load.version,
        "type": int(load.key_type),
        "nonce_lease": load.nonce_lease,
        "sealed_bytes": len(load.sealed),
    }
    return pack("vks_custodian_load_entry", fields) + load.sealed + bytes(-len(load.sealed) % 8)


def load_batches(loads: Sequence[KeyLoad], bytes_max: int = lib.VKS_IPC_BYTES_MAX) -> list[list[KeyLoad]]:
    """Split into loads that fit one message each."""
    batches: list[list[KeyLoad]] = []
    room_bytes = 0
    for load in loads:
        size_bytes = len(load_entry(load))
        if size_bytes > room_bytes:
            batches.append([])
            room_bytes = bytes_max - LOAD_HEAD_BYTES
        batches[-1].append(load)
        room_bytes -= size_bytes
    return batches

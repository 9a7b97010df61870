# SPDX-License-Identifier: Apache-2.0
"""vks-hsm with a real software HSM, spoken to as keystored and as workers that have fallen would."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key
from custodian.custodian_process import LIBEXEC, pack, unpack
from framework.software_hsm import LABEL, MODULE, SoftwareHsm

from vmm_keystore._vks import ffi, lib

HEAD_BYTES: int = ffi.sizeof("struct vks_ipc_head")
RESULT_BYTES: int = ffi.sizeof("struct vks_hsm_result")
PUBLIC_BYTES: int = ffi.sizeof("struct vks_hsm_public")
DIGEST = hashlib.sha256(b"message").digest()
BEGIN = lib.VKS_HSM_ALLOW_F_BEGIN
P256 = lib.VKS_KEY_TYPE_EC_P256
SIGN_AND_DECRYPT = 1 << lib.VKS_OP_SIGN | 1 << lib.VKS_OP_DECRYPT


def message(message_type: int, body: bytes, tag: int = 1, *, size_bytes: int | None = None) -> bytes:
    """One packet."""
    size = HEAD_BYTES + len(body) if size_bytes is None else size_bytes
    return pack("vks_ipc_head", type=message_type, size_bytes=size, tag=tag) + body


@dataclass(frozen=True)
class Pair:
    """A key pair of the token, under a name of the vault's."""

    object_id: bytes
    public_der: bytes
    key_id: bytes

    def holds(self, signature: bytes) -> bool:
        """Whether it is one of DIGEST."""
        public: Any = load_der_public_key(self.public_der)
        der = utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        public.verify(der, DIGEST, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return True


class Client:
    """A worker's end of its channel."""

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours
        self._tag = 0

    def ask(self, key: Pair, *, content: bytes = DIGEST, **fields: Any) -> int:
        """Send a request; its tag."""
        self._tag += 1
        asked = {
            "key_id": key.key_id,
            "version": 1,
            "op": lib.VKS_OP_SIGN,
            "mechanism": lib.VKS_MECHANISM_ECDSA_SHA256,
            "input_bytes": len(content),
        }
        self.socket.send(message(lib.VKS_HSM_RUN, pack("vks_hsm_run", **asked | fields) + content, self._tag))
        return self._tag

    def fill(self, key: Pair) -> None:
        """Send until nothing is taken any more."""
        try:
            while True:
                self.ask(key)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return

    def answer(self) -> tuple[int, int, bytes]:
        """Tag, status and output of the next answer."""
        packet = self.socket.recv(65536)
        head = unpack("vks_ipc_head", packet)
        assert (head.type, head.error, head.size_bytes) == (lib.VKS_HSM_RUN | lib.VKS_IPC_REPLY, 0, len(packet))
        result = unpack("vks_hsm_result", packet[HEAD_BYTES:])
        assert result.output_bytes == len(packet) - HEAD_BYTES - RESULT_BYTES
        return head.tag, result.status, packet[HEAD_BYTES + RESULT_BYTES :]

    def sign(self, key: Pair, **fields: Any) -> tuple[int, bytes]:
        """One request to its end."""
        tag = self.ask(key, **fields)
        answered, status, output = self.answer()
        assert answered == tag
        return status, output

    @property
    def is_closed(self) -> bool:
        """Whether the other end is gone."""
        try:
            return self.socket.recv(65536) == b""
        except ConnectionResetError:
            return True


class HsmProcess:
    """The program; a context manager."""

    def __init__(self, hsm: SoftwareHsm) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self._tag = 0
        self._exit: int | None = None
        self.clients: list[Client] = []
        path = str(LIBEXEC / "vks-hsm")
        self.pid = os.posix_spawn(
            path, [path], hsm.environment, file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
        )
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        for client in self.clients:
            client.socket.close()
        self.wait()

    def wait(self) -> int:
        """The exit code."""
        if self._exit is None:
            self._exit = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._exit

    def call(self, message_type: int, body: bytes, fds: list[int] | None = None) -> tuple[int, bytes]:
        """Request and reply: error and body."""
        self._tag += 1
        socket.send_fds(self.socket, [message(message_type, body, self._tag)], fds or [])
        packet = self.socket.recv(65536)
        head = unpack("vks_ipc_head", packet)
        assert (head.type, head.tag) == (message_type | lib.VKS_IPC_REPLY, self._tag)
        return head.error, packet[HEAD_BYTES:]

    def open(self, hsm: SoftwareHsm, module: Path = MODULE, label: bytes = bytes(32)) -> Any:
        """Have it log in; ``struct vks_hsm_opened``."""
        path = str(module).encode()
        with hsm.pin_file.open("rb") as pin:
            body = pack("vks_hsm_open", label=label, path_bytes=len(path)) + path
            error, answer = self.call(lib.VKS_HSM_OPEN, body, [pin.fileno()])
        assert error == 0
        return unpack("vks_hsm_opened", answer)

    def pair(self, key_type: int = P256) -> Pair:
        """A new one."""
        object_id = secrets.token_bytes(16)
        place = ffi.new(
            "struct vks_hsm_generate *",
            {"object": {"bytes": object_id, "size_bytes": 16, "type": key_type}, "label": b"label"},
        )
        error, answer = self.call(lib.VKS_HSM_GENERATE, bytes(ffi.buffer(place)))
        assert error == 0
        made = unpack("vks_hsm_public", answer)
        assert made.outcome == 0
        return Pair(object_id, answer[PUBLIC_BYTES:], secrets.token_bytes(16))

    def client(self, channel_id: int, *keys: Pair) -> Client:
        """A channel that may use these."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(30)
        with theirs:
            theirs.setblocking(False)
            body = pack("vks_hsm_channel", channel_id=channel_id)
            assert self.call(lib.VKS_HSM_CHANNEL, body, [theirs.fileno()])[0] == 0
        assert self.allow(channel_id, *keys) == 0
        self.clients.append(Client(ours))
        return self.clients[-1]

    def allow(self, channel_id: int, *keys: Pair, flags: int = BEGIN, ops: int = SIGN_AND_DECRYPT) -> int:
        """Say what a channel may use; the error."""
        entries = [
            {
                "key_id": key.key_id,
                "version": 1,
                "op_mask": ops,
                "object": {"bytes": key.object_id, "size_bytes": 16, "type": P256},
            }
            for key in keys
        ]
        body = pack("vks_hsm_allow", channel_id=channel_id, flags=flags, count=len(keys))
        content = bytes(ffi.buffer(ffi.new("struct vks_hsm_key[]", entries))) if entries else b""
        return self.call(lib.VKS_HSM_ALLOW, body + content)[0]


@pytest.fixture(scope="module")
def hsm() -> Iterator[SoftwareHsm]:
    with SoftwareHsm() as made:
        yield made


@pytest.fixture
def program(hsm: SoftwareHsm) -> Iterator[HsmProcess]:
    """One with an open token."""
    with HsmProcess(hsm) as started:
        opened = started.open(hsm)
        assert (opened.outcome, opened.sessions, bytes(opened.label).rstrip()) == (0, 4, LABEL.encode())
        yield started
    assert started.wait() == 0


def test_each_channel_has_its_own_keys(program: HsmProcess) -> None:
    """By their names of the vault's: what another one may use is nothing that there is."""
    mine, yours = program.pair(), program.pair()
    me, you = program.client(1, mine), program.client(2, yours)
    status, signature = me.sign(mine)
    assert status == lib.VKS_STATUS_OK
    assert mine.holds(signature)
    status, signature = you.sign(yours)
    assert status == lib.VKS_STATUS_OK
    assert yours.holds(signature)
    for client, key in ((me, yours), (you, mine)):
        assert client.sign(key) == (lib.VKS_STATUS_UNAVAILABLE, b"")
    assert me.sign(mine, version=2) == (lib.VKS_STATUS_UNAVAILABLE, b"")


def test_list_is_exchanged_or_extended(program: HsmProcess) -> None:
    """With its first part all of the last one goes."""
    first, second = program.pair(), program.pair()
    client = program.client(1, first)
    assert program.allow(1, second, flags=0) == 0
    assert [client.sign(key)[0] for key in (first, second)] == [lib.VKS_STATUS_OK] * 2
    assert program.allow(1, second) == 0
    assert [client.sign(key)[0] for key in (first, second)] == [lib.VKS_STATUS_UNAVAILABLE, lib.VKS_STATUS_OK]
    assert program.allow(1) == 0
    assert client.sign(second)[0] == lib.VKS_STATUS_UNAVAILABLE
    assert program.allow(7, first) == -2


def test_operations_are_told_apart(program: HsmProcess) -> None:
    """Who may decrypt with a key does not sign with it, nor what has no number of an operation."""
    key = program.pair()
    client = program.client(1, key)
    assert program.allow(1, key, ops=1 << lib.VKS_OP_DECRYPT) == 0
    for op in (lib.VKS_OP_SIGN, 32 + lib.VKS_OP_DECRYPT, 2**32 - 1):
        assert client.sign(key, op=op) == (lib.VKS_STATUS_UNAVAILABLE, b"")
    assert client.sign(key, op=lib.VKS_OP_DECRYPT)[0] == lib.VKS_STATUS_UNSUPPORTED
    assert program.allow(1, key, ops=1 << lib.VKS_OP_SIGN) == 0
    assert client.sign(key)[0] == lib.VKS_STATUS_OK


def test_more_than_a_window(program: HsmProcess) -> None:
    """Nothing is lost, whatever is sent at once; answers come in any order."""
    key = program.pair()
    client = program.client(1, key)
    tags = {client.ask(key) for _ in range(3 * lib.VKS_HSM_WINDOW)}
    answers = [client.answer() for _ in tags]
    assert {tag for tag, _, _ in answers} == tags
    assert all(status == lib.VKS_STATUS_OK and key.holds(output) for _, status, output in answers)


BODY = pack("vks_hsm_run", op=lib.VKS_OP_SIGN, mechanism=lib.VKS_MECHANISM_ECDSA_SHA256, version=1, input_bytes=32)
HOSTILE = {
    "empty": b"",
    "a head cut short": message(lib.VKS_HSM_RUN, BODY + DIGEST)[:20],
    "another type": message(lib.VKS_HSM_GENERATE, pack("vks_hsm_generate")),
    "a reply": message(lib.VKS_HSM_RUN | lib.VKS_IPC_REPLY, pack("vks_hsm_result")),
    "a structure cut short": message(lib.VKS_HSM_RUN, BODY[:-1]),
    "a size that lies": message(lib.VKS_HSM_RUN, BODY + DIGEST, size_bytes=HEAD_BYTES + len(BODY)),
    "less than announced": message(lib.VKS_HSM_RUN, BODY + DIGEST[:-1]),
    "more than announced": message(lib.VKS_HSM_RUN, BODY + DIGEST + b"x"),
    "a label that wraps": message(
        lib.VKS_HSM_RUN, pack("vks_hsm_run", op=lib.VKS_OP_SIGN, label_bytes=2**32 - 1, input_bytes=33) + DIGEST
    ),
    "too long": message(lib.VKS_HSM_RUN, pack("vks_hsm_run", op=lib.VKS_OP_SIGN, input_bytes=5000) + bytes(5000)),
}


@pytest.mark.parametrize("packet", HOSTILE.values(), ids=HOSTILE.keys())
def test_broken_message_costs_its_own_channel(program: HsmProcess, packet: bytes) -> None:
    """The others go on, and so does the program."""
    key = program.pair()
    bad, good = program.client(1, key), program.client(2, key)
    if packet:
        bad.socket.send(packet)
    else:
        bad.socket.close()
    assert not packet or bad.is_closed
    assert good.sign(key)[0] == lib.VKS_STATUS_OK
    again = program.client(1, key)
    assert again.sign(key)[0] == lib.VKS_STATUS_OK


NONSENSE = {
    "no such mechanism": ({"mechanism": lib.VKS_MECHANISM_COUNT}, DIGEST),
    "no mechanism": ({"mechanism": lib.VKS_MECHANISM_DEFAULT}, DIGEST),
    "a cipher": ({"mechanism": lib.VKS_MECHANISM_AES_GCM}, DIGEST),
    "to sign by encryption": ({"mechanism": lib.VKS_MECHANISM_RSA_OAEP_SHA256}, DIGEST),
    "to decrypt by signature": ({"op": lib.VKS_OP_DECRYPT}, DIGEST),
    "another type's": ({"mechanism": lib.VKS_MECHANISM_RSA_PKCS1_SHA256}, DIGEST),
    "no digest of that hash": ({"mechanism": lib.VKS_MECHANISM_RSA_PSS_SHA256}, DIGEST[:-1]),
    "nothing": ({}, b""),
    "no such operation": ({"op": 2**32 - 1}, DIGEST),
}


@pytest.mark.parametrize(("fields", "content"), NONSENSE.values(), ids=NONSENSE.keys())
def test_requests_that_make_no_sense(program: HsmProcess, fields: dict[str, int], content: bytes) -> None:
    """Answered, whatever they ask of whatever key; the next one is served."""
    key = program.pair()
    client = program.client(1, key)
    refused = {lib.VKS_STATUS_UNSUPPORTED, lib.VKS_STATUS_INTERNAL, lib.VKS_STATUS_UNAVAILABLE}
    assert client.sign(key, content=content, **fields)[0] in refused
    assert client.sign(key)[0] == lib.VKS_STATUS_OK


def test_worker_that_reads_no_answers(program: HsmProcess) -> None:
    """Its window and its socket are full: it waits, or loses its channel; nobody else does."""
    key = program.pair()
    deaf, other = program.client(1, key), program.client(2, key)
    deaf.socket.setblocking(False)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    deaf.fill(key)
    assert other.sign(key)[0] == lib.VKS_STATUS_OK


def test_channels_are_told_apart(program: HsmProcess) -> None:
    """One of a number; a closed one takes nothing."""
    key = program.pair()
    client = program.client(1, key)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        body = pack("vks_hsm_channel", channel_id=1)
        assert program.call(lib.VKS_HSM_CHANNEL, body, [theirs.fileno()])[0] == -17
        assert program.call(lib.VKS_HSM_CLOSE, body)[0] == 0
        assert program.call(lib.VKS_HSM_CLOSE, body)[0] == -2
    assert client.is_closed


def test_types_that_a_token_does_not_have(program: HsmProcess) -> None:
    """It is not asked."""
    for key_type in (lib.VKS_KEY_TYPE_ED25519, lib.VKS_KEY_TYPE_AES_256, 0, 2**32 - 1):
        place = ffi.new("struct vks_hsm_generate *", {"object": {"size_bytes": 16, "type": key_type}})
        error, answer = program.call(lib.VKS_HSM_GENERATE, bytes(ffi.buffer(place)))
        made = unpack("vks_hsm_public", answer)
        assert (error, made.outcome, made.public_bytes) == (0, 4, 0)
        assert bytes(ffi.buffer(made.text)).startswith(b"the token has no such keys\nhint: ")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"module": Path("/none.so")}, 3),
        ({"module": Path("module.so")}, 3),
        ({"label": b"none".ljust(32)}, 3),
    ],
)
def test_token_that_does_not_open(hsm: SoftwareHsm, words: dict[str, Any], code: int) -> None:
    """It is said, and that is all."""
    with HsmProcess(hsm) as started:
        opened = started.open(hsm, **words)
        assert opened.outcome == code
        assert ffi.string(opened.text)
        assert started.wait() == code


def test_first_message_is_open(hsm: SoftwareHsm) -> None:
    """Nobody else speaks to it."""
    with HsmProcess(hsm) as started:
        started.socket.send(message(lib.VKS_HSM_GENERATE, pack("vks_hsm_generate")))
        assert started.socket.recv(100) == b""


def test_ends_with_keystored(hsm: SoftwareHsm) -> None:
    """By its control socket, with channels open and work in it."""
    with HsmProcess(hsm) as started:
        started.open(hsm)
        key = started.pair()
        client = started.client(1, key)
        client.ask(key)
        started.socket.close()
        assert started.wait() == 0

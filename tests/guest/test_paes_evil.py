# SPDX-License-Identifier: Apache-2.0
"""A device that lies to the module's own requests, when xts(paes) is given a key; the checking kernel is the judge."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guest.boot import Boot
from guest.driver_bench import BIND, REMOVE, Bench, Plug
from guest.driver_device import KEY_ID, Answer, KeystoreFactory, Request
from guest.paes import AAD, EACCES, ENODEV, ENOKEY, TOKEN_BYTES, content_without_disk

from vmm_keystore._vks import ffi, lib
from vmm_keystore.vhost_user.listener import GuestSocket

pytestmark = [pytest.mark.uml, pytest.mark.timeout(300)]

EIO, EPROTO, EKEYREJECTED, EOPNOTSUPP = 5, 71, 129, 95
U32_MAX = 0xFFFF_FFFF
RAW_KEY = bytes(range(64))
SEALED = bytes(range(100, 100 + lib.VKS_PAES_SEALED_BYTES))
LIST, DECRYPT = lib.VKS_OP_LIST, lib.VKS_OP_DECRYPT
OPENING = 1 << lib.VKS_OP_DECRYPT | 1 << lib.VKS_OP_RELEASE


def token() -> bytes:
    """A token for the device's one key."""
    made: Any = ffi.new("struct vks_paes_token *", {"version": lib.VKS_PAES_VERSION, "key_version": 1})
    ffi.memmove(made.magic, b"vks-paes", 8)
    ffi.memmove(made.key_id, KEY_ID, 16)
    ffi.memmove(made.sealed, SEALED, len(SEALED))
    assert len(ffi.buffer(made)) == TOKEN_BYTES
    return bytes(ffi.buffer(made))


def honest(request: Request, answer: Answer) -> None:
    """The device's key opens tokens: what a vault would say, on top of what the device says by itself."""
    if request.op == LIST and answer.output:
        listed = bytearray(answer.output)
        entry: Any = ffi.from_buffer("struct vks_key_entry *", memoryview(listed)[8:], require_writable=True)
        entry.op_mask = OPENING
        answer.output = bytes(listed)
    if request.op == DECRYPT:
        good = (request.aad, request.input) == (AAD.encode(), SEALED)
        answer.status = lib.VKS_STATUS_OK if good else lib.VKS_STATUS_AUTH_FAILED
        answer.output = RAW_KEY if good else b""


@pytest.fixture
def bench(plug: Plug, boot: Boot) -> Iterator[Bench]:
    """Boot the checking kernel with a device whose key opens tokens."""
    plug.factory.lie = honest
    guest = boot("uml-kasan", content_without_disk(), devices=[(plug.path, 20)])
    guest.push(token(), "/tmp/token")
    yield Bench(guest, plug.factory, plug.server)
    guest.run("rmmod virtio_keystore", timeout=30)


def entry_lie(**fields: Any) -> Any:
    """Change fields of the entry in the answer to list."""

    def lie(_request: Request, answer: Answer) -> None:
        listed = bytearray(answer.output)
        entry: Any = ffi.from_buffer("struct vks_key_entry *", memoryview(listed)[8:], require_writable=True)
        for name, value in fields.items():
            setattr(entry, name, value)
        answer.output = bytes(listed)

    return lie


def answer_lie(**fields: Any) -> Any:
    """Change fields of the answer."""

    def lie(_request: Request, answer: Answer) -> None:
        for name, value in fields.items():
            setattr(answer, name, value)

    return lie


LIES = [
    (LIST, answer_lie(output=bytes(8)), ENOKEY),
    (LIST, answer_lie(output=b""), ENOKEY),
    (LIST, answer_lie(output_bytes=1), ENOKEY),
    (LIST, answer_lie(output_bytes=U32_MAX), EPROTO),
    (LIST, answer_lie(output_bytes=8 + ffi.sizeof("struct vks_key_entry") + 1), EPROTO),
    (LIST, answer_lie(used_bytes=0), EPROTO),
    (LIST, answer_lie(used_bytes=U32_MAX), EPROTO),
    (LIST, answer_lie(skip_output=True), ENOKEY),
    (LIST, answer_lie(skip_status=True), EPROTO),
    (LIST, answer_lie(status=0x77), EPROTO),
    (LIST, answer_lie(status=lib.VKS_STATUS_FOREIGN_NOTSUPP), EOPNOTSUPP),
    (LIST, answer_lie(status=lib.VKS_STATUS_MALFORMED), EPROTO),
    (LIST, entry_lie(version=2), ENOKEY),
    (LIST, entry_lie(key_id=bytes(16)), ENOKEY),
    (LIST, entry_lie(op_mask=1 << lib.VKS_OP_DECRYPT), EACCES),
    (LIST, entry_lie(op_mask=1 << lib.VKS_OP_RELEASE), EACCES),
    (DECRYPT, answer_lie(output=b""), EPROTO),
    (DECRYPT, answer_lie(output=RAW_KEY[:63]), EPROTO),
    (DECRYPT, answer_lie(output_bytes=32), EPROTO),
    (DECRYPT, answer_lie(output_bytes=65), EPROTO),
    (DECRYPT, answer_lie(output_bytes=U32_MAX), EPROTO),
    (DECRYPT, answer_lie(used_bytes=1), EPROTO),
    (DECRYPT, answer_lie(skip_status=True), EPROTO),
    (DECRYPT, answer_lie(status=lib.VKS_STATUS_AUTH_FAILED, output_bytes=U32_MAX), EKEYREJECTED),
    (DECRYPT, answer_lie(status=lib.VKS_STATUS_DENIED), EACCES),
    (DECRYPT, answer_lie(head=0xFFFF), EIO),
]


def test_lies_refuse_the_key(bench: Bench) -> None:
    """No answer of the device makes more of it than a refused key, and the next honest one opens the token (MUST-15)."""
    opened = bench.guest.run("setkey </tmp/token").text
    assert len(opened) == 1024
    for op, lie, error in LIES:

        def lying(request: Request, answer: Answer, *, op: int = op, lie: Any = lie) -> None:
            honest(request, answer)
            if request.op == op:
                lie(request, answer)

        bench.factory.lie = lying
        assert bench.guest.run("setkey </tmp/token").text == f"error {error}", (op, error)
        bench.factory.lie = honest
        if error == EIO:
            bench.rebind()
        assert bench.guest.run("setkey </tmp/token").text == opened
    uids = {
        (request.head.uid, request.head.flags) for request in bench.factory.record.requests if request.op == DECRYPT
    }
    assert uids == {(0, lib.VKS_REQUEST_F_UID)}


@pytest.mark.parametrize("op", [LIST, DECRYPT], ids=["list", "decrypt"])
def test_device_goes_while_it_is_asked(bench: Bench, op: int) -> None:
    """Whoever sets a key when the device goes is told so; killed, it leaves nothing behind (MUST-33)."""

    def silent(request: Request, answer: Answer) -> None:
        honest(request, answer)
        answer.silent = request.op == op

    bench.factory.lie = silent
    waiting, killed = bench.guest.start("setkey </tmp/token"), bench.guest.start("exec setkey </tmp/token")
    bench.wait_op(op, 2)
    killed.signal(9)
    assert killed.wait(10)
    bench.guest.run(REMOVE)
    assert waiting.wait(10)
    assert bytes(waiting.stdout).decode().strip() == f"error {ENODEV}"
    assert bench.guest.run("setkey </tmp/token").text == f"error {ENODEV}"
    bench.factory.lie = honest
    bench.guest.run(BIND)
    assert len(bench.guest.run("setkey </tmp/token").text) == 1024


def test_first_device_that_has_the_key(plug: Plug, boot: Boot, tmp_path: Path) -> None:
    """Of two vaults the one that lists the key opens the token; one that lists it without release decides (MUST-55)."""
    second = KeystoreFactory(lie=honest)
    plug.server.add_guest(GuestSocket("courier2", tmp_path / "second.sock"), second)
    devices = [(plug.path, 20), (tmp_path / "second.sock", 20)]
    guest = boot("uml-kasan", content_without_disk(), devices=devices)
    guest.push(token(), "/tmp/token")

    def asked() -> list[int]:
        """How many requests to list and to decrypt each device had, since this was last asked for."""
        counts = []
        for factory in (plug.factory, second):
            ops = [request.op for request in factory.record.requests]
            factory.record.requests.clear()
            counts += [ops.count(LIST), ops.count(DECRYPT)]
        return counts

    def unknown(request: Request, answer: Answer) -> None:
        if request.op == LIST:
            answer.output = bytes(8)

    def broken(request: Request, answer: Answer) -> None:
        if request.op == LIST:
            answer.used_bytes = 0

    asked()
    plug.factory.lie = unknown
    assert len(guest.run("setkey </tmp/token").text) == 1024
    assert asked() == [1, 0, 1, 1]
    plug.factory.lie = None
    assert guest.run("setkey </tmp/token").text == f"error {EACCES}"
    assert asked() == [1, 0, 0, 0]
    second.lie = plug.factory.lie = unknown
    assert guest.run("setkey </tmp/token").text == f"error {ENOKEY}"
    assert asked() == [1, 0, 1, 0]
    plug.factory.lie = broken
    assert guest.run("setkey </tmp/token").text == f"error {EPROTO}"
    assert asked() == [1, 0, 1, 0]

# SPDX-License-Identifier: Apache-2.0
"""The module at a device that lies: nothing is read that was not given, and what makes no sense is an error.

``make test-sanitized`` runs this with the module built with ASan and UBSan.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from framework.lying_back_end import LyingBackEnd, Ring
from framework.pkcs11_guest import Pkcs11Guest

from vmm_keystore._vks import ffi, lib

OK, DEVICE_ERROR, SENSITIVE, NO_SUCH_TYPE = "0x0", "0x30", "0x11", "0x12"
SPKI, RAW = PublicFormat.SubjectPublicKeyInfo, PublicFormat.UncompressedPoint
EC = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, SPKI)
RSA = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, SPKI)
ALL = (1 << 64) - 1
NONE_GIVEN = -1


def entry(number: int, key_type: int, label: bytes = b"key", *, version: int = 1, current: int = 1) -> bytes:
    """One version of a key, with all that it may do."""
    one: Any = ffi.new("struct vks_key_entry *")
    one.key_id[0:16] = list(number.to_bytes(16))
    one.version, one.type, one.state, one.is_current = version, key_type, lib.VKS_KEY_STATE_ACTIVE, current
    one.mechanism_mask = ALL
    one.op_mask = ALL & ~(1 << lib.VKS_OP_LOGIN)
    ffi.memmove(one.label, label, min(len(label), 64))
    return bytes(ffi.buffer(one))


def listing(*entries: bytes, count: int | None = None) -> bytes:
    """An answer to list."""
    head: Any = ffi.new("struct vks_list_head *")
    head.entry_count = len(entries) if count is None else count
    return bytes(ffi.buffer(head)) + b"".join(entries)


PAIR = entry(1, lib.VKS_KEY_TYPE_EC_P256)
SECRET = entry(2, lib.VKS_KEY_TYPE_AES_256)
KEYS = listing(PAIR, SECRET)
HONEST = {
    lib.VKS_OP_LIST: KEYS,
    lib.VKS_OP_PUBLIC: EC,
    lib.VKS_OP_SIGN: bytes(64),
    lib.VKS_OP_ENCRYPT: bytes(40),
    lib.VKS_OP_DECRYPT: bytes(24),
    lib.VKS_OP_RANDOM: bytes(16),
}
SAID = {
    "find": [(OK, 1), (OK, 1)],
    "label": [(OK, 3)],
    "point": [(OK, 67)],
    "modulus": [(NO_SUCH_TYPE, NONE_GIVEN)],
    "info": [(OK, len(EC))],
    "sign": [(OK, 64)],
    "encrypt": [(OK, 40)],
    "decrypt": [(OK, 24)],
    "random": [(OK, 16)],
}
"""What the program says of an honest device."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="vks-") as path:
        yield Path(path)


def respond(
    end: LyingBackEnd, ring: Ring, head: int, honest: dict[int, bytes], lies: dict[int, bytes], **how: int
) -> int:
    """Answer one request: by *lies*, with *how*, where they have its operation, which is returned."""
    at, _, _, _ = ring.parts(head)
    request: Any = ffi.from_buffer("struct vks_request_head *", ring.memory[at : at + lib.VKS_HEAD_BYTES])
    operation: int = request.opcode & 0xFF
    output = (honest | lies)[operation][: request.output_bytes]
    ring.put(head, end.answer(ring, head, output, **(how if operation in lies else {})))
    ring.publish()
    end.signal()
    return operation


def said(folder: Path, answers: dict[int, bytes], **how: int) -> dict[str, list[tuple[str, int]]]:
    """What the program says of a device with other answers than an honest one's."""

    def lie(end: LyingBackEnd, ring: Ring, head: int) -> None:
        respond(end, ring, head, HONEST, answers, **how)

    path = folder / "lying.sock"
    with LyingBackEnd(path, lie):
        lines = Pkcs11Guest(path).run("doubt", "calls").splitlines()
    path.unlink()
    words: dict[str, list[tuple[str, int]]] = {}
    for line in lines:
        name, rv, number = line.split()
        words.setdefault(name, []).append((rv, int(number)))
    return words


def test_honest_device(folder: Path) -> None:
    """As a measure for the others."""
    assert said(folder, {}) == SAID


PUBLIC_KEYS = {
    "nothing": b"",
    "one byte": EC[:1],
    "cut": EC[:-1],
    "one byte behind": EC + b"\0",
    "outer length too long": EC[:1] + bytes([EC[1] + 1]) + EC[2:],
    "outer length of four bytes": b"\x30\x84\xff\xff\xff\xff" + EC[2:],
    "indefinite length": b"\x30\x80" + EC[2:],
    "no algorithm": b"\x30\x02\x05\x00",
    "unused bits": EC.replace(b"\x03\x42\x00\x04", b"\x03\x42\x01\x04"),
    "all of it 0xff": b"\xff" * 3072,
    "nothing but zeroes": bytes(len(EC)),
}


@pytest.mark.parametrize("name", PUBLIC_KEYS)
def test_public_key_that_is_none(folder: Path, name: str) -> None:
    """Is the device's error, and that attribute's alone."""
    expected = SAID | {"point": [(DEVICE_ERROR, NONE_GIVEN)], "info": [(DEVICE_ERROR, NONE_GIVEN)]}
    assert said(folder, {lib.VKS_OP_PUBLIC: PUBLIC_KEYS[name]}) == expected


def test_rsa_key_without_numbers(folder: Path) -> None:
    """Lengths inside are held against what is there."""
    keys = {lib.VKS_OP_LIST: listing(entry(1, lib.VKS_KEY_TYPE_RSA_2048), SECRET)}
    good = said(folder, keys | {lib.VKS_OP_PUBLIC: RSA})
    assert good["modulus"] == [(OK, 256)]
    for modulus in (b"\x02\x82\x01\x02\x00", b"\x02\x82\xff\xff\x00", b"\x02\x00\x01\x01\x00", b"\x02\x82\x01\x01\x80"):
        changed = RSA.replace(b"\x02\x82\x01\x01\x00", modulus)
        assert changed != RSA
        assert said(folder, keys | {lib.VKS_OP_PUBLIC: changed})["modulus"] == [(DEVICE_ERROR, NONE_GIVEN)]


@pytest.mark.parametrize(("operation", "name"), [("SIGN", "sign"), ("ENCRYPT", "encrypt"), ("DECRYPT", "decrypt")])
@pytest.mark.parametrize("change", [-1, -1000])
def test_results_that_are_too_short(folder: Path, operation: str, name: str, change: int) -> None:
    """Their size is known before; what was in the buffer is not taken for the rest."""
    number = getattr(lib, f"VKS_OP_{operation}")
    shorter = HONEST[number][: max(0, len(HONEST[number]) + change)]
    ((rv, _),) = said(folder, {number: shorter})[name]
    assert rv == DEVICE_ERROR


@pytest.mark.parametrize("status", ["OUTPUT_SIZE", "INTERNAL", "MALFORMED"])
def test_statuses_that_make_no_sense(folder: Path, status: str) -> None:
    """A device that asks for more room than the operation has would be asked for ever."""
    answers = {lib.VKS_OP_SIGN: b"", lib.VKS_OP_DECRYPT: b""}
    words = said(folder, answers, status=getattr(lib, f"VKS_STATUS_{status}"), output_bytes=4096)
    expected = "0x5" if status == "MALFORMED" else DEVICE_ERROR
    assert [words[name][0][0] for name in ("sign", "decrypt")] == [expected] * 2


LISTS = {
    "more than it has": (listing(PAIR, SECRET, count=3), 0),
    "less than it has": (listing(PAIR, SECRET, count=1), 0),
    "backwards": (listing(SECRET, PAIR), 0),
    "twice the same": (listing(PAIR, PAIR), 0),
    "cut": (KEYS[:-1], 0),
    "of nothing": (b"", 0),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_that_are_none(folder: Path, name: str) -> None:
    """There are no keys then, and no attributes of any."""
    words = said(folder, {lib.VKS_OP_LIST: LISTS[name][0]})
    assert words["find"] == [(DEVICE_ERROR, 0)] * 2
    assert "sign" not in words
    assert words["random"] == SAID["random"]


def test_keys_that_are_strange(folder: Path) -> None:
    """Of types from the future they are passed over; labels without an end are cut; none needs to be current."""
    strange = [entry(3, 0), entry(4, 63), entry(5, 64), entry(6, 0xFFFFFFFF)]
    words = said(folder, {lib.VKS_OP_LIST: listing(PAIR, SECRET, *strange)})
    assert words == SAID
    long = entry(1, lib.VKS_KEY_TYPE_EC_P256, b"\xff" * 64)
    assert said(folder, {lib.VKS_OP_LIST: listing(long, SECRET)})["label"] == [(OK, 63)]
    versions = [entry(1, lib.VKS_KEY_TYPE_EC_P256, version=version, current=0) for version in range(1, 30)]
    assert said(folder, {lib.VKS_OP_LIST: listing(*versions, SECRET)})["find"] == SAID["find"]


@pytest.mark.skipif(not shutil.which("pkcs11-tool"), reason="no pkcs11-tool (opensc)")
def test_public_keys_that_are_refused(folder: Path) -> None:
    """Are asked for one by one, and keys are not listed anew for each."""
    count, asked = 60, Counter[int]()
    keys = listing(*(entry(number, lib.VKS_KEY_TYPE_ED25519) for number in range(1, count + 1)))

    def lie(end: LyingBackEnd, ring: Ring, head: int) -> None:
        refusal = {lib.VKS_OP_PUBLIC: b""}
        operation = respond(end, ring, head, HONEST | {lib.VKS_OP_LIST: keys}, refusal, status=lib.VKS_STATUS_DENIED)
        asked[operation] += 1

    path = folder / "lying.sock"
    with LyingBackEnd(path, lie):
        listed = Pkcs11Guest(path).tool("--list-objects").stdout.decode()
    assert listed.count("Public Key Object") == count
    assert asked[lib.VKS_OP_PUBLIC] >= count
    assert asked[lib.VKS_OP_LIST] < count // 3

# SPDX-License-Identifier: Apache-2.0
"""vks-custodian, driven over its socket as keystored does: seal and unseal, imports, channels, and what it refuses."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from custodian.custodian_process import KEY_ID, Custodian, Key, pack, root_body
from custodian.wrapping import TYPES, pkcs8, public_der, wrap
from framework.secret_forms import PrivateKey

from vmm_keystore._vks import ffi, lib

LEASE = 0x01020304
RAW_BYTES = {
    "aes-128": 16,
    "aes-256": 32,
    "hmac-sha256": 32,
    "hmac-sha384": 48,
    "hmac-sha512": 64,
    "chacha20-poly1305": 32,
    "aes-128-xts": 32,
    "aes-256-xts": 64,
}
FAST_TYPES = [name for name in TYPES if name not in {"rsa-3072", "rsa-4096"} and not name.startswith("ml-")]


def load_one(custodian: Custodian, key: Key, *, channel: int = 1) -> bytes:
    """The material that a worker gets for *key*."""
    worker = custodian.add_channel(channel)
    assert custodian.load(channel, 9, [(KEY_ID, 1, key.type, LEASE, key.sealed)]) == 0
    load_id, _, slots = worker.receive()
    assert load_id == 9
    (slot,) = slots
    assert (slot.key_id, slot.version, slot.type, slot.nonce_lease) == (KEY_ID, 1, key.type, LEASE)
    return slot.material


@pytest.mark.parametrize("name", FAST_TYPES)
def test_generated_key_loads(custodian: Custodian, name: str) -> None:
    """A generated key comes back from its blob as a key of its type, and the public half that was told belongs to it."""
    error, key = custodian.generate(TYPES[name])
    assert error == 0
    assert key is not None
    material = load_one(custodian, key)
    assert material not in key.sealed
    if not key.public:
        assert len(material) == RAW_BYTES[name]
        return
    private = load_der_private_key(material, None)
    assert private.public_key() == load_der_public_key(key.public)


def test_two_blobs_of_one_name_share_nothing(custodian: Custodian) -> None:
    """Each generation makes a new key and each seal a new salt."""
    keys = [custodian.generate(TYPES["aes-256"])[1] for _ in range(2)]
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0].sealed[4:36] != keys[1].sealed[4:36]
    assert keys[0].sealed[36:68] != keys[1].sealed[36:68]


@pytest.mark.parametrize("place", ["magic", "salt", "ciphertext", "tag"])
def test_tampered_blob_does_not_load(custodian: Custodian, place: str) -> None:
    """One flipped bit anywhere in a blob and it does not unseal; nothing is sent to the worker."""
    _, key = custodian.generate(TYPES["ec-p256"])
    assert key is not None
    worker = custodian.add_channel(1)
    sealed = bytearray(key.sealed)
    sealed[{"magic": 3, "salt": 20, "ciphertext": 50, "tag": len(sealed) - 1}[place]] ^= 1
    assert custodian.load(1, 1, [(KEY_ID, 1, key.type, LEASE, bytes(sealed))]) == -errno.EBADMSG
    worker.ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        worker.ours.recv(1)


@pytest.mark.parametrize("field", ["key id", "version", "type"])
def test_blob_opens_under_its_own_name_only(custodian: Custodian, field: str) -> None:
    """Key id, version and type are bound to the blob: a store that swaps rows gets nothing loaded."""
    _, key = custodian.generate(TYPES["aes-256"])
    assert key is not None
    custodian.add_channel(1)
    key_id = bytes(16) if field == "key id" else KEY_ID
    version = 2 if field == "version" else 1
    key_type = TYPES["hmac-sha256"] if field == "type" else key.type
    assert custodian.load(1, 1, [(key_id, version, key_type, LEASE, key.sealed)]) == -errno.EBADMSG


def test_one_bad_blob_fails_the_whole_load(custodian: Custodian) -> None:
    """All or nothing: a worker never works with half of what it was granted."""
    _, key = custodian.generate(TYPES["aes-256"])
    assert key is not None
    worker = custodian.add_channel(1)
    good = (KEY_ID, 1, key.type, LEASE, key.sealed)
    bad = (KEY_ID, 1, key.type, LEASE, key.sealed[:-1] + bytes([key.sealed[-1] ^ 1]))
    assert custodian.load(1, 1, [good, bad]) == -errno.EBADMSG
    assert custodian.load(1, 2, [good, good]) == 0
    assert worker.receive()[0] == 2


@pytest.mark.parametrize("name", ["ec-p256", "ec-p384", "ed25519", "rsa-2048", "rsa-3072", "x25519"])
def test_import_of_a_private_key(custodian: Custodian, private_keys: dict[str, PrivateKey], name: str) -> None:
    """A key made elsewhere arrives whole: its numbers are those that went in."""
    private = private_keys[name]
    offer = custodian.offer()
    error, key = custodian.import_key(offer[:16], wrap(offer, TYPES[name], pkcs8(private)))
    assert error == 0
    assert key is not None
    assert key.public == public_der(private)
    loaded = load_der_private_key(load_one(custodian, key), None)
    assert pkcs8(loaded) == pkcs8(private)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("aes-128", 16),
        ("aes-256", 32),
        ("hmac-sha256", 14),
        ("hmac-sha512", 1024),
        ("chacha20-poly1305", 32),
        ("aes-128-xts", 32),
        ("aes-256-xts", 64),
    ],
)
def test_import_of_a_raw_key(custodian: Custodian, name: str, size: int) -> None:
    """Raw keys arrive byte for byte."""
    raw = os.urandom(size)
    offer = custodian.offer()
    error, key = custodian.import_key(offer[:16], wrap(offer, TYPES[name], raw))
    assert error == 0
    assert key is not None
    assert load_one(custodian, key) == raw


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("aes-128", 32),
        ("aes-256", 16),
        ("aes-256", 33),
        ("aes-256", 1),
        ("hmac-sha256", 13),
        ("hmac-sha256", 1025),
        ("chacha20-poly1305", 31),
        ("chacha20-poly1305", 64),
        ("aes-128-xts", 64),
        ("aes-256-xts", 32),
    ],
)
def test_import_of_a_raw_key_of_wrong_length(custodian: Custodian, name: str, size: int) -> None:
    """Lengths that the type does not take are refused as such."""
    offer = custodian.offer()
    assert custodian.import_key(offer[:16], wrap(offer, TYPES[name], bytes(size)))[0] == -errno.EINVAL


@pytest.mark.parametrize("name", ["aes-128-xts", "aes-256-xts"])
def test_import_of_one_key_twice_for_xts(custodian: Custodian, name: str) -> None:
    """Equal halves are refused, whatever program wrapped them (MUST-37)."""
    half = os.urandom(RAW_BYTES[name] // 2)
    offer = custodian.offer()
    assert custodian.import_key(offer[:16], wrap(offer, TYPES[name], half * 2))[0] == -errno.EBADMSG


def test_import_of_a_key_under_a_wrong_type(custodian: Custodian, private_keys: dict[str, PrivateKey]) -> None:
    """The type is checked against the key, and an unknown one refused."""
    for private, claimed in (("ec-p256", 2), ("rsa-2048", 5), ("ed25519", 1), ("ec-p384", 3)):
        offer = custodian.offer()
        assert custodian.import_key(offer[:16], wrap(offer, claimed, pkcs8(private_keys[private])))[0] == -errno.EBADMSG
    for unknown in (0, lib.VKS_KEY_TYPE_COUNT, 0xFFFFFFFF):
        offer = custodian.offer()
        assert custodian.import_key(offer[:16], wrap(offer, unknown, bytes(32)))[0] == -errno.EINVAL


def test_import_of_a_key_that_is_none(custodian: Custodian, private_keys: dict[str, PrivateKey]) -> None:
    """Bytes behind the key, the public half of another key: no such key gets in."""
    der = pkcs8(private_keys["ec-p256"])
    point = public_der(private_keys["ec-p256"])[-64:]
    another_keys = public_der(ec.generate_private_key(ec.SECP256R1()))[-64:]
    no_point = public_der(private_keys["ec-p384"])[-64:]
    for broken in (der + b"\0", der[:-1], der.replace(point, another_keys), der.replace(point, no_point), bytes(100)):
        offer = custodian.offer()
        assert custodian.import_key(offer[:16], wrap(offer, 1, broken))[0] == -errno.EBADMSG


def test_offer_is_for_one_import(custodian: Custodian) -> None:
    """Used once, whether the import went well or not."""
    offer = custodian.offer()
    wrapped = wrap(offer, TYPES["aes-256"], bytes(range(32)))
    assert custodian.import_key(offer[:16], wrapped)[0] == 0
    assert custodian.import_key(offer[:16], wrapped)[0] == -errno.ENOENT
    offer = custodian.offer()
    assert custodian.import_key(offer[:16], bytes(100))[0] == -errno.EBADMSG
    assert custodian.import_key(offer[:16], wrap(offer, 8, bytes(32)))[0] == -errno.ENOENT


def test_last_sixteen_offers_are_kept(custodian: Custodian) -> None:
    """An older one is pushed out, the others stay."""
    offers = [custodian.offer() for _ in range(17)]
    assert custodian.import_key(offers[0][:16], wrap(offers[0], 8, bytes(32)))[0] == -errno.ENOENT
    assert custodian.import_key(offers[1][:16], wrap(offers[1], 8, bytes(32)))[0] == 0
    assert custodian.import_key(offers[16][:16], wrap(offers[16], 8, bytes(32)))[0] == 0


def test_import_wrapped_to_another_offer(custodian: Custodian) -> None:
    """What was wrapped to one offer does not open under another, nor with a changed byte or a key of small order."""
    first, second = custodian.offer(), custodian.offer()
    assert custodian.import_key(second[:16], wrap(first, 8, bytes(32)))[0] == -errno.EBADMSG
    for position in (0, 5, 40, -1):
        offer = custodian.offer()
        wrapped = bytearray(wrap(offer, 8, bytes(32)))
        wrapped[position] ^= 1
        assert custodian.import_key(offer[:16], bytes(wrapped))[0] == -errno.EBADMSG
    offer = custodian.offer()
    assert custodian.import_key(offer[:16], b"\x01" + bytes(80))[0] == -errno.EBADMSG


@pytest.mark.parametrize("size", [0, 1, 52, 53])
def test_import_that_is_too_short(custodian: Custodian, size: int) -> None:
    """Lengths are taken apart by subtraction: shorter than its own overhead is no import."""
    offer = custodian.offer()
    assert custodian.import_key(offer[:16], wrap(offer, 8, b"")[:size])[0] == -errno.EBADMSG


def test_without_root_nothing_is_sealed_or_loaded() -> None:
    """Before a KEK is there, every use of one says so."""
    with Custodian() as custodian:
        assert not custodian.status().root_open
        assert custodian.generate(1)[0] == -errno.ENOKEY
        offer = custodian.offer()
        assert custodian.import_key(offer[:16], wrap(offer, 8, bytes(32)))[0] == -errno.ENOKEY
        custodian.add_channel(1)
        assert custodian.load(1, 1, [(KEY_ID, 1, 8, 0, bytes(84))]) == -errno.ENOKEY


def test_kek_survives_a_restart(tmp_path: Path) -> None:
    """Blobs open in the next custodian with the same KEK file, and not with another one."""
    with Custodian() as first:
        assert first.open_root(tmp_path / "kek", create=True) == 0
        _, key = first.generate(TYPES["aes-256"])
        assert key is not None
        material = load_one(first, key)
    with Custodian() as second:
        assert second.open_root(tmp_path / "kek", create=False) == 0
        assert second.status().root_open == 1
        assert load_one(second, key) == material
        assert second.open_root(tmp_path / "kek", create=False) == -errno.EALREADY
    with Custodian() as other:
        assert other.open_root(tmp_path / "other", create=True) == 0
        other.add_channel(1)
        assert other.load(1, 1, [(KEY_ID, 1, key.type, LEASE, key.sealed)]) == -errno.EBADMSG


def test_kek_files_that_are_refused(tmp_path: Path) -> None:
    """Wrong mode, size, first line or checksum: each has its own errno, and a good file still opens afterwards."""
    path = tmp_path / "kek"
    with Custodian() as maker:
        assert maker.open_root(path, create=True) == 0
    good = path.read_bytes()
    assert len(good) == 19 + 32 + 32
    with Custodian() as custodian:
        assert custodian.open_root(path, create=True) == -errno.EEXIST
        for content, want in (
            (b"", errno.ENODATA),
            (good[:-1], errno.EINVAL),
            (good + b"\0", errno.EINVAL),
            (b"V" + good[1:], errno.EINVAL),
            (good[:30] + bytes([good[30] ^ 1]) + good[31:], errno.EBADMSG),
            (good[:-1] + bytes([good[-1] ^ 1]), errno.EBADMSG),
        ):
            path.write_bytes(content)
            assert custodian.open_root(path, create=False) == -want
        path.write_bytes(good)
        for mode in (0o640, 0o604, 0o660):
            path.chmod(mode)
            assert custodian.open_root(path, create=False) == -errno.EACCES
        path.chmod(0o600)
        assert not custodian.status().root_open
        fd = os.open(tmp_path, os.O_RDONLY)
        assert custodian.call(lib.VKS_CUSTODIAN_ROOT_OPEN, root_body(), [fd])[0] == -errno.EACCES
        os.close(fd)
        fd = os.open(path, os.O_RDONLY)
        body = pack("vks_custodian_root", create=2)
        assert custodian.call(lib.VKS_CUSTODIAN_ROOT_OPEN, body, [fd])[0] == -errno.EINVAL
        os.close(fd)
        assert custodian.open_root(path, create=False) == 0


def test_kek_that_cannot_be_written(tmp_path: Path) -> None:
    """A full disk is said, and no half KEK stays behind."""
    with Custodian() as custodian:
        fd = os.open("/dev/full", os.O_RDWR)
        assert custodian.call(lib.VKS_CUSTODIAN_ROOT_OPEN, root_body(create=True), [fd])[0] < 0
        os.close(fd)
        path = tmp_path / "kek"
        path.touch(0o600)
        fd = os.open(path, os.O_RDONLY)
        body = root_body(create=True)
        assert custodian.call(lib.VKS_CUSTODIAN_ROOT_OPEN, body, [fd])[0] == -errno.EBADF
        os.close(fd)
        assert not custodian.status().root_open
        assert path.stat().st_size == 0


def test_channels(custodian: Custodian) -> None:
    """A number is used once, only for a message socket, and gone when closed."""
    custodian.add_channel(5)
    body = pack("vks_custodian_channel", channel_id=5)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    assert custodian.call(lib.VKS_CUSTODIAN_CHANNEL, body, [left.fileno()])[0] == -errno.EEXIST
    assert custodian.call(lib.VKS_CUSTODIAN_CHANNEL_CLOSE, body)[0] == 0
    assert custodian.call(lib.VKS_CUSTODIAN_CHANNEL_CLOSE, body)[0] == -errno.ENOENT
    stream, other = socket.socketpair()
    assert custodian.call(lib.VKS_CUSTODIAN_CHANNEL, body, [stream.fileno()])[0] == -errno.EPROTO
    for end in (left, right, stream, other):
        end.close()
    _, key = custodian.generate(8)
    assert key is not None
    assert custodian.load(5, 1, [(KEY_ID, 1, 8, 0, key.sealed)]) == -errno.ENOENT


def test_worker_that_does_not_read_holds_up_nobody(custodian: Custodian) -> None:
    """A full channel is an error of that load; others go on. A dead worker is told apart."""
    _, key = custodian.generate(8)
    assert key is not None
    entry = (KEY_ID, 1, 8, 0, key.sealed)
    deaf = custodian.add_channel(1)
    alive = custodian.add_channel(2)
    errors = {custodian.load(1, number, [entry]) for number in range(2000)}
    assert errors == {0, -errno.EAGAIN}
    assert custodian.load(2, 77, [entry]) == 0
    assert alive.receive()[0] == 77
    deaf.ours.close()
    assert custodian.load(1, 1, [entry]) == -errno.EPIPE


def load_body(count: int, sealed_bytes: int, tail: bytes, key_type: int = 8) -> bytes:
    entry = pack("vks_custodian_load_entry", version=1, type=key_type, sealed_bytes=sealed_bytes)
    return pack("vks_custodian_load", channel_id=1, load_id=1, count=count) + (entry + tail if count else tail)


@pytest.mark.parametrize(
    ("name", "body", "want"),
    [
        ("nothing", load_body(0, 0, b""), errno.EINVAL),
        ("count without entries", pack("vks_custodian_load", channel_id=1, load_id=1, count=1), errno.EPROTO),
        ("count wraps", pack("vks_custodian_load", channel_id=1, load_id=1, count=0xFFFFFFFF), errno.EPROTO),
        ("more than is there", load_body(1, 85, bytes(84)), errno.EPROTO),
        ("length wraps", load_body(1, 0xFFFFFFFF, bytes(88)), errno.EPROTO),
        ("length wraps when padded", load_body(1, 0xFFFFFFF9, bytes(88)), errno.EPROTO),
        ("shorter than its overhead", load_body(1, 52, bytes(56)), errno.EPROTO),
        ("empty", load_body(1, 0, b""), errno.EPROTO),
        ("padding missing", load_body(1, 84, bytes(84)), errno.EPROTO),
        ("bytes behind", load_body(1, 84, bytes(96)), errno.EPROTO),
        ("second entry missing", load_body(2, 84, bytes(88)), errno.EPROTO),
        ("longer than any key", load_body(1, 5000, bytes(5000)), errno.EPROTO),
        ("unknown type", load_body(1, 84, bytes(88), lib.VKS_KEY_TYPE_COUNT), errno.EINVAL),
        ("type 0", load_body(1, 84, bytes(88), 0), errno.EINVAL),
        ("no blob", load_body(1, 84, bytes(88)), errno.EBADMSG),
    ],
)
def test_hostile_loads(custodian: Custodian, name: str, body: bytes, want: int) -> None:
    """Counts and lengths that do not add up are refused before anything is unsealed, and the custodian lives on."""
    custodian.add_channel(1)
    assert custodian.call(lib.VKS_CUSTODIAN_LOAD, body)[0] == -want, name
    assert custodian.status().root_open == 1


def test_unknown_key_type(custodian: Custodian) -> None:
    """Generation of a type there is not."""
    for key_type in (0, lib.VKS_KEY_TYPE_COUNT, 0xFFFFFFFF):
        assert custodian.generate(key_type)[0] == -errno.EINVAL


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("shorter than a head", bytes(23)),
        ("unknown type", pack("vks_ipc_head", type=0x399, size_bytes=24)),
        ("size too large", pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_STATUS, size_bytes=25)),
        ("status with a body", pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_STATUS, size_bytes=32) + bytes(8)),
        ("generate without a body", pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_GENERATE, size_bytes=24)),
        ("a worker's message", pack("vks_ipc_head", type=lib.VKS_WORKER_DRAINED, size_bytes=24)),
        ("root without its file", pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_ROOT_OPEN, size_bytes=32) + bytes(8)),
        (
            "import whose length lies",
            pack(
                "vks_ipc_head", type=lib.VKS_CUSTODIAN_IMPORT, size_bytes=24 + ffi.sizeof("struct vks_custodian_import")
            )
            + pack("vks_custodian_import", wrapped_bytes=1),
        ),
    ],
)
def test_broken_messages_end_the_process(name: str, data: bytes) -> None:
    """A message that breaks the protocol ends the connection, and with it the custodian; it never answers."""
    custodian = Custodian()
    custodian.send(data)
    assert custodian.socket.recv(100) == b"", name
    assert custodian.wait() == 1
    custodian.socket.close()

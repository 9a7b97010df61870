# SPDX-License-Identifier: Apache-2.0
"""Roots of trust in the custodian: what opens a KEK file, what does not, and exchanging the KEK under way."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from custodian.custodian_process import KEY_ID, Custodian, Key, Secret, pack, root_body
from custodian.kek_file import CREDENTIAL, HSM, PASSPHRASE, TPM, SealedKek, unseal
from custodian.wrapping import TYPES, wrap

from vmm_keystore._vks import lib

FILE = lib.VKS_ROOT_FILE
PASS = "rosé, then a longer walk".encode()
AES, AUDIT_KEY = TYPES["aes-256"], lib.VKS_TYPE_AUDIT_KEY
CHEAP = {"memory_kib": 1024, "passes": 1, "lanes": 1}


def typed(custodian: Custodian, passphrase: bytes, wrapped_as: int = lib.VKS_TYPE_ROOT_SECRET) -> Secret:
    """A passphrase as vks-import wraps it."""
    offer = custodian.offer()
    return Secret(lib.VKS_ROOT_SECRET_WRAPPED, offer[:16], wrap(offer, wrapped_as, passphrase))


def in_file(path: Path, content: bytes) -> Secret:
    """A secret in a file that keystored was started with."""
    path.write_bytes(content)
    return Secret(lib.VKS_ROOT_SECRET_FD, fd=os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def generate(custodian: Custodian, version: int = 1) -> Key:
    error, key = custodian.generate(AES, version=version)
    assert error == 0
    assert key is not None
    return key


def clear_kek(path: Path) -> bytes:
    """The KEK of a file that holds it in the clear."""
    return path.read_bytes()[19:51]


@pytest.fixture(scope="module")
def passphrase_kek(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A KEK file that a passphrase opens."""
    folder = tmp_path_factory.mktemp("root")
    with Custodian() as custodian:
        assert custodian.open_root(folder / "kek", create=True) == 0
        assert custodian.change_root(folder / "next", PASSPHRASE, secret=typed(custodian, PASS)) == 0
    return (folder / "next").read_bytes()


@pytest.fixture
def kek(tmp_path: Path, passphrase_kek: bytes) -> Path:
    path = tmp_path / "sealed"
    path.touch(0o600)
    path.write_bytes(passphrase_kek)
    return path


@pytest.fixture
def locked() -> Iterator[Custodian]:
    with Custodian() as custodian:
        yield custodian


def test_another_library_reads_the_file(custodian: Custodian, tmp_path: Path) -> None:
    """Argon2id, HKDF and GCM are what root_file.h says, and the KEK in it is the one that seals."""
    assert custodian.change_root(tmp_path / "next", PASSPHRASE, secret=typed(custodian, PASS)) == 0
    assert custodian.switch_root() == 0
    key = generate(custodian)
    sealed = SealedKek.parse((tmp_path / "next").read_bytes())
    assert (sealed.kind, sealed.memory_kib, sealed.passes, sealed.lanes) == (PASSPHRASE, 65536, 3, 4)
    assert len(unseal(sealed.open(PASS), key.sealed, KEY_ID, 1, AES)) == 32
    with pytest.raises(InvalidTag):
        sealed.open(PASS + b"!")


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\nmore\n"])
def test_passphrase_opens_from_a_file(locked: Custodian, kek: Path, tmp_path: Path, ending: bytes) -> None:
    """It is the first line, however that ends; the file can be read again by the next custodian."""
    secret = in_file(tmp_path / "secret", PASS + ending)
    assert locked.open_root(kek, secret=secret) == 0
    with Custodian() as successor:
        assert successor.open_root(kek, secret=secret) == 0


def test_passphrase_that_was_typed(locked: Custodian, kek: Path) -> None:
    """Without one it stays locked and knows its kind; a wrong one changes nothing; each is wrapped to an offer once."""
    assert locked.open_root(kek) == -errno.ENOKEY
    assert (locked.status().root_open, locked.status().root_kind) == (0, PASSPHRASE)
    assert locked.open_root(kek, secret=typed(locked, PASS[:-1])) == -errno.EKEYREJECTED
    assert locked.generate(AES)[0] == -errno.ENOKEY
    secret = typed(locked, PASS)
    assert locked.open_root(kek, secret=secret) == 0
    assert locked.status().root_open == 1
    generate(locked)
    assert locked.open_root(kek, secret=secret) == -errno.ENOENT
    assert locked.open_root(kek, secret=typed(locked, PASS)) == -errno.EALREADY


def test_secrets_that_are_none(locked: Custodian, kek: Path, tmp_path: Path) -> None:
    """A key is no passphrase and a passphrase no key; a wrapping that was changed, a source that does not fit."""
    assert locked.open_root(kek, secret=typed(locked, bytes(32), AES)) == -errno.EILSEQ
    offer = locked.offer()
    damaged = wrap(offer, lib.VKS_TYPE_ROOT_SECRET, PASS)[:-1] + b"!"
    assert locked.open_root(kek, secret=Secret(lib.VKS_ROOT_SECRET_WRAPPED, offer[:16], damaged)) == -errno.EILSEQ
    assert locked.open_root(kek, secret=Secret(lib.VKS_ROOT_SECRET_FD)) == -errno.EINVAL
    assert locked.open_root(kek, secret=Secret(7)) == -errno.EINVAL
    assert locked.open_root(kek, secret=Secret(lib.VKS_ROOT_SECRET_NONE, wrapped=b"x")) == -errno.EINVAL
    assert locked.open_root(kek, secret=in_file(tmp_path / "long", bytes(1025))) == -errno.EFBIG
    assert locked.open_root(kek, secret=typed(locked, bytes(1025))) == -errno.EFBIG
    reader, writer = os.pipe()
    assert locked.open_root(kek, secret=Secret(lib.VKS_ROOT_SECRET_FD, fd=reader)) == -errno.ESPIPE
    os.close(reader)
    os.close(writer)
    assert locked.open_root(kek, secret=typed(locked, PASS)) == 0
    offer = locked.offer()
    assert locked.import_key(offer[:16], wrap(offer, lib.VKS_TYPE_ROOT_SECRET, PASS))[0] == -errno.EINVAL


def test_message_whose_lengths_do_not_add_up(kek: Path) -> None:
    """It ends the connection, as any message that breaks the protocol."""
    custodian = Custodian()
    fd = os.open(kek, os.O_RDWR)
    body = root_body(secret=Secret(lib.VKS_ROOT_SECRET_WRAPPED, bytes(16), b"short")) + b"more"
    custodian.send(
        pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_ROOT_OPEN, size_bytes=24 + len(body), tag=1) + body, [fd]
    )
    os.close(fd)
    assert custodian.wait() != 0
    custodian.socket.close()


def test_files_that_are_refused(locked: Custodian, kek: Path, passphrase_kek: bytes) -> None:
    """Damage shows as damage whatever the secret; a cost that nobody would wait for is not tried."""
    good = SealedKek.parse(passphrase_kek)
    for position in range(0, len(passphrase_kek), 7):
        damaged = bytearray(passphrase_kek)
        damaged[position] ^= 0x20
        kek.write_bytes(damaged)
        assert locked.open_root(kek) in {-errno.EBADMSG, -errno.EINVAL}
    for content, want in (
        (passphrase_kek[:-1], errno.EINVAL),
        (passphrase_kek + b"\0", errno.EBADMSG),
        (passphrase_kek + bytes(2049), errno.EINVAL),
        (good.but(blob=b"x"), errno.EINVAL),
        (good.but(kind=TPM), errno.EINVAL),
        (good.but(kind=TPM, blob=b"x"), errno.EKEYREJECTED),
        (good.but(kind=HSM), errno.EINVAL),
        (good.but(kind=HSM, blob=bytes(64)), errno.EINVAL),
        (good.but(kind=HSM, blob=bytes(66)), errno.EINVAL),
        (good.but(kind=HSM, blob=bytes(65)), errno.EKEYREJECTED),
        (good.but(kind=FILE), errno.EINVAL),
        (good.but(kind=9), errno.EINVAL),
        (good.but(line=b"vmm-keystore kek 1\n"), errno.EINVAL),
        (good.but(memory_kib=0), errno.EINVAL),
        (good.but(memory_kib=2**32 - 1), errno.EINVAL),
        (good.but(passes=0), errno.EINVAL),
        (good.but(passes=65), errno.EINVAL),
        (good.but(lanes=0), errno.EINVAL),
        (good.but(lanes=65), errno.EINVAL),
        (good.but(**CHEAP), errno.EKEYREJECTED),
        (good.but(**CHEAP, salt=bytes(32)), errno.EKEYREJECTED),
        (good.but(kind=CREDENTIAL), errno.EKEYREJECTED),
    ):
        kek.write_bytes(content)
        assert locked.open_root(kek, secret=typed(locked, PASS)) == -want
    kek.write_bytes(passphrase_kek)
    assert locked.open_root(kek, secret=typed(locked, PASS)) == 0


def test_credential_counts_to_the_last_byte(custodian: Custodian, tmp_path: Path) -> None:
    """Random bytes: a line end among them is one of them."""
    content = bytes(31) + b"\n"
    secret = in_file(tmp_path / "credential", content)
    assert custodian.change_root(tmp_path / "next", CREDENTIAL, secret=secret) == 0
    sealed = SealedKek.parse((tmp_path / "next").read_bytes())
    assert (sealed.memory_kib, sealed.passes, sealed.lanes) == (0, 0, 0)
    assert len(sealed.open(content)) == 32
    with Custodian() as successor:
        other = in_file(tmp_path / "other", content[:-1])
        assert successor.open_root(tmp_path / "next", secret=other) == -errno.EKEYREJECTED
        assert successor.open_root(tmp_path / "next", secret=secret) == 0
        assert successor.status().root_kind == CREDENTIAL


@pytest.mark.parametrize(("kind", "size"), [(TPM, 1), (TPM, 255), (TPM, 2048), (HSM, 65)])
def test_blob_lies_in_the_file(custodian: Custodian, tmp_path: Path, kind: int, size: int) -> None:
    """Whoever asks the TPM or token finds it there, whole; what that gives back opens the file."""
    blob, secret = os.urandom(size), os.urandom(32)
    assert custodian.change_root(tmp_path / "next", kind, secret=typed(custodian, secret), blob=blob) == 0
    sealed = SealedKek.parse((tmp_path / "next").read_bytes())
    assert (sealed.kind, sealed.memory_kib, sealed.blob) == (kind, 0, blob)
    assert len(sealed.open(secret)) == 32
    with Custodian() as successor:
        assert successor.open_root(tmp_path / "next") == -errno.ENOKEY
        assert successor.status().root_kind == kind
        assert successor.open_root(tmp_path / "next", secret=typed(successor, secret)) == 0


def test_blobs_that_are_refused(custodian: Custodian, tmp_path: Path) -> None:
    """A TPM's file has one, of a size that makes sense, a token's of its only size, and no other has."""
    path = tmp_path / "next"
    of_a_token = [(HSM, bytes(size)) for size in (0, 64, 66)]
    for kind, blob in ((TPM, b""), (TPM, bytes(2049)), *of_a_token, (PASSPHRASE, b"x"), (CREDENTIAL, b"x")):
        secret = typed(custodian, os.urandom(32))
        assert custodian.change_root(path, kind, secret=secret, blob=blob) == -errno.EINVAL
    assert custodian.change_root(path, FILE, blob=b"x") == -errno.EINVAL
    assert path.read_bytes() == b""


def test_changes_that_are_refused(custodian: Custodian, locked: Custodian, kek: Path, tmp_path: Path) -> None:
    """Nothing is written, and the KEK in force stays."""
    path = tmp_path / "next"
    assert custodian.change_root(path, PASSPHRASE) == -errno.ENOKEY
    assert custodian.change_root(path, PASSPHRASE, secret=typed(custodian, b"1234567")) == -errno.EDOM
    assert custodian.change_root(path, PASSPHRASE, secret=in_file(tmp_path / "7", b"1234567\n")) == -errno.EDOM
    assert custodian.change_root(path, CREDENTIAL, secret=in_file(tmp_path / "31", bytes(31))) == -errno.EDOM
    assert custodian.change_root(path, 9, secret=typed(custodian, PASS)) == -errno.EINVAL
    assert path.read_bytes() == b""
    assert custodian.switch_root() == -errno.ENOKEY
    assert custodian.reseal([(KEY_ID, 1, AES, generate(custodian).sealed)])[0] == -errno.ENOKEY
    path.write_bytes(b"x")
    assert custodian.change_root(path, FILE) == -errno.EEXIST
    assert path.read_bytes() == b"x"
    path.write_bytes(b"")
    path.chmod(0o644)
    assert custodian.change_root(path, FILE) == -errno.EACCES
    assert locked.open_root(kek) == -errno.ENOKEY
    path.chmod(0o600)
    assert locked.change_root(path, FILE) == -errno.ENOKEY
    assert custodian.status().root_kind == FILE


def test_everything_is_sealed_anew(custodian: Custodian, tmp_path: Path) -> None:
    """Under the new KEK only, byte by byte different, the same key; what was read before is opened once more."""
    old = clear_kek(tmp_path / "kek")
    key = generate(custodian)
    error, body = custodian.call(lib.VKS_CUSTODIAN_AUDIT_KEY)
    assert error == 0
    audit_key = body[40:]
    assert custodian.change_root(tmp_path / "next", FILE) == 0
    error, blobs = custodian.reseal([(KEY_ID, 1, AES, key.sealed), (bytes(16), 1, AUDIT_KEY, audit_key)])
    assert error == 0
    new = clear_kek(tmp_path / "next")
    material = unseal(old, key.sealed, KEY_ID, 1, AES)
    assert unseal(new, blobs[0], KEY_ID, 1, AES) == material
    assert unseal(new, blobs[1], bytes(16), 1, AUDIT_KEY) == unseal(old, audit_key, bytes(16), 1, AUDIT_KEY)
    for kek, blob in ((old, blobs[0]), (new, key.sealed)):
        with pytest.raises(InvalidTag):
            unseal(kek, blob, KEY_ID, 1, AES)
    custodian.add_channel(1)
    assert custodian.load(1, 1, [(KEY_ID, 1, AES, 1, key.sealed)]) == 0
    assert custodian.load(1, 2, [(KEY_ID, 1, AES, 2, blobs[0])]) == -errno.EBADMSG
    assert custodian.switch_root() == 0
    assert (
        custodian.load(1, 3, [(KEY_ID, 1, AES, 3, key.sealed), (KEY_ID, 2, AES, 3, generate(custodian, 2).sealed)]) == 0
    )
    assert custodian.load(1, 4, [(KEY_ID, 1, AES, 4, blobs[0])]) == 0
    with Custodian() as successor:
        assert successor.open_root(tmp_path / "next") == 0
        successor.add_channel(1)
        assert successor.load(1, 1, [(KEY_ID, 1, AES, 5, key.sealed)]) == -errno.EBADMSG
        assert successor.load(1, 2, [(KEY_ID, 1, AES, 6, blobs[0])]) == 0


def test_resealing_keeps_to_names(custodian: Custodian, tmp_path: Path) -> None:
    """A blob is sealed anew under its own name or not at all; all of a message or nothing."""
    key = generate(custodian)
    assert custodian.change_root(tmp_path / "next", FILE) == 0
    good = (KEY_ID, 1, AES, key.sealed)
    for bad in (
        (KEY_ID, 2, AES, key.sealed),
        (bytes(16), 1, AES, key.sealed),
        (KEY_ID, 1, TYPES["hmac-sha256"], key.sealed),
        (KEY_ID, 1, AES, key.sealed[:-1] + b"!"),
    ):
        assert custodian.reseal([good, bad]) == (-errno.EBADMSG, [])
    assert custodian.reseal([]) == (0, [])
    assert custodian.reseal([good, good])[0] == 0


@pytest.mark.parametrize(
    ("count", "announced", "rest"),
    [(1, 0, b""), (1, 40, bytes(40)), (0, 8, bytes(8)), (2**32 - 1, 0, b""), (1, 41, bytes(40)), (0, 1, b"")],
)
def test_reseal_whose_lengths_do_not_add_up(tmp_path: Path, count: int, announced: int, rest: bytes) -> None:
    """It ends the connection before anything is opened."""
    custodian = Custodian()
    assert custodian.open_root(tmp_path / "kek", create=True) == 0
    body = pack("vks_custodian_reseal", count=count, entries_bytes=announced) + rest
    custodian.send(pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_RESEAL, size_bytes=24 + len(body), tag=9) + body)
    assert custodian.wait() != 0
    custodian.socket.close()

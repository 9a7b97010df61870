# SPDX-License-Identifier: Apache-2.0
"""The audit key: it signs checkpoints and nothing else, and no other key does."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from custodian.custodian_process import KEY_ID, Custodian, pack, unpack

from vmm_keystore._vks import ffi, lib

TEXT = b"vmm-keystore/audit/0123456789abcdef\n7\nAAAA=\n"


def make(custodian: Custodian) -> tuple[int, bytes, bytes]:
    error, body = custodian.call(lib.VKS_CUSTODIAN_AUDIT_KEY)
    if error:
        return error, b"", b""
    size = ffi.sizeof("struct vks_custodian_audit_key")
    key = unpack("vks_custodian_audit_key", body)
    assert len(body) == size + key.sealed_bytes
    return 0, bytes(key.public_key), body[size:]


def sign(custodian: Custodian, sealed: bytes, text: bytes) -> tuple[int, bytes]:
    head = pack("vks_custodian_audit_sign", sealed_bytes=len(sealed), text_bytes=len(text))
    return custodian.call(lib.VKS_CUSTODIAN_AUDIT_SIGN, head + sealed + text)


def test_signs_a_checkpoint(custodian: Custodian) -> None:
    """Checked by another implementation; each key is another one."""
    error, public, sealed = make(custodian)
    assert error == 0
    error, signature = sign(custodian, sealed, TEXT)
    assert error == 0
    Ed25519PublicKey.from_public_bytes(public).verify(signature, TEXT)
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(public).verify(signature, TEXT + b"x")
    assert make(custodian)[1] != public


@pytest.mark.parametrize(
    "text",
    [b"", b"hello\n", TEXT[:-1], b"x" + TEXT, TEXT.replace(b"audit", b"Audit"), TEXT + b"\0\n", b"vmm-keystore/audit/"],
)
def test_signs_nothing_else(custodian: Custodian, text: bytes) -> None:
    """What does not begin and end as a checkpoint is no text for this key."""
    _, _, sealed = make(custodian)
    assert sign(custodian, sealed, text) == (-errno.EINVAL, b"")


def test_no_other_key_signs_checkpoints(custodian: Custodian) -> None:
    """A guest's Ed25519 key, a damaged blob, no blob at all, one that is longer than any."""
    _, key = custodian.generate(lib.VKS_KEY_TYPE_ED25519)
    assert key is not None
    _, _, sealed = make(custodian)
    for blob in (key.sealed, sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", sealed[:20], sealed + bytes(8000)):
        assert sign(custodian, blob, TEXT) == (-errno.EBADMSG, b"")


def test_no_worker_is_given_the_audit_key(custodian: Custodian) -> None:
    """It cannot be loaded under its own type, nor under that of a guest's key."""
    _, _, sealed = make(custodian)
    custodian.add_channel(1)
    for key_type, error in ((0x61756469, errno.EINVAL), (lib.VKS_KEY_TYPE_ED25519, errno.EBADMSG)):
        for key_id in (KEY_ID, bytes(16)):
            assert custodian.load(1, 1, [(key_id, 1, key_type, 0, sealed)]) == -error


def test_needs_a_root(tmp_path: Path) -> None:
    """Without a KEK nothing is made or signed; with the same KEK a successor signs."""
    with Custodian() as first:
        assert make(first)[0] == -errno.ENOKEY
        assert first.open_root(tmp_path / "kek", create=True) == 0
        _, public, sealed = make(first)
    with Custodian() as second:
        assert sign(second, sealed, TEXT)[0] == -errno.ENOKEY
        assert second.open_root(tmp_path / "kek", create=False) == 0
        Ed25519PublicKey.from_public_bytes(public).verify(sign(second, sealed, TEXT)[1], TEXT)
    with Custodian() as other:
        assert other.open_root(tmp_path / "other", create=True) == 0
        assert sign(other, sealed, TEXT)[0] == -errno.EBADMSG


def test_lengths_that_do_not_add_up_end_it(tmp_path: Path) -> None:
    """A sender that miscounts is no keystored."""
    for sealed_bytes, text_bytes in ((2**32 - 1, 5), (0, 0), (6, 0), (0, 2**32 - 1)):
        custodian = Custodian()
        assert custodian.open_root(tmp_path / "kek", create=not (tmp_path / "kek").exists()) == 0
        body = pack("vks_custodian_audit_sign", sealed_bytes=sealed_bytes, text_bytes=text_bytes) + b"12345"
        size = ffi.sizeof("struct vks_ipc_head") + len(body)
        custodian.send(pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_AUDIT_SIGN, size_bytes=size, tag=1) + body)
        assert custodian.wait() == 1
        custodian.socket.close()

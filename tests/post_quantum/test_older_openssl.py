# SPDX-License-Identifier: Apache-2.0
"""The programs of this machine where its OpenSSL has neither ML-DSA nor ML-KEM: refused by name, and never offered."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from custodian.custodian_process import Custodian
from custodian.wrapping import wrap
from post_quantum.keys import DSA, KEM, Kind
from protocol.worker_rig import Bench, RigKey, Zygote, key_id, running_bench

from vmm_keystore._vks import ffi, lib

KINDS = pytest.mark.parametrize("kind", [*DSA, *KEM], ids=lambda kind: kind.name)
INFO_REQUEST = bytes(ffi.buffer(ffi.new("struct vks_info_request *", {"abi_version_min": 1, "abi_version_max": 1})))


@pytest.fixture
def old_custodian(tmp_path: Path) -> Iterator[Custodian]:
    """This machine's, with a KEK."""
    with Custodian() as process:
        assert process.open_root(tmp_path / "kek", create=True) == 0
        if process.status().key_types >> lib.VKS_KEY_TYPE_ML_DSA_44 & 1:
            pytest.skip("this machine's OpenSSL has them")
        yield process


@pytest.fixture
def old_bench(old_custodian: Custodian) -> Iterator[Bench]:
    """A worker of this machine's."""
    assert old_custodian.pid
    with Zygote() as zygote, running_bench(zygote) as bench:
        yield bench


@KINDS
def test_custodian(old_custodian: Custodian, kind: Kind) -> None:
    """Neither makes such a key nor takes one, and says that it is not able to."""
    assert old_custodian.generate(kind.number) == (-errno.ENOTSUP, None)
    offer = old_custodian.offer()
    wrapped = wrap(offer, kind.number, bytes(kind.seed_bytes))
    assert old_custodian.import_key(offer[:16], wrapped) == (-errno.ENOTSUP, None)
    status = old_custodian.status()
    assert status.key_types == (1 << lib.VKS_KEY_TYPE_ML_DSA_44) - 2
    assert bytes(ffi.buffer(status.libcrypto)).startswith(b"3.")


@KINDS
def test_worker(old_bench: Bench, kind: Kind) -> None:
    """Does not load one, serves the keys that it has, and info does not have the mechanisms (MUST-45)."""
    other = RigKey(key_id(1), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(32))
    old_bench.rig.load(RigKey(key_id(2), kind.number, bytes(kind.seed_bytes)), error=-errno.ENOTSUP)
    old_bench.rig.give(other)
    made = old_bench.vault.request(lib.VKS_OP_MAC, key_id=other.key_id, data=b"m", output_bytes=32)
    assert made.status == lib.VKS_STATUS_OK
    info = old_bench.vault.request(lib.VKS_OP_INFO, data=INFO_REQUEST, output_bytes=512)
    content: Any = ffi.from_buffer("struct vks_info *", info.data)
    assert content.mechanism_mask == (1 << lib.VKS_MECHANISM_ML_DSA) - 2
    assert content.op_mask == (1 << lib.VKS_OP_DECAPSULATE) - 2

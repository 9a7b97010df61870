# SPDX-License-Identifier: Apache-2.0
"""Promise P1 down to the registers: a debugger of root's finds no key byte in a thread that sleeps."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from framework.tracer import Tracee
from protocol.worker_rig import RigKey, Zygote, key_id, pkcs8, running_bench

from vmm_keystore._vks import lib

HOLDER = Path(__file__).resolve().parents[2] / "build/meson/tests/c/test_registers"
PIECE_BYTES = 8


def p256() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    return pkcs8(key), key.private_numbers().private_value.to_bytes(32, "big")


def edwards() -> tuple[bytes, bytes]:
    key = ed25519.Ed25519PrivateKey.generate()
    return pkcs8(key), key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def raw(size_bytes: int) -> tuple[bytes, bytes]:
    # No byte twice: a piece of it is found nowhere by chance.
    key = bytes((i * 37 + 11) % 251 for i in range(size_bytes))
    return key, key


def found(tid: int, secret: bytes) -> bool:
    """Whether any piece of *secret*, as it is or from the other end, is in a vector register."""
    with Tracee(tid) as tracee:
        registers = tracee.vector_registers()
    forms = (secret, secret[::-1])
    return any(form[at : at + PIECE_BYTES] in registers for form in forms for at in range(len(form) - PIECE_BYTES + 1))


def threads(pid: int) -> list[int]:
    return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())


def test_search_finds_what_is_there() -> None:
    """The control: a program that sleeps with known bytes in a register."""
    with subprocess.Popen([HOLDER, "hold"]) as holder:
        try:
            while Path(f"/proc/{holder.pid}/wchan").read_text() in {"", "0"} and holder.poll() is None:
                pass
            assert found(holder.pid, b"in the registers")
            assert not found(holder.pid, b"something else!!")
        finally:
            holder.kill()


@dataclass(frozen=True, slots=True)
class Use:
    """A kind of key, and the operation that uses it."""

    key_type: int
    op: int
    make: Callable[[], tuple[bytes, bytes]]
    grows: bool = False
    mechanism: int = 0
    parameter: bytes = b""
    input_bytes_max: int = lib.VKS_INPUT_BYTES_MAX


USES = {
    "p256": Use(lib.VKS_KEY_TYPE_EC_P256, lib.VKS_OP_SIGN, p256),
    "ed25519": Use(lib.VKS_KEY_TYPE_ED25519, lib.VKS_OP_SIGN, edwards),
    "aes-128": Use(lib.VKS_KEY_TYPE_AES_128, lib.VKS_OP_ENCRYPT, lambda: raw(16), grows=True),
    "aes-256": Use(lib.VKS_KEY_TYPE_AES_256, lib.VKS_OP_ENCRYPT, lambda: raw(32), grows=True),
    "chacha20-poly1305": Use(lib.VKS_KEY_TYPE_CHACHA20_POLY1305, lib.VKS_OP_ENCRYPT, lambda: raw(32), grows=True),
    "aes-cmac": Use(lib.VKS_KEY_TYPE_AES_256, lib.VKS_OP_MAC, lambda: raw(32), mechanism=lib.VKS_MECHANISM_AES_CMAC),
    "aes-kw": Use(
        lib.VKS_KEY_TYPE_AES_256,
        lib.VKS_OP_ENCRYPT,
        lambda: raw(32),
        grows=True,
        mechanism=lib.VKS_MECHANISM_AES_KW,
        input_bytes_max=lib.VKS_KEY_WRAP_BYTES_MAX,
    ),
    "aes-xts": Use(lib.VKS_KEY_TYPE_AES_256_XTS, lib.VKS_OP_ENCRYPT, lambda: raw(64), grows=True, parameter=bytes(16)),
    "hmac": Use(lib.VKS_KEY_TYPE_HMAC_SHA256, lib.VKS_OP_MAC, lambda: raw(64)),
}


@pytest.mark.parametrize("input_bytes", [32, 1 << 16])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_key_in_a_sleeping_worker(zygote: Zygote, use: Use, input_bytes: int) -> None:
    """Neither after it was loaded nor after it was used, on the fast lane or on the slow one."""
    material, secret = use.make()
    with running_bench(zygote, slot_count=1, slot_bytes=1 << 17) as bench:
        bench.rig.give(RigKey(key_id(1), use.key_type, material))
        assert [tid for tid in threads(bench.rig.pid) if found(tid, secret)] == []
        output_bytes = input_bytes + 28 if use.grows else 64
        how: dict[str, Any] = {"mechanism": use.mechanism, "parameter": use.parameter}
        data = bytes(min(input_bytes, use.input_bytes_max))
        answer = bench.vault.request(use.op, key_id=key_id(1), data=data, output_bytes=output_bytes, **how)
        assert answer.status == lib.VKS_STATUS_OK
        assert [tid for tid in threads(bench.rig.pid) if found(tid, secret)] == []

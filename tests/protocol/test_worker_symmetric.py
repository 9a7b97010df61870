# SPDX-License-Identifier: Apache-2.0
"""Symmetric mechanisms beyond AES-GCM and HMAC in the real worker, checked against an independent implementation."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from framework.vault import Answer
from protocol.worker_rig import Bench, RigKey, key_id

from vmm_keystore._vks import lib

OK, DENIED, AUTH_FAILED = lib.VKS_STATUS_OK, lib.VKS_STATUS_DENIED, lib.VKS_STATUS_AUTH_FAILED
INPUT_SIZE, MALFORMED = lib.VKS_STATUS_INPUT_SIZE, lib.VKS_STATUS_MALFORMED
ENCRYPT, DECRYPT = lib.VKS_OP_ENCRYPT, lib.VKS_OP_DECRYPT
CHACHA = RigKey(key_id(1), lib.VKS_KEY_TYPE_CHACHA20_POLY1305, bytes(range(32)), nonce_lease=0x0A0B0C0D)
OWN_NONCE = lib.VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE


def ask(bench: Bench, key: RigKey, op: int, data: bytes, **fields: Any) -> Answer:
    """One request; a refused one must leave nothing but zeros."""
    asked: dict[str, Any] = {"key_id": key.key_id, "data": data, "output_bytes": len(data) + 64} | fields
    answer = bench.vault.request(op, **asked)
    if answer.status != OK:
        assert (answer.output_bytes, answer.output.strip(b"\0")) == (0, b"")
    return answer


def flips(data: bytes) -> list[bytes]:
    """*data* with one bit changed, in each of its bytes."""
    return [data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :] for at in range(len(data))]


def test_chacha20_poly1305(bench: Bench) -> None:
    """Nonces are the lease and a counter; another implementation opens what is sealed, and the other way (MUST-34)."""
    bench.rig.give(CHACHA)
    other = ChaCha20Poly1305(CHACHA.material)
    counters = []
    for size in (0, 1, 64, 5000, 20000):
        text = bytes(number % 251 for number in range(size))
        sealed = ask(bench, CHACHA, ENCRYPT, text, aad=b"aad").data
        assert sealed[:4] == b"\x0a\x0b\x0c\x0d"
        counters.append(int.from_bytes(sealed[4:12], "big"))
        assert other.decrypt(sealed[:12], sealed[12:], b"aad") == text
        theirs = bytes(range(12)) + other.encrypt(bytes(range(12)), text, b"aad")
        assert ask(bench, CHACHA, DECRYPT, theirs, aad=b"aad").data == text
    assert counters == [1, 2, 3, 4, 5]


def test_chacha20_poly1305_tampered(bench: Bench) -> None:
    """Any bit of nonce, text, tag or associated data, or a tag that is cut: refused, and no plaintext byte (MUST-34)."""
    bench.rig.give(CHACHA)
    sealed = ask(bench, CHACHA, ENCRYPT, b"what nobody may see", aad=b"aad").data
    assert ask(bench, CHACHA, DECRYPT, sealed, aad=b"aad").data == b"what nobody may see"
    for wrong in [*flips(sealed), sealed[:-1], sealed[:28], sealed + b"\0"]:
        assert ask(bench, CHACHA, DECRYPT, wrong, aad=b"aad").status == AUTH_FAILED
    for aad in (b"", b"aaD", b"aad\0"):
        assert ask(bench, CHACHA, DECRYPT, sealed, aad=aad).status == AUTH_FAILED
    for size in (0, 12, 27):
        assert ask(bench, CHACHA, DECRYPT, sealed[:size], aad=b"aad").status == INPUT_SIZE


def test_chacha20_poly1305_own_nonce(bench: Bench) -> None:
    """The caller's nonce, exactly 12 bytes, only where the grant names the mechanism (MUST-29, MUST-34)."""
    nonce = bytes(range(100, 112))
    bench.rig.give(CHACHA)
    sealed = ask(bench, CHACHA, ENCRYPT, b"text", mechanism=OWN_NONCE, parameter=nonce).data
    assert sealed == nonce + ChaCha20Poly1305(CHACHA.material).encrypt(nonce, b"text", None)
    for wrong in (b"", nonce[:11], nonce + b"\0", nonce * 2):
        assert ask(bench, CHACHA, ENCRYPT, b"text", mechanism=OWN_NONCE, parameter=wrong).status == INPUT_SIZE
    assert ask(bench, CHACHA, ENCRYPT, b"text", parameter=nonce).status == INPUT_SIZE
    bench.rig.publish(CHACHA.with_(mechanism_mask=1 << lib.VKS_MECHANISM_CHACHA20_POLY1305))
    assert ask(bench, CHACHA, ENCRYPT, b"text", mechanism=OWN_NONCE, parameter=nonce).status == DENIED
    assert ask(bench, CHACHA, DECRYPT, sealed, mechanism=OWN_NONCE).status == DENIED
    assert ask(bench, CHACHA, DECRYPT, sealed).data == b"text"


@pytest.mark.parametrize("mechanism", [lib.VKS_MECHANISM_AES_GCM, lib.VKS_MECHANISM_HMAC_SHA256])
def test_chacha20_poly1305_key_does_nothing_else(bench: Bench, mechanism: int) -> None:
    """A key of one algorithm is never used with another."""
    bench.rig.give(CHACHA)
    for op in (ENCRYPT, DECRYPT, lib.VKS_OP_MAC, lib.VKS_OP_SIGN):
        assert ask(bench, CHACHA, op, bytes(64), mechanism=mechanism).status == lib.VKS_STATUS_UNSUPPORTED

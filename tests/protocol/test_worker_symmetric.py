# SPDX-License-Identifier: Apache-2.0
"""Symmetric mechanisms beyond AES-GCM and HMAC in the real worker, checked against an independent implementation."""

import errno
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import cmac, keywrap
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from framework.vault import TAIL_BYTES, Answer
from protocol.worker_rig import Bench, RigKey, key_id

from vmm_keystore._vks import lib

SPARE = 511  # a descriptor that no slot uses
OK, DENIED, AUTH_FAILED = lib.VKS_STATUS_OK, lib.VKS_STATUS_DENIED, lib.VKS_STATUS_AUTH_FAILED
INPUT_SIZE, MALFORMED = lib.VKS_STATUS_INPUT_SIZE, lib.VKS_STATUS_MALFORMED
MAC, MAC_VERIFY = lib.VKS_OP_MAC, lib.VKS_OP_MAC_VERIFY
ENCRYPT, DECRYPT = lib.VKS_OP_ENCRYPT, lib.VKS_OP_DECRYPT
KW, KWP = lib.VKS_MECHANISM_AES_KW, lib.VKS_MECHANISM_AES_KWP
CMAC = lib.VKS_MECHANISM_AES_CMAC
CHACHA = RigKey(key_id(1), lib.VKS_KEY_TYPE_CHACHA20_POLY1305, bytes(range(32)), nonce_lease=0x0A0B0C0D)
AES = RigKey(key_id(2), lib.VKS_KEY_TYPE_AES_256, bytes(range(50, 82)))
AES_128 = RigKey(key_id(3), lib.VKS_KEY_TYPE_AES_128, bytes(range(90, 106)))
XTS = RigKey(key_id(4), lib.VKS_KEY_TYPE_AES_256_XTS, bytes(range(100, 164)))
XTS_128 = RigKey(key_id(5), lib.VKS_KEY_TYPE_AES_128_XTS, bytes(range(32)))
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
    for op in (ENCRYPT, DECRYPT, MAC, lib.VKS_OP_SIGN):
        assert ask(bench, CHACHA, op, bytes(64), mechanism=mechanism).status == lib.VKS_STATUS_UNSUPPORTED


def cmac_of(key: RigKey, data: bytes) -> bytes:
    """The tag by another implementation."""
    made = cmac.CMAC(algorithms.AES(key.material))
    made.update(data)
    return made.finalize()


@pytest.mark.parametrize("key", [AES, AES_128], ids=["aes-256", "aes-128"])
def test_aes_cmac(bench: Bench, key: RigKey) -> None:
    """Tags are those of another implementation, on both lanes; only the whole right one verifies (MUST-35)."""
    bench.rig.give(key)
    for size in (0, 1, 15, 16, 17, 64, 20000):
        data = bytes(number % 251 for number in range(size))
        tag = ask(bench, key, MAC, data, mechanism=CMAC).data
        assert tag == cmac_of(key, data)
        assert ask(bench, key, MAC_VERIFY, data, mechanism=CMAC, parameter=tag).status == OK
        other = ask(bench, key, MAC_VERIFY, data + b"\0", mechanism=CMAC, parameter=tag)
        assert other.status == AUTH_FAILED
    for wrong in [*flips(tag), b"", tag[:4], tag[:15], tag + b"\0", tag * 2]:
        assert ask(bench, key, MAC_VERIFY, data, mechanism=CMAC, parameter=wrong).status == AUTH_FAILED
    small = bench.vault.request(MAC, key_id=key.key_id, data=b"m", mechanism=CMAC, output_bytes=15)
    assert (small.status, small.output_bytes) == (lib.VKS_STATUS_OUTPUT_SIZE, 16)


def test_aes_cmac_is_named(bench: Bench) -> None:
    """A grant of the operation alone is not enough, and the other way round (MUST-35)."""
    bench.rig.give(AES)
    tag = cmac_of(AES, b"m")
    for refused in (
        AES.with_(mechanism_mask=1 << lib.VKS_MECHANISM_AES_GCM),
        AES.with_(op_mask=1 << ENCRYPT | 1 << DECRYPT),
    ):
        bench.rig.publish(refused)
        assert ask(bench, AES, MAC, b"m", mechanism=CMAC).status == DENIED
        assert ask(bench, AES, MAC_VERIFY, b"m", mechanism=CMAC, parameter=tag).status == DENIED
    bench.rig.publish(AES.with_(mechanism_mask=1 << CMAC))
    assert ask(bench, AES, MAC, b"m", mechanism=CMAC).data == tag
    assert ask(bench, AES, ENCRYPT, b"m").status == DENIED


@pytest.mark.parametrize("key", [AES, AES_128], ids=["aes-256", "aes-128"])
@pytest.mark.parametrize(
    ("mechanism", "wrap", "sizes"),
    [
        (KW, keywrap.aes_key_wrap, (16, 24, 32, 1000, 4096)),
        (KWP, keywrap.aes_key_wrap_with_padding, (1, 7, 8, 9, 31, 32, 2375, 4096)),
    ],
    ids=["kw", "kwp"],
)
def test_aes_key_wrap(
    bench: Bench, key: RigKey, mechanism: int, wrap: Callable[[bytes, bytes], bytes], sizes: tuple[int, ...]
) -> None:
    """Wrapped as another implementation wraps; any changed bit is refused with no byte of the text (MUST-36)."""
    bench.rig.give(key)
    for size in sizes:
        text = bytes(number % 251 + 1 for number in range(size))
        wrapped = ask(bench, key, ENCRYPT, text, mechanism=mechanism).data
        assert wrapped == wrap(key.material, text)
        exact = len(wrapped) - 8
        assert ask(bench, key, DECRYPT, wrapped, mechanism=mechanism, output_bytes=exact).data == text
        small = bench.vault.request(
            DECRYPT, key_id=key.key_id, data=wrapped, mechanism=mechanism, output_bytes=exact - 1
        )
        assert (small.status, small.output_bytes) == (lib.VKS_STATUS_OUTPUT_SIZE, exact)
    wrapped = wrap(key.material, b"a text that is to be kept secret")
    for wrong in flips(wrapped):
        assert ask(bench, key, DECRYPT, wrong, mechanism=mechanism).status == AUTH_FAILED


@pytest.mark.parametrize(
    ("mechanism", "op", "sizes"),
    [
        (KW, ENCRYPT, (0, 1, 8, 15, 17, 20, 4097, 4104, 8192)),
        (KW, DECRYPT, (0, 8, 16, 23, 25, 4105, 4112)),
        (KWP, ENCRYPT, (0, 4097, 8192)),
        (KWP, DECRYPT, (0, 1, 8, 15, 17, 4105, 4112)),
    ],
)
def test_aes_key_wrap_sizes(bench: Bench, mechanism: int, op: int, sizes: tuple[int, ...]) -> None:
    """What is no whole unit, too little or too much is a matter of size, not of verification (MUST-36)."""
    bench.rig.give(AES)
    for size in sizes:
        assert ask(bench, AES, op, bytes(size), mechanism=mechanism).status == INPUT_SIZE
    for extra in ({"parameter": bytes(8)}, {"aad": b"a"}):
        assert ask(bench, AES, op, bytes(24), mechanism=mechanism, **extra).status == INPUT_SIZE


def test_aes_key_wrap_is_named(bench: Bench) -> None:
    """Neither comes with the other, nor with AES-GCM; and one does not open what the other made (MUST-36)."""
    wrapped = keywrap.aes_key_wrap(AES.material, bytes(32))
    padded = keywrap.aes_key_wrap_with_padding(AES.material, bytes(32))
    bench.rig.give(AES)
    assert ask(bench, AES, DECRYPT, wrapped, mechanism=KWP).status == AUTH_FAILED
    assert ask(bench, AES, DECRYPT, padded, mechanism=KW).status == AUTH_FAILED
    for granted, refused in ((lib.VKS_MECHANISM_AES_GCM, KW), (KW, KWP), (KWP, KW)):
        bench.rig.publish(AES.with_(mechanism_mask=1 << granted))
        for op, data in ((ENCRYPT, bytes(32)), (DECRYPT, wrapped)):
            assert ask(bench, AES, op, data, mechanism=refused).status == DENIED


@pytest.mark.parametrize("key", [XTS, XTS_128], ids=["aes-256-xts", "aes-128-xts"])
def test_aes_xts(bench: Bench, key: RigKey) -> None:
    """Any length from a block on, both ways as another implementation does it, and each tweak gives another (MUST-37)."""
    bench.rig.give(key)
    for size in (16, 17, 31, 32, 4096, 20001):
        text = bytes(number % 251 for number in range(size))
        made = set()
        for tweak in (bytes(16), bytes(range(16)), b"\xff" * 16):
            cipher = Cipher(algorithms.AES(key.material), modes.XTS(tweak))
            encryptor = cipher.encryptor()
            sealed = ask(bench, key, ENCRYPT, text, parameter=tweak, output_bytes=size).data
            assert sealed == encryptor.update(text) + encryptor.finalize()
            assert ask(bench, key, DECRYPT, sealed, parameter=tweak, output_bytes=size).data == text
            made.add(sealed)
        assert len(made) == 3
        small = bench.vault.request(ENCRYPT, key_id=key.key_id, data=text, parameter=tweak, output_bytes=size - 1)
        assert (small.status, small.output_bytes) == (lib.VKS_STATUS_OUTPUT_SIZE, size)


def test_aes_xts_sizes(bench: Bench) -> None:
    """No tweak but one of 16 bytes, no text below a block, no associated data (MUST-37)."""
    bench.rig.give(XTS)
    for op in (ENCRYPT, DECRYPT):
        for tweak in (b"", bytes(8), bytes(15), bytes(17), bytes(32)):
            assert ask(bench, XTS, op, bytes(32), parameter=tweak).status == INPUT_SIZE
        for size in (0, 1, 15):
            assert ask(bench, XTS, op, bytes(size), parameter=bytes(16)).status == INPUT_SIZE
        assert ask(bench, XTS, op, bytes(32), parameter=bytes(16), aad=b"a").status == INPUT_SIZE


def test_aes_xts_is_named(bench: Bench) -> None:
    """A grant of the operations alone is not enough; and the key does nothing else (MUST-29, MUST-37)."""
    bench.rig.give(XTS)
    bench.rig.publish(XTS.with_(mechanism_mask=0))
    assert ask(bench, XTS, ENCRYPT, bytes(32), parameter=bytes(16)).status == DENIED
    bench.rig.publish(XTS)
    for mechanism in (lib.VKS_MECHANISM_AES_GCM, lib.VKS_MECHANISM_AES_CBC, KW):
        assert ask(bench, XTS, ENCRYPT, bytes(32), mechanism=mechanism).status == lib.VKS_STATUS_UNSUPPORTED
    assert ask(bench, XTS, MAC, bytes(32), mechanism=CMAC).status == lib.VKS_STATUS_UNSUPPORTED


def test_xts_key_that_is_one_key_twice(bench: Bench) -> None:
    """Even sealed and handed over, such a key is never used (MUST-37)."""
    bench.rig.load(XTS.with_(material=bytes(range(32)) * 2), error=-errno.EBADMSG)


OVERLAPS = [
    (CHACHA, ENCRYPT, lib.VKS_MECHANISM_CHACHA20_POLY1305, b""),
    (AES, MAC, CMAC, b""),
    (AES, ENCRYPT, KW, b""),
    (AES, ENCRYPT, KWP, b""),
    (XTS, ENCRYPT, lib.VKS_MECHANISM_AES_XTS, bytes(16)),
]


@pytest.mark.parametrize(("key", "op", "mechanism", "parameter"), OVERLAPS)
def test_readable_and_writable_bytes_overlap(
    bench: Bench, key: RigKey, op: int, mechanism: int, parameter: bytes
) -> None:
    """In-place work is refused before anything is read (MUST-8)."""
    bench.rig.give(key)
    head, slot = bench.vault.take()
    text = bytes(range(32))
    slot.fill(op, key_id=key.key_id, mechanism=mechanism, parameter=parameter, data=text, output_bytes=64)
    readable_bytes = 72 + len(parameter) + len(text)
    writable_bytes = 64 + TAIL_BYTES
    before = bytes(slot.readable[:readable_bytes])
    bench.ring.set_desc(SPARE, slot.readable_gpa + readable_bytes - 1, writable_bytes, 2)
    bench.ring.set_desc(head, slot.readable_gpa, readable_bytes, 1, SPARE)
    bench.ring.publish(head)
    bench.ring.kick()
    assert bench.ring.wait(keep=True) == [(head, writable_bytes)]
    assert bench.ram.at(slot.readable_gpa + readable_bytes - 1 + writable_bytes - 1, 1)[0] == MALFORMED
    assert bytes(slot.readable[: readable_bytes - 1]) == before[:-1]


def test_long_key_wrap_holds_up_nobody(bench: Bench) -> None:
    """A MAC queued behind many of them completes after at most one: key wrap is slow from 257 bytes on (MUST-13)."""
    bench.rig.give(AES, CHACHA)
    wrap: dict[str, Any] = {"mechanism": KW, "data": bytes(4096), "output_bytes": 4104}
    slow = [bench.vault.submit(ENCRYPT, key_id=AES.key_id, **wrap) for _ in range(40)]
    fast = bench.vault.submit(ENCRYPT, key_id=CHACHA.key_id, data=b"fast", output_bytes=64)
    bench.ring.kick()
    answers = bench.vault.collect(41, timeout_s=30)
    order = [head for head, _ in answers]
    assert order.index(fast) <= 1
    assert sorted(order) == sorted([*slow, fast])
    assert {answer.status for _, answer in answers} == {OK}

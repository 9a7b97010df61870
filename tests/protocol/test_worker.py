# SPDX-License-Identifier: Apache-2.0
"""The real worker and an honest driver: what each operation answers, what is refused and how, what is recorded."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_der_public_key
from framework.vault import TAIL_BYTES, Answer, Cuts
from protocol.worker_rig import Bench, RigKey, key_id, pkcs8

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.ipc import pack

OK = lib.VKS_STATUS_OK
EC = RigKey(key_id(1), lib.VKS_KEY_TYPE_EC_P256, pkcs8(ec.generate_private_key(ec.SECP256R1())))
ED = RigKey(key_id(2), lib.VKS_KEY_TYPE_ED25519, pkcs8(ed25519.Ed25519PrivateKey.generate()))
RSA = RigKey(key_id(3), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(rsa.generate_private_key(65537, 2048)))
AES = RigKey(key_id(4), lib.VKS_KEY_TYPE_AES_256, bytes(range(32)), nonce_lease=0x01020304)
MAC = RigKey(key_id(5), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(64, 96)))
SPARE = 511  # a descriptor that no slot uses
KEYS = (EC, ED, RSA, AES, MAC)


def only(*members: int) -> int:
    return sum(1 << member for member in members)


def list_entries(answer: Answer) -> tuple[list[Any], bool]:
    head: Any = ffi.from_buffer("struct vks_list_head *", answer.data[: ffi.sizeof("struct vks_list_head")])
    size = ffi.sizeof("struct vks_key_entry")
    entries = [
        ffi.from_buffer("struct vks_key_entry *", answer.data[8 + i * size : 8 + (i + 1) * size])
        for i in range(head.entry_count)
    ]
    return entries, bool(head.more)


@pytest.fixture(autouse=True)
def keys(bench: Bench) -> None:
    bench.rig.give(*KEYS)


@pytest.mark.parametrize("cuts", [Cuts(), Cuts((72,), (1,)), Cuts((1,) * 80, (3,) * 20), Cuts((5, 99), indirect=True)])
def test_sign_with_any_cut(bench: Bench, cuts: Cuts) -> None:
    """A request means the same however its bytes are spread over descriptors, direct or indirect (MUST-2)."""
    message = b"any cut" * 9
    answer = bench.vault.request_cut(lib.VKS_OP_SIGN, cuts, key_id=ED.key_id, data=message, output_bytes=64)
    assert (answer.status, answer.output_bytes, answer.key_version) == (OK, 64, 1)
    public = load_der_public_key(bench.vault.request(lib.VKS_OP_PUBLIC, key_id=ED.key_id, output_bytes=512).data)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(answer.data, message)


def test_asymmetric_keys(bench: Bench) -> None:
    """Signatures verify with the public key the device gives, and are refused once a bit changes (MUST-18, MUST-27)."""
    vault = bench.vault
    rsa_public = load_der_public_key(vault.request(lib.VKS_OP_PUBLIC, key_id=RSA.key_id, output_bytes=512).data)
    ec_public = load_der_public_key(vault.request(lib.VKS_OP_PUBLIC, key_id=EC.key_id, output_bytes=512).data)
    assert isinstance(rsa_public, rsa.RSAPublicKey)
    assert isinstance(ec_public, ec.EllipticCurvePublicKey)
    signed = vault.request(lib.VKS_OP_SIGN, key_id=EC.key_id, data=b"message", output_bytes=64).data
    numbers = int.from_bytes(signed[:32], "big"), int.from_bytes(signed[32:], "big")
    ec_public.verify(encode_dss_signature(*numbers), b"message", ec.ECDSA(hashes.SHA256()))
    signature = vault.request(lib.VKS_OP_SIGN, key_id=RSA.key_id, data=b"message", output_bytes=256).data
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    rsa_public.verify(signature, b"message", pss, hashes.SHA256())
    for text, status in ((b"message", OK), (b"massage", lib.VKS_STATUS_AUTH_FAILED)):
        answer = vault.request(lib.VKS_OP_VERIFY, key_id=RSA.key_id, data=text, parameter=signature)
        assert (answer.status, answer.output_bytes) == (status, 0)


def test_encrypt_and_decrypt(bench: Bench) -> None:
    """The nonce is the lease and a counter; an independent implementation opens what the device sealed (MUST-28)."""
    nonces = []
    for counter in range(3):
        fields: dict[str, Any] = {"key_id": AES.key_id, "data": b"plain", "aad": b"aad"}
        sealed = bench.vault.request(lib.VKS_OP_ENCRYPT, output_bytes=64, **fields).data
        nonces.append(int.from_bytes(sealed[4:12], "big"))
        assert sealed[:4] == bytes([1, 2, 3, 4]), counter
        assert AESGCM(AES.material).decrypt(sealed[:12], sealed[12:], b"aad") == b"plain"
    assert len(set(nonces)) == 3
    opened = bench.vault.request(lib.VKS_OP_DECRYPT, key_id=AES.key_id, data=sealed, aad=b"aad", output_bytes=16)
    assert (opened.status, opened.data) == (OK, b"plain")
    forged = bench.vault.request(lib.VKS_OP_DECRYPT, key_id=AES.key_id, data=sealed, aad=b"AAD", output_bytes=16)
    assert (forged.status, forged.output) == (lib.VKS_STATUS_AUTH_FAILED, bytes(16))


def test_mac_and_zero_fill(bench: Bench) -> None:
    """The whole writable area is the device's: what it did not fill is zero, used length covers all (MUST-14)."""
    expected = hmac.HMAC(MAC.material, hashes.SHA256())
    expected.update(b"message")
    head, slot = bench.vault.take()
    slot.writable[:200] = b"\xaa" * 200
    slot.fill(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"message", output_bytes=75)
    bench.vault.send(head)
    bench.ring.kick()
    [(_, answer)] = bench.vault.collect()
    assert answer.output == expected.finalize() + bytes(43)
    assert answer.used_bytes == 75 + TAIL_BYTES
    assert bytes(slot.writable[100:200]) == b"\xaa" * 100  # and what lies behind is not


def test_large_input(bench: Bench) -> None:
    """A request of 1 MiB goes through the slow lane and comes back whole."""
    size = lib.VKS_INPUT_BYTES_MAX
    message = bytes(range(256)) * (size // 256)
    readable, writable = bench.ram.alloc(72 + size), bench.ram.alloc(32 + TAIL_BYTES)
    head, slot = bench.vault.take()
    slot.fill(lib.VKS_OP_MAC, key_id=MAC.key_id, output_bytes=32)
    slot.head.input_bytes = size
    bench.ram.at(readable, 72)[:] = slot.readable[:72]
    bench.ram.at(readable + 72, size)[:] = message
    bench.ring.set_desc(head, readable, 72 + size, 1, SPARE)
    bench.ring.set_desc(SPARE, writable, 32 + TAIL_BYTES, 2)
    bench.ring.publish(head)
    bench.ring.kick()
    bench.ring.wait(keep=True)
    expected = hmac.HMAC(MAC.material, hashes.SHA256())
    expected.update(message)
    assert bytes(bench.ram.at(writable, 32)) == expected.finalize()


def test_random(bench: Bench) -> None:
    """The whole area is filled, short (fast lane) and long (slow lane), differently each time (MUST-30)."""
    for size in (1, 100, 65536):
        writable = bench.ram.alloc(size + TAIL_BYTES)
        seen = set()
        for _ in range(2):
            head, slot = bench.vault.take()
            slot.fill(lib.VKS_OP_RANDOM, output_bytes=0)
            slot.head.output_bytes = size
            bench.ring.set_desc(SPARE, writable, size + TAIL_BYTES, 2)
            bench.ring.set_desc(head, slot.readable_gpa, 72, 1, SPARE)
            bench.ring.publish(head)
            bench.ring.kick()
            assert bench.ring.wait(keep=True) == [(head, size + TAIL_BYTES)]
            area = bytes(bench.ram.at(writable, size + TAIL_BYTES))
            assert area[-1] == OK
            seen.add(area[:size])
            # Eight zeros in a row: one draw in 2**48 has them by chance, every area that was left out in part does.
            assert size < 100 or bytes(8) not in area[:size]
        assert size == 1 or len(seen) == 2


def test_refusals(bench: Bench) -> None:
    """A key of nobody and a key of somebody else are the same; every refusal leaves zeros (MUST-16, MUST-19, MUST-26)."""
    sign = {"data": b"x", "output_bytes": 64}
    cases: list[tuple[str, int, dict[str, Any], int, int]] = [
        ("absent key", lib.VKS_OP_SIGN, sign | {"key_id": key_id(99)}, lib.VKS_STATUS_NO_KEY, 0),
        ("absent version", lib.VKS_OP_SIGN, sign | {"key_id": ED.key_id, "key_version": 2}, lib.VKS_STATUS_NO_KEY, 0),
        ("no key at all", lib.VKS_OP_SIGN, sign, lib.VKS_STATUS_NO_KEY, 0),
        ("unknown mechanism of an absent key", lib.VKS_OP_SIGN, sign | {"mechanism": 99}, lib.VKS_STATUS_NO_KEY, 0),
        ("unknown mechanism", lib.VKS_OP_SIGN, sign | {"key_id": ED.key_id, "mechanism": 99}, 0x82, 0),
        ("wrong operation", lib.VKS_OP_MAC, {"key_id": ED.key_id}, lib.VKS_STATUS_UNSUPPORTED, 0),
        ("unknown operation", 77, {}, lib.VKS_STATUS_UNSUPPORTED, 0),
        ("small area", lib.VKS_OP_SIGN, sign | {"key_id": ED.key_id, "output_bytes": 63}, 0x89, 64),
        ("small area, RSA", lib.VKS_OP_SIGN, sign | {"key_id": RSA.key_id, "output_bytes": 8}, 0x89, 256),
        ("public of a secret key", lib.VKS_OP_PUBLIC, {"key_id": MAC.key_id, "output_bytes": 99}, 0x82, 0),
        ("Ed25519 digest", lib.VKS_OP_SIGN, sign | {"key_id": ED.key_id, "flags": 1}, lib.VKS_STATUS_UNSUPPORTED, 0),
        ("short digest", lib.VKS_OP_SIGN, sign | {"key_id": EC.key_id, "flags": 1}, lib.VKS_STATUS_INPUT_SIZE, 0),
    ]
    for name, op, fields, status, needed in cases:
        answer = bench.vault.request(op, **fields)
        assert (answer.status, answer.output_bytes) == (status, needed), name
        assert not answer.output.strip(b"\0"), name


def test_grant_is_what_counts(bench: Bench) -> None:
    """Operation, mechanism, size, uid and state are decided by the snapshot in force (MUST-29, MUST-31)."""
    fields: dict[str, Any] = {"key_id": MAC.key_id, "data": b"message", "output_bytes": 32}
    denied, state = lib.VKS_STATUS_DENIED, lib.VKS_STATUS_KEY_STATE
    uid = {"flags": lib.VKS_REQUEST_F_UID, "uid": 1000}
    cases: list[tuple[RigKey, dict[str, Any], int]] = [
        (MAC, {}, OK),
        (MAC.with_(op_mask=only(lib.VKS_OP_MAC_VERIFY)), {}, denied),
        (MAC.with_(mechanism_mask=0), {}, denied),
        (MAC.with_(input_bytes_max=7), {}, OK),
        (MAC.with_(input_bytes_max=6), {}, denied),
        (MAC.with_(uids=(1000,)), {}, denied),
        (MAC.with_(uids=(1000,)), uid, OK),
        (MAC.with_(uids=(1001,)), uid, denied),
        (MAC.with_(state=lib.VKS_KEY_STATE_SUSPENDED), {}, state),
        (MAC.with_(state=lib.VKS_KEY_STATE_DEACTIVATED), {}, state),
        (MAC.with_(state=lib.VKS_KEY_STATE_DESTROYED), {}, state),
    ]
    for key, extra, status in cases:
        bench.rig.give(key)
        assert bench.vault.request(lib.VKS_OP_MAC, **fields, **extra).status == status, key
    bench.rig.publish()
    assert bench.vault.request(lib.VKS_OP_MAC, **fields).status == lib.VKS_STATUS_NO_KEY
    bench.rig.publish(MAC)
    bench.vault.submit(lib.VKS_OP_MAC, **fields)
    bench.ring.kick(force=True)
    assert bench.rig.wanted() == [(MAC.key_id, MAC.version)]  # wiped, not hidden
    bench.rig.note_filled()
    assert [answer.status for _head, answer in bench.vault.collect(1)] == [lib.VKS_STATUS_UNAVAILABLE]


def test_versions_of_a_key(bench: Bench) -> None:
    """Version 0 is the current one; an old one is reached by its number (MUST-25 for the mechanism)."""
    old = MAC.with_(version=1, material=b"o" * 32, current=False, state=lib.VKS_KEY_STATE_DEACTIVATED)
    new = MAC.with_(version=2, material=b"n" * 32)
    bench.rig.give(old, new)
    fields: dict[str, Any]
    for version, used, key in ((0, 2, new), (2, 2, new)):
        expected = hmac.HMAC(key.material, hashes.SHA256())
        expected.update(b"m")
        fields = {"key_id": MAC.key_id, "key_version": version, "data": b"m", "output_bytes": 32}
        answer = bench.vault.request(lib.VKS_OP_MAC, **fields)
        assert (answer.status, answer.key_version, answer.data) == (OK, used, expected.finalize())
    fields = {"key_id": MAC.key_id, "key_version": 1, "data": b"m", "parameter": bytes(32)}
    assert bench.vault.request(lib.VKS_OP_MAC_VERIFY, **fields).status == lib.VKS_STATUS_AUTH_FAILED


def test_list_is_paged(bench: Bench) -> None:
    """Key versions come in order, destroyed ones never, and pages end (MUST-24)."""
    many = [MAC.with_(key_id=key_id(100 + i // 2), version=1 + i % 2, current=i % 2 == 1) for i in range(600)]
    many[3] = many[3].with_(state=lib.VKS_KEY_STATE_DESTROYED, current=False)
    bench.rig.publish(*many)
    seen: list[tuple[bytes, int]] = []
    after, version, more = bytes(16), 0, True
    while more:
        asked = pack("vks_list_request", {"after_key_id": after, "after_version": version})
        answer = bench.vault.request(lib.VKS_OP_LIST, data=asked, output_bytes=16000)
        assert answer.status == OK
        entries, more = list_entries(answer)
        assert 0 < len(entries) <= lib.VKS_LIST_ENTRIES_MAX
        seen += [(bytes(entry.key_id), entry.version) for entry in entries]
        after, version = seen[-1]
    assert seen == [(key.key_id, key.version) for i, key in enumerate(many) if i != 3]
    small = bench.vault.request(lib.VKS_OP_LIST, data=bytes(24), output_bytes=20)
    assert (small.status, small.output_bytes) == (lib.VKS_STATUS_OUTPUT_SIZE, 8 + ffi.sizeof("struct vks_key_entry"))


def test_login_is_no_operation(bench: Bench) -> None:
    """What a grant says of logins is listed, decides nothing, and cannot be asked for (MUST-56)."""
    login = only(lib.VKS_OP_LOGIN)
    bench.rig.give(MAC)
    request: dict[str, Any] = {"key_id": MAC.key_id, "data": b"m", "output_bytes": 32}
    for op_mask, status in ((only(lib.VKS_OP_MAC), OK), (only(lib.VKS_OP_MAC_VERIFY), lib.VKS_STATUS_DENIED)):
        for mark in (0, login):
            bench.rig.publish(MAC.with_(op_mask=op_mask | mark))
            assert bench.vault.request(lib.VKS_OP_MAC, **request).status == status
            [entry], _more = list_entries(bench.vault.request(lib.VKS_OP_LIST, data=bytes(24), output_bytes=4096))
            assert entry.op_mask == op_mask | mark
    assert bench.vault.request(lib.VKS_OP_LOGIN, **request).status == lib.VKS_STATUS_UNSUPPORTED


def test_info(bench: Bench) -> None:
    """Info names the guest and the limits, for any head version whose range meets ours (MUST-20, MUST-21)."""
    for low, high, status in ((1, 1, OK), (1, 9, OK), (0, 1, OK), (2, 9, 0x81), (0, 0, 0x81), (9, 1, 0x81)):
        head, slot = bench.vault.take()
        asked = pack("vks_info_request", {"abi_version_min": low, "abi_version_max": high})
        slot.fill(lib.VKS_OP_INFO, data=asked, output_bytes=ffi.sizeof("struct vks_info"))
        slot.head.abi_version = 7
        bench.vault.send(head)
        bench.ring.kick()
        [(_, answer)] = bench.vault.collect()
        slot.head.abi_version = 1
        assert (answer.status, answer.abi_version) == (status, lib.VKS_ABI_VERSION), (low, high)
        if status == OK:
            info: Any = ffi.from_buffer("struct vks_info *", answer.data)
            assert ffi.string(info.guest_name) == b"guest"
            assert (info.key_count, info.input_bytes_max) == (len(KEYS), lib.VKS_INPUT_BYTES_MAX)


def test_every_request_is_recorded_before_its_answer(bench: Bench) -> None:
    """Answer and record name each other; refusals are recorded too (MUST-17)."""
    bench.rig.records()
    asked: list[tuple[int, dict[str, Any]]] = [
        (lib.VKS_OP_SIGN, {"key_id": ED.key_id, "data": b"12345", "output_bytes": 64}),
        (lib.VKS_OP_SIGN, {"key_id": key_id(99), "key_version": 5, "data": b"1", "flags": 2, "uid": 7}),
        (lib.VKS_OP_SIGN, {"key_id": RSA.key_id, "data": bytes(32), "flags": 1, "output_bytes": 256}),
        (lib.VKS_OP_RANDOM, {"output_bytes": 4}),
        (77, {}),
    ]
    for op, fields in asked:
        answer = bench.vault.request(op, **fields)
        [record] = bench.rig.records()
        assert (record.request_sequence, record.status, record.op) == (answer.sequence, answer.status, op)
        assert (lib.vks_audit_covered_requests(record.covered), record.attempt) == (1, 1)
        assert lib.vks_audit_covered_bytes(record.covered) == len(fields.get("data", b""))
        assert bytes(record.key_id) == fields.get("key_id", bytes(16))
        assert record.key_version == (answer.key_version or fields.get("key_version", 0))
        assert (record.flags, record.uid) == ({0: 0, 1: 2, 2: 1}[fields.get("flags", 0)], fields.get("uid", 0))

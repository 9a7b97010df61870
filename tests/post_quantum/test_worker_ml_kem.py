# SPDX-License-Identifier: Apache-2.0
"""ML-KEM in the real worker on Debian 13's OpenSSL, against known answers and another library."""

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem
from post_quantum.keys import KEM, SPKI_HEAD_BYTES, Kind, kem_answers
from protocol.worker_rig import Bench, RigKey, key_id

from vmm_keystore._vks import lib

OK, DENIED, KEY_STATE = lib.VKS_STATUS_OK, lib.VKS_STATUS_DENIED, lib.VKS_STATUS_KEY_STATE
INPUT_SIZE, MALFORMED, UNSUPPORTED = lib.VKS_STATUS_INPUT_SIZE, lib.VKS_STATUS_MALFORMED, lib.VKS_STATUS_UNSUPPORTED
DECAPSULATE, PUBLIC = lib.VKS_OP_DECAPSULATE, lib.VKS_OP_PUBLIC
RELEASE = 1 << lib.VKS_OP_RELEASE
PRIVATE: dict[str, Any] = {"ml-kem-768": mlkem.MLKEM768PrivateKey, "ml-kem-1024": mlkem.MLKEM1024PrivateKey}
KINDS = pytest.mark.parametrize("kind", KEM, ids=lambda kind: kind.name)


def key_of(kind: Kind, seed: bytes, number: int = 1) -> RigKey:
    return RigKey(key_id(number), kind.number, seed)


@KINDS
def test_known_answers(bench: Bench, kind: Kind) -> None:
    """Public keys, secrets, and those of ciphertexts that were made for nobody are FIPS 203's (MUST-44)."""
    answers = kem_answers(kind, 20)
    keys = [key_of(kind, answer["d"] + answer["z"], number) for number, answer in enumerate(answers, 1)]
    bench.rig.give(*keys)
    for key, answer in zip(keys, answers, strict=True):
        public = bench.vault.request(PUBLIC, key_id=key.key_id, output_bytes=4096).data
        assert public[SPKI_HEAD_BYTES:] == answer["pk"]
        for ciphertext, secret in (("ct", "ss"), ("ct_n", "ss_n")):
            made = bench.vault.request(DECAPSULATE, key_id=key.key_id, data=answer[ciphertext], output_bytes=32)
            assert (made.status, made.data) == (OK, answer[secret])


@pytest.mark.parametrize("kind", KEM[1:], ids=lambda kind: kind.name)
def test_agreement_with_somebody_outside(bench: Bench, kind: Kind) -> None:
    """Whoever has the public key shares a secret with the guest; a changed ciphertext shares it with nobody."""
    seed = os.urandom(64)
    key = key_of(kind, seed)
    bench.rig.give(key)
    private = PRIVATE[kind.name].from_seed_bytes(seed)
    public = private.public_key()
    for _ in range(5):
        secret, ciphertext = public.encapsulate()
        asked: dict[str, Any] = {"key_id": key.key_id, "output_bytes": 32}
        assert bench.vault.request(DECAPSULATE, data=ciphertext, **asked).data == secret
        changed = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
        made = [bench.vault.request(DECAPSULATE, data=changed, **asked) for _ in range(2)]
        assert [answer.status for answer in made] == [OK, OK]
        assert made[0].data == made[1].data == private.decapsulate(changed) != secret


@KINDS
def test_sizes(bench: Bench, kind: Kind) -> None:
    """One length of ciphertext, 32 bytes of secret, nothing else beside them (MUST-44, MUST-23)."""
    key = key_of(kind, os.urandom(64))
    bench.rig.give(key)
    asked: dict[str, Any] = {"key_id": key.key_id, "output_bytes": 32}
    fits = bytes(kind.made_bytes)
    for size in (0, 1, kind.made_bytes - 1, kind.made_bytes + 1, 2 * kind.made_bytes, 20000):
        answer = bench.vault.request(DECAPSULATE, data=bytes(size), **asked)
        assert (answer.status, answer.output.strip(b"\0")) == (INPUT_SIZE, b"")
    small = bench.vault.request(DECAPSULATE, data=fits, **asked | {"output_bytes": 31})
    assert (small.status, small.output_bytes) == (lib.VKS_STATUS_OUTPUT_SIZE, 32)
    assert bench.vault.request(DECAPSULATE, data=fits, parameter=b"x", **asked).status == MALFORMED
    assert bench.vault.request(DECAPSULATE, data=fits, aad=b"x", **asked).status == MALFORMED
    for mechanism in range(1, lib.VKS_MECHANISM_COUNT):
        expected = OK if mechanism == lib.VKS_MECHANISM_ML_KEM else UNSUPPORTED
        assert bench.vault.request(DECAPSULATE, data=fits, mechanism=mechanism, **asked).status == expected
    for op in (lib.VKS_OP_SIGN, lib.VKS_OP_DERIVE, lib.VKS_OP_DECRYPT):
        assert bench.vault.request(op, data=fits, **asked).status == UNSUPPORTED


def test_only_where_the_grant_says_release(bench: Bench) -> None:
    """Decapsulate alone is not enough, nor is release (MUST-40); and it is processing (MUST-31)."""
    key = key_of(KEM[1], os.urandom(64))
    asked: dict[str, Any] = {"key_id": key.key_id, "data": bytes(KEM[1].made_bytes), "output_bytes": 32}
    bench.rig.give(key)
    for op_mask in (1 << DECAPSULATE, RELEASE, (1 << lib.VKS_OP_COUNT) - 1, RELEASE | 1 << lib.VKS_OP_DERIVE):
        bench.rig.publish(key.with_(op_mask=op_mask))
        answer = bench.vault.request(DECAPSULATE, **asked)
        assert (answer.status, answer.output.strip(b"\0")) == (DENIED, b"")
    processing = {lib.VKS_KEY_STATE_ACTIVE, lib.VKS_KEY_STATE_DEACTIVATED, lib.VKS_KEY_STATE_COMPROMISED}
    for state in range(lib.VKS_KEY_STATE_DESTROYED):
        bench.rig.publish(key.with_(op_mask=RELEASE | 1 << DECAPSULATE, state=state))
        expected = OK if state in processing else KEY_STATE
        assert bench.vault.request(DECAPSULATE, **asked).status == expected


def test_each_in_a_record_of_its_own(bench: Bench) -> None:
    """However equal and however close (MUST-42, promise P4)."""
    key = key_of(KEM[1], os.urandom(64))
    bench.rig.give(key)
    for _ in range(20):
        bench.vault.submit(DECAPSULATE, key_id=key.key_id, data=bytes(KEM[1].made_bytes), output_bytes=32)
    bench.ring.kick()
    assert {answer.status for _head, answer in bench.vault.collect(20)} == {OK}
    records = bench.rig.records()
    assert [record.op for record in records] == [DECAPSULATE] * 20
    assert [lib.vks_audit_covered_requests(record.covered) for record in records] == [1] * 20

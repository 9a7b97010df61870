# SPDX-License-Identifier: Apache-2.0
"""Requests whose answers an independent implementation checks: who asks, what for, and whether the answer is right."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from framework.vault import Answer, Vault
from vmm_keystore._vks import lib

Check = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request, and what its output must be for a given input."""

    op: int
    key_id: bytes
    output_bytes: int
    check: Check
    mechanism: int = 0


def mac_work(key_id: bytes, key: bytes) -> Work:
    """HMAC-SHA256."""
    return Work(lib.VKS_OP_MAC, key_id, 32, lambda data, out: hmac.digest(key, data, hashlib.sha256) == out)


def ed25519_work(key_id: bytes, public: ed25519.Ed25519PublicKey) -> Work:
    """Ed25519 signatures."""
    return Work(lib.VKS_OP_SIGN, key_id, 64, lambda data, out: public.verify(out, data) is None)


def ecdsa_work(key_id: bytes, public: ec.EllipticCurvePublicKey) -> Work:
    """ECDSA signatures with SHA-256 over P-256, r and s as the device has them."""

    def check(data: bytes, out: bytes) -> bool:
        signature = encode_dss_signature(int.from_bytes(out[:32]), int.from_bytes(out[32:]))
        return public.verify(signature, data, ec.ECDSA(hashes.SHA256())) is None

    return Work(lib.VKS_OP_SIGN, key_id, 64, check)


def gcm_work(key_id: bytes, key: bytes) -> Work:
    """AES-GCM encryption under the device's nonce."""
    return Work(lib.VKS_OP_ENCRYPT, key_id, 128, lambda data, out: AESGCM(key).decrypt(out[:12], out[12:], b"") == data)


def rsa_work(key_id: bytes, public: rsa.RSAPublicKey) -> Work:
    """RSA-PSS signatures: the slow lane."""
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)

    def check(data: bytes, out: bytes) -> bool:
        return public.verify(out, data, pss, hashes.SHA256()) is None

    return Work(lib.VKS_OP_SIGN, key_id, 256, check, lib.VKS_MECHANISM_RSA_PSS_SHA256)


@dataclass
class Ledger:
    """Everything asked of one ring and everything answered: each request once, right, and which on record."""

    vault: Vault
    asked: dict[int, tuple[Work, bytes]] = field(default_factory=dict)
    sequences: list[int] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    submitted: Counter[bytes] = field(default_factory=Counter)
    """Requests by key id."""
    count: int = 0

    def submit(self, work: Work) -> None:
        """Ask for it, over data that no other request has."""
        data = b"request %d" % self.count
        self.count += 1
        head = self.vault.submit(
            work.op, key_id=work.key_id, data=data, output_bytes=work.output_bytes, mechanism=work.mechanism
        )
        self.asked[head] = (work, data)
        self.submitted[work.key_id] += 1

    def settle(self, timeout_s: float = 30.0, *, refused: Iterable[int] = ()) -> None:
        """Wait until every request is answered and check the answers; statuses other than OK must be in *refused*."""
        while self.asked:
            for head, answer in self.vault.collect(1, timeout_s):
                self.check(head, answer, refused)

    def check(self, head: int, answer: Answer, refused: Iterable[int] = ()) -> None:
        """Check one answer. A head that was not asked has been answered twice: KeyError."""
        work, data = self.asked.pop(head)
        self.sequences.append(answer.sequence)
        self.statuses[answer.status] += 1
        if answer.status == lib.VKS_STATUS_OK:
            if not work.check(data, answer.data):
                raise AssertionError(f"wrong answer to {data!r}")
        elif answer.status not in refused:
            raise AssertionError(f"status 0x{answer.status:x} to {data!r}")


@dataclass(frozen=True, slots=True)
class Run:
    """What one audit record covers: so many requests from the first on, each run for the *attempt*-th time."""

    first: int
    count: int
    attempt: int

    @classmethod
    def of_record(cls, record: Any) -> "Run":
        """Read a ``struct vks_audit_record``."""
        return cls(record.request_sequence, lib.vks_audit_covered_requests(record.covered), record.attempt)

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> "Run":
        """Read a line of the audit log."""
        return cls(line["request"], line["count"], line["attempt"])


def attempts_by_request(runs: Iterable[Run]) -> dict[int, list[int]]:
    """The attempts on record of each request, in their order."""
    attempts: dict[int, list[int]] = {}
    for run in runs:
        for sequence in range(run.first, run.first + run.count):
            attempts.setdefault(sequence, []).append(run.attempt)
    return attempts


def check_records(ledger: Ledger, runs: Iterable[Run]) -> dict[int, list[int]]:
    """Match a ring's audit records with its answers; the attempts on record of each request.

    Args:
        ledger: every request since the ring's audit began, all answered.
        runs: what the records cover, in their order.
    """
    attempts = attempts_by_request(runs)
    if len(set(ledger.sequences)) != len(ledger.sequences):
        raise AssertionError("two answers with one number")
    if set(attempts) != set(ledger.sequences):
        raise AssertionError(f"answers and records differ: {set(attempts) ^ set(ledger.sequences)}")
    for sequence, tries in attempts.items():
        if tries != sorted(set(tries)) or tries[0] < 1:
            raise AssertionError(f"request {sequence} has runs {tries}")
    return attempts

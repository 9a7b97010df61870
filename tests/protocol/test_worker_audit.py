# SPDX-License-Identifier: Apache-2.0
"""Which requests share an audit record, through the real worker (promise P4)."""

from typing import Any

import pytest
from protocol.test_worker import ED, MAC, RSA
from protocol.worker_rig import Bench, key_id

from vmm_keystore._vks import lib

COUNT = 50


@pytest.fixture(autouse=True)
def keys(bench: Bench) -> None:
    bench.rig.give(ED, MAC, RSA)
    bench.rig.records()


def submit_all(bench: Bench, requests: list[tuple[int, dict[str, Any]]]) -> list[int]:
    """Make all available at once; their sequences in the order in which they were asked."""
    heads = [bench.vault.submit(op, **fields) for op, fields in requests]
    bench.ring.kick()
    answers = dict(bench.vault.collect(len(heads)))
    return [answers[head].sequence for head in heads]


def covered(record: Any) -> tuple[int, int]:
    return lib.vks_audit_covered_requests(record.covered), lib.vks_audit_covered_bytes(record.covered)


def test_equal_requests_share_records(bench: Bench) -> None:
    """Far fewer records than requests, and they name each request once, with the exact sum of bytes."""
    sizes = [7 * i for i in range(COUNT)]
    mac = {"key_id": MAC.key_id, "output_bytes": 32}
    sequences = submit_all(bench, [(lib.VKS_OP_MAC, {**mac, "data": bytes(size)}) for size in sizes])
    records = bench.rig.records()
    # A stop of the whole machine may end a record early; it does so seldom.
    assert len(records) <= COUNT // 10
    assert sum(covered(record)[1] for record in records) == sum(sizes)
    named = [record.request_sequence + i for record in records for i in range(covered(record)[0])]
    assert named == sequences


def test_different_requests_do_not(bench: Bench) -> None:
    """Refusals, and whatever differs in key, version, operation, mechanism, digest flag or uid: a record each."""
    mac: dict[str, Any] = {"key_id": MAC.key_id, "output_bytes": 32, "data": b"x"}
    sign: dict[str, Any] = {"key_id": ED.key_id, "output_bytes": 64, "data": b"x"}
    verify: dict[str, Any] = {"key_id": ED.key_id, "parameter": bytes(64), "data": b"x"}
    requests: list[tuple[int, dict[str, Any]]] = [
        (lib.VKS_OP_MAC, mac),
        (lib.VKS_OP_MAC, {**mac, "flags": 2, "uid": 1}),
        (lib.VKS_OP_MAC, {**mac, "flags": 2, "uid": 2}),
        (lib.VKS_OP_SIGN, sign),
        (lib.VKS_OP_MAC_VERIFY, {**mac, "output_bytes": 0, "parameter": bytes(32)}),
        (lib.VKS_OP_MAC_VERIFY, {**mac, "output_bytes": 0, "parameter": bytes(32)}),
        (lib.VKS_OP_VERIFY, verify),
        (lib.VKS_OP_VERIFY, verify),
        (lib.VKS_OP_SIGN, {**sign, "key_id": key_id(99)}),
        (lib.VKS_OP_SIGN, {**sign, "key_id": key_id(99)}),
        (lib.VKS_OP_RANDOM, {"output_bytes": 8}),
        (lib.VKS_OP_MAC, mac),
    ]
    sequences = submit_all(bench, requests)
    records = bench.rig.records()
    # What an engine computes comes when its group does.
    assert sorted(record.request_sequence for record in records) == sequences
    assert {covered(record)[0] for record in records} == {1}
    statuses = [record.status for record in records]
    assert statuses.count(lib.VKS_STATUS_AUTH_FAILED) == 4
    assert statuses.count(lib.VKS_STATUS_NO_KEY) == 2


def test_slow_operations_among_fast_ones(bench: Bench) -> None:
    """What completes out of order never stretches a record over requests that it does not name."""
    sign = {"key_id": RSA.key_id, "data": b"x", "output_bytes": 256}
    mac = {"key_id": MAC.key_id, "output_bytes": 32, "data": b"x"}
    requests = [(lib.VKS_OP_SIGN, sign) if i % 3 else (lib.VKS_OP_MAC, mac) for i in range(30)]
    sequences = submit_all(bench, requests)
    ops = {sequence: op for sequence, (op, _fields) in zip(sequences, requests, strict=True)}
    for record in bench.rig.records():
        for i in range(covered(record)[0]):
            assert ops.pop(record.request_sequence + i) == record.op
    assert not ops

# SPDX-License-Identifier: Apache-2.0
"""Budgets in the worker: what counts, what is refused, and what waits for keystored."""

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from framework.vault import Answer
from protocol.worker_rig import Bench, RigKey, key_id, pkcs8

from vmm_keystore._vks import lib

OK, LIMIT, NO_KEY = lib.VKS_STATUS_OK, lib.VKS_STATUS_LIMIT, lib.VKS_STATUS_NO_KEY
MAC = RigKey(key_id(1), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(32), ops_max=10, budget=3)
FREE = RigKey(key_id(2), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(32)))


def mac(bench: Bench, key: RigKey = MAC, **fields: Any) -> Answer:
    """One operation."""
    asked: dict[str, Any] = {"key_id": key.key_id, "data": b"message", "output_bytes": 32} | fields
    return bench.vault.request(lib.VKS_OP_MAC, **asked)


def submit(bench: Bench, key: RigKey = MAC) -> int:
    """The same without waiting."""
    head = bench.vault.submit(lib.VKS_OP_MAC, key_id=key.key_id, data=b"message", output_bytes=32)
    bench.ring.kick(force=True)
    return head


def test_so_many_in_all(bench: Bench) -> None:
    """The tenth is answered, the next ones are refused; other keys know nothing of it."""
    bench.rig.open_budget(MAC, leased=10)
    bench.rig.give(MAC, FREE)
    assert [mac(bench).status for _ in range(13)] == [OK] * 10 + [LIMIT] * 3
    assert bench.rig.used(MAC) == 10
    assert mac(bench, FREE).status == OK
    refused = [record for record in bench.rig.records() if record.status == LIMIT]
    assert len(refused) == 3


def test_what_counts(bench: Bench) -> None:
    """Whatever uses the key, also when it fails; not the public key, and nothing that was refused."""
    private = ec.generate_private_key(ec.SECP256R1())
    key = RigKey(key_id(3), lib.VKS_KEY_TYPE_EC_P256, pkcs8(private), ops_max=100, budget=1, input_bytes_max=64)
    bench.rig.open_budget(key, leased=100)
    bench.rig.give(key)
    ask: dict[str, Any] = {"key_id": key.key_id, "output_bytes": 512}
    assert bench.vault.request(lib.VKS_OP_PUBLIC, **ask).status == OK
    assert bench.vault.request(lib.VKS_OP_SIGN, data=bytes(65), **ask).status == lib.VKS_STATUS_DENIED
    assert bench.vault.request(lib.VKS_OP_ENCRYPT, data=b"m", **ask).status == lib.VKS_STATUS_UNSUPPORTED
    assert bench.rig.used(key) == 0
    assert bench.vault.request(lib.VKS_OP_SIGN, data=b"m", **ask).status == OK
    verify = bench.vault.request(lib.VKS_OP_VERIFY, key_id=key.key_id, parameter=bytes(64), data=b"m", output_bytes=0)
    assert verify.status == lib.VKS_STATUS_AUTH_FAILED
    assert bench.rig.used(key) == 2


def test_slow_operations_count_when_they_begin(bench: Bench) -> None:
    """More than the slow lane takes at once: those that wait for it are not counted yet, then all of them are."""
    key = RigKey(
        key_id(4), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(rsa.generate_private_key(65537, 2048)), ops_max=30, budget=2
    )
    bench.rig.open_budget(key, leased=30)
    bench.rig.give(key)
    for _ in range(40):
        bench.vault.submit(lib.VKS_OP_SIGN, key_id=key.key_id, data=b"m", output_bytes=256)
    bench.ring.kick(force=True)
    statuses = [answer.status for _head, answer in bench.vault.collect(40, timeout_s=30)]
    assert (statuses.count(OK), statuses.count(LIMIT)) == (30, 10)
    assert bench.rig.used(key) == 30


def test_lease_is_waited_for(bench: Bench) -> None:
    """Beyond what is on disk nothing begins: keystored is asked, others are served, and then it goes on."""
    bench.rig.open_budget(MAC, leased=4, low=2)
    bench.rig.give(MAC, FREE)
    assert [mac(bench).status for _ in range(2)] == [OK] * 2
    bench.rig.event(lib.VKS_WORKER_BUDGET_LOW)
    assert [mac(bench).status for _ in range(2)] == [OK] * 2
    waiting = [submit(bench) for _ in range(3)]
    bench.rig.event(lib.VKS_WORKER_BUDGET_LOW)
    bench.rig.ask(lib.VKS_WORKER_DRAINED)
    assert not bench.rig.events, "asked more than once for all that wait"
    assert [mac(bench, FREE).status for _ in range(5)] == [OK] * 5
    assert bench.vault.collect(0) == []
    assert bench.rig.used(MAC) == 4
    lib.vks_budget_lease(bench.rig.state, MAC.budget - 1, 6, 0)
    bench.rig.ask(lib.VKS_WORKER_LEASED)
    answers = bench.vault.collect(2)
    assert [(head, answer.status) for head, answer in answers] == [(head, OK) for head in waiting[:2]]
    bench.rig.event(lib.VKS_WORKER_BUDGET_LOW)
    lib.vks_budget_lease(bench.rig.state, MAC.budget - 1, 10, 0)
    bench.rig.ask(lib.VKS_WORKER_LEASED)
    assert [answer.status for _head, answer in bench.vault.collect(1)] == [OK]
    assert bench.rig.used(MAC) == 7


def test_revoked_while_it_waits(bench: Bench) -> None:
    """A change of grants decides again: nobody waits for a budget that is gone."""
    bench.rig.open_budget(MAC, leased=1)
    bench.rig.give(MAC, FREE)
    assert mac(bench).status == OK
    waiting = submit(bench)
    bench.rig.event(lib.VKS_WORKER_BUDGET_LOW)
    bench.rig.publish(FREE)
    [(head, answer)] = bench.vault.collect(1)
    assert (head, answer.status) == (waiting, NO_KEY)


def test_waiting_ones_survive_a_stop(bench: Bench) -> None:
    """A ring that is stopped and started goes on with them."""
    bench.rig.open_budget(MAC, leased=1)
    bench.rig.give(MAC)
    assert mac(bench).status == OK
    waiting = submit(bench)
    bench.rig.event(lib.VKS_WORKER_BUDGET_LOW)
    bench.rig.start(bench.ring, base=bench.rig.stop())
    bench.rig.event(lib.VKS_WORKER_BUDGET_LOW)
    lib.vks_budget_lease(bench.rig.state, MAC.budget - 1, 10, 0)
    bench.rig.ask(lib.VKS_WORKER_LEASED)
    [(head, answer)] = bench.vault.collect(1)
    assert (head, answer.status) == (waiting, OK)
    assert bench.rig.used(MAC) == 2


def test_so_many_a_second(bench: Bench) -> None:
    """A second's worth at once, then no more than the rate."""
    key = MAC.with_(ops_max=0, ops_a_second=50)
    bench.rig.open_budget(key, leased=0)
    bench.rig.give(key)
    started_s = time.monotonic()
    allowed = 0
    while (passed_s := time.monotonic() - started_s) < 1.5:
        allowed += mac(bench, key).status == OK
        time.sleep(0.001)  # refusals fill the audit ring, which nobody drains here
    assert 50 <= allowed <= 50 + 50 * passed_s + 1
    # However slow this machine is, some of the rate was there to be used.
    assert allowed > 50


@pytest.mark.parametrize("budget_id", [0, 77])
def test_counters_of_another_grant(bench: Bench, budget_id: int) -> None:
    """State memory that does not fit the snapshot: the device failed, and nobody's counters are touched."""
    lib.vks_budget_open(bench.rig.state, MAC.budget - 1, budget_id, 5)
    bench.rig.give(MAC)
    assert mac(bench).status == lib.VKS_STATUS_INTERNAL
    assert bench.rig.used(MAC) == 5

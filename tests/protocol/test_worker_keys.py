# SPDX-License-Identifier: Apache-2.0
"""Keys that are granted and not in the worker: asked for, waited for beside the ring, or refused (MUST-53)."""

import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from framework.guest_ram import GuestRam
from framework.kill_points import kill_points_libexec
from framework.split_ring import SplitRing
from framework.vault import Answer, Vault
from protocol.worker_rig import Bench, RigKey, WorkerRig, key_id, make_state, pkcs8, running_zygote

from vmm_keystore._vks import lib

OK, NO_KEY, UNAVAILABLE = lib.VKS_STATUS_OK, lib.VKS_STATUS_NO_KEY, lib.VKS_STATUS_UNAVAILABLE
LIST_MAX = lib.VKS_KEYS_WANTED_MAX
START_ID = 9


def hmac_key(number: int, **fields: Any) -> RigKey:
    """A key of its own."""
    return RigKey(key_id(number), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes([number % 251]) * 32, **fields)


HERE, ABSENT = hmac_key(1), hmac_key(2)


def submit(vault: Vault, ring: SplitRing, key: RigKey) -> int:
    """One request, without waiting."""
    head = vault.submit(lib.VKS_OP_MAC, key_id=key.key_id, data=b"message", output_bytes=32)
    ring.kick(force=True)
    return head


def ask(bench: Bench, key: RigKey) -> Answer:
    """One request."""
    return bench.vault.request(lib.VKS_OP_MAC, key_id=key.key_id, data=b"message", output_bytes=32)


def with_absent(bench: Bench, *absent: RigKey) -> None:
    """One key is in the worker, the others are granted."""
    bench.rig.load(HERE)
    bench.rig.publish(HERE, *absent)


def test_asked_for_once_and_waited_for(bench: Bench) -> None:
    """Three requests for one key are one question; other keys are used meanwhile; then all are answered."""
    with_absent(bench, ABSENT)
    fields: dict[str, Any] = {"key_id": ABSENT.key_id, "data": b"message", "output_bytes": 32}
    waiting = [bench.vault.submit(lib.VKS_OP_MAC, **fields) for _ in range(2)]
    waiting.append(submit(bench.vault, bench.ring, ABSENT))
    assert bench.rig.wanted() == [(ABSENT.key_id, 1)]
    assert [ask(bench, HERE).status for _ in range(5)] == [OK] * 5
    bench.rig.ask(lib.VKS_WORKER_DRAINED)
    assert not bench.rig.events
    assert bench.vault.collect(0) == []
    bench.rig.fill(ABSENT)
    bench.rig.note_filled()
    answers = bench.vault.collect(3)
    assert [(head, answer.status) for head, answer in answers] == [(head, OK) for head in waiting]
    assert len({answer.data for _head, answer in answers}) == 1
    assert ask(bench, ABSENT).status == OK
    assert not bench.rig.events
    assert [record.status for record in bench.rig.records() if record.op == lib.VKS_OP_MAC].count(OK) >= 2


def test_more_than_a_list(bench: Bench) -> None:
    """What does not fit into one list, or comes while one is away, is in the next; no key is forgotten."""
    keys = [hmac_key(100 + number) for number in range(LIST_MAX + 20)]
    by_id = {key.key_id: key for key in keys}
    with_absent(bench, *keys)
    for key in keys:
        bench.vault.submit(lib.VKS_OP_MAC, key_id=key.key_id, data=b"message", output_bytes=32)
    bench.ring.kick(force=True)
    asked: set[tuple[bytes, int]] = set()
    while len(asked) < len(keys):
        wanted = bench.rig.wanted()
        assert len(wanted) <= LIST_MAX
        assert asked.isdisjoint(wanted)
        asked |= set(wanted)
        bench.rig.fill(*(by_id[id_] for id_, _version in wanted))
        bench.rig.note_filled()
    assert [answer.status for _head, answer in bench.vault.collect(len(keys))] == [OK] * len(keys)


def test_what_does_not_come(bench: Bench) -> None:
    """Refused, on record, and not asked for again at once; a second later it is."""
    with_absent(bench, ABSENT)
    waiting = submit(bench.vault, bench.ring, ABSENT)
    bench.rig.wanted()
    bench.rig.note_filled()
    [(head, answer)] = bench.vault.collect(1)
    assert (head, answer.status) == (waiting, UNAVAILABLE)
    deadline_s = time.monotonic() + 30
    refusals = 1
    while not bench.rig.events and time.monotonic() < deadline_s:
        submit(bench.vault, bench.ring, ABSENT)
        bench.rig.ask(lib.VKS_WORKER_DRAINED)
        refusals += sum(answer.status == UNAVAILABLE for _head, answer in bench.vault.collect(0))
        time.sleep(0.05)
    assert bench.rig.wanted() == [(ABSENT.key_id, 1)]
    assert refusals > 2
    bench.rig.fill(ABSENT)
    bench.rig.note_filled()
    assert bench.vault.collect(1)[0][1].status == OK
    assert UNAVAILABLE in {record.status for record in bench.rig.records()}


def test_what_is_no_key_keeps_no_other_away(bench: Bench) -> None:
    """Of a fill what can be loaded is."""
    bad = RigKey(key_id(3), lib.VKS_KEY_TYPE_EC_P256, b"not a key")
    with_absent(bench, bad, ABSENT)
    waiting = submit(bench.vault, bench.ring, ABSENT)
    bench.rig.wanted()
    bench.rig.load(bad, ABSENT, error=-74, flags=lib.VKS_LOAD_F_FILL)
    bench.rig.note_filled()
    assert [(head, answer.status) for head, answer in bench.vault.collect(1)] == [(waiting, OK)]


def test_revoked_while_it_waits(bench: Bench) -> None:
    """The change decides: whoever waits is refused, and the key that comes after it is dropped."""
    with_absent(bench, ABSENT)
    waiting = submit(bench.vault, bench.ring, ABSENT)
    bench.rig.wanted()
    bench.rig.publish(HERE)
    assert [(head, answer.status) for head, answer in bench.vault.collect(1)] == [(waiting, NO_KEY)]
    bench.rig.fill(ABSENT)
    bench.rig.note_filled()
    assert ask(bench, ABSENT).status == NO_KEY
    bench.rig.publish(HERE, ABSENT)
    submit(bench.vault, bench.ring, ABSENT)
    assert bench.rig.wanted() == [(ABSENT.key_id, 1)], "it was kept beside the table"


def test_changed_while_it_waits(bench: Bench) -> None:
    """A change that leaves the key granted: decided again, and answered when it comes; one list is away at a time."""
    other = hmac_key(4)
    with_absent(bench, ABSENT, other)
    first = submit(bench.vault, bench.ring, ABSENT)
    bench.rig.wanted()
    second = submit(bench.vault, bench.ring, other)
    bench.rig.publish(HERE, ABSENT, other)
    bench.rig.ask(lib.VKS_WORKER_DRAINED)
    assert not bench.rig.events
    bench.rig.fill(ABSENT)
    bench.rig.note_filled()
    assert [(head, answer.status) for head, answer in bench.vault.collect(1)] == [(first, OK)]
    assert bench.rig.wanted() == [(other.key_id, 1)]
    bench.rig.fill(other)
    bench.rig.note_filled()
    assert [(head, answer.status) for head, answer in bench.vault.collect(1)] == [(second, OK)]


def test_comes_twice(bench: Bench) -> None:
    """The one that is there stays: its counters go on."""
    key = RigKey(key_id(5), lib.VKS_KEY_TYPE_AES_256, bytes(32), nonce_lease=7)
    bench.rig.give(key)
    fields: dict[str, Any] = {"key_id": key.key_id, "data": b"plain", "output_bytes": 256}
    before = bench.vault.request(lib.VKS_OP_ENCRYPT, **fields).data
    bench.rig.fill(key.with_(nonce_lease=8))
    after = bench.vault.request(lib.VKS_OP_ENCRYPT, **fields).data
    assert before[:4] == after[:4], "another lease"
    assert before[:12] != after[:12], "a nonce twice"


def test_budget_is_charged_once(bench: Bench) -> None:
    """Nothing counts while a key is waited for."""
    key = hmac_key(6, ops_max=10, budget=1)
    bench.rig.open_budget(key, leased=10)
    bench.rig.publish(key)
    for _ in range(4):
        submit(bench.vault, bench.ring, key)
    bench.rig.wanted()
    assert bench.rig.used(key) == 0
    bench.rig.fill(key)
    bench.rig.note_filled()
    assert [answer.status for _head, answer in bench.vault.collect(4)] == [OK] * 4
    assert bench.rig.used(key) == 4


def test_ring_that_stops_takes_those_along(bench: Bench) -> None:
    """A ring that is stopped while a list is away goes on with its requests."""
    with_absent(bench, ABSENT)
    waiting = submit(bench.vault, bench.ring, ABSENT)
    bench.rig.wanted()
    bench.rig.start(bench.ring, base=bench.rig.stop())
    bench.rig.fill(ABSENT)
    bench.rig.note_filled()
    assert [(head, answer.status) for head, answer in bench.vault.collect(1)] == [(waiting, OK)]


def test_a_successor_asks_anew() -> None:
    """A worker that dies while a request waits for its key: the next one asks, and answers; no death is the request's."""
    private = ed25519.Ed25519PrivateKey.generate()
    key = RigKey(key_id(7), lib.VKS_KEY_TYPE_ED25519, pkcs8(private))
    state_fd = make_state()
    with (
        kill_points_libexec() as libexec,
        running_zygote(libexec) as zygote,
        GuestRam(64 << 20) as ram,
        SplitRing(ram, 64) as ring,
    ):
        vault = Vault(ram, ring, slot_count=8, readable_bytes_max=4096, writable_bytes_max=4096)
        for _ in range(3):
            with WorkerRig(zygote, state_fd) as rig:
                rig.share(ram)
                rig.publish(key)
                rig.start(ring, start_id=START_ID)
                if not vault.busy:
                    vault.submit(lib.VKS_OP_SIGN, key_id=key.key_id, data=b"m", output_bytes=64)
                    ring.kick(force=True)
                assert rig.wanted() == [(key.key_id, 1)]
                rig.kill()
        with WorkerRig(zygote, state_fd) as rig:
            rig.share(ram)
            rig.publish(key)
            rig.start(ring, start_id=START_ID)
            rig.wanted()
            rig.fill(key)
            rig.note_filled()
            [(_head, answer)] = vault.collect(1)
            assert answer.status == OK
            private.public_key().verify(answer.data, b"m")
            records = [record for record in rig.records() if record.op == lib.VKS_OP_SIGN]
            assert [(record.status, record.attempt) for record in records] == [(OK, 1)]

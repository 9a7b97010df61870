# SPDX-License-Identifier: Apache-2.0
"""Requests that an engine computes side by side: each is answered, refused and recorded as if it were alone."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from framework.accelerated import need_processor, with_crypto_mb
from framework.checked_work import Ledger, Run, Work, check_records, ecdsa_work, ed25519_work, mac_work, rsa_work
from framework.kill_points import kill_points_libexec
from protocol.dying_guest import DyingGuest, dying_guest
from protocol.worker_rig import Bench, RigKey, Zygote, key_id, pkcs8, running_bench, running_zygote

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.data_plane import DataPlane

OK = lib.VKS_STATUS_OK
LANES = 8
DEPTH = 100
P256_PRIVATES = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
ED25519_PRIVATE = ed25519.Ed25519PrivateKey.generate()
RSA_PRIVATE = rsa.generate_private_key(65537, 2048)
P256 = [
    RigKey(key_id(10 + i), lib.VKS_KEY_TYPE_EC_P256, pkcs8(private), ops_max=1 << 40, budget=1 + i)
    for i, private in enumerate(P256_PRIVATES)
]
ED25519 = RigKey(key_id(20), lib.VKS_KEY_TYPE_ED25519, pkcs8(ED25519_PRIVATE))
RSA = RigKey(key_id(21), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(RSA_PRIVATE), ops_max=1 << 40, budget=3)
MAC = RigKey(key_id(22), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(32)))
KEYS = (*P256, ED25519, RSA, MAC)
SIGN = [ecdsa_work(key.key_id, private.public_key()) for key, private in zip(P256, P256_PRIVATES, strict=True)]
SIGN_ED25519 = ed25519_work(ED25519.key_id, ED25519_PRIVATE.public_key())
SIGN_RSA = rsa_work(RSA.key_id, RSA_PRIVATE.public_key())
TAG = mac_work(MAC.key_id, MAC.material)
MIXED = (*SIGN, SIGN_ED25519, TAG, SIGN_RSA)
# Where a worker dies over a group, and the attempts of which a record may be left for each of its requests.
POINTS = ("TAKEN", "CHARGED", "RAN", "RECORDED", "MID_RESULT", "USED_ELEMENT", "USED_IDX", "WRITTEN_DOWN")


@pytest.fixture(scope="module")
def fast_zygote() -> Iterator[Zygote]:
    """Give a zygote that has libcrypto_mb."""
    need_processor()
    with with_crypto_mb(), running_zygote() as zygote:
        yield zygote


@pytest.fixture(scope="module")
def killing_zygote() -> Iterator[Zygote]:
    """The same of the test build, whose workers end at named instants."""
    need_processor()
    with with_crypto_mb(), kill_points_libexec() as libexec, running_zygote(libexec) as zygote:
        yield zygote


@pytest.fixture
def bench(fast_zygote: Zygote) -> Iterator[Bench]:
    with running_bench(fast_zygote) as bench:
        for key in KEYS:
            if key.budget:
                bench.rig.open_budget(key, leased=key.ops_max)
        bench.rig.give(*KEYS)
        yield bench


def accelerated(bench: Bench) -> int:
    """The mask that the worker said it is served by."""
    ready: Any = ffi.from_buffer("struct vks_worker_ready *", bench.rig.ready.body)
    return int(ready.accelerated)


def answer_all(bench: Bench, ledger: Ledger, works: list[Work]) -> list[int]:
    """Ask for all at once; the heads in the order in which they were answered."""
    heads = []
    for work in works:
        ledger.submit(work)
    bench.ring.kick(force=True)
    while ledger.asked:
        for head, answer in bench.vault.collect(1):
            heads.append(head)
            ledger.check(head, answer)
    return heads


def test_engines_are_said(bench: Bench, fast_zygote: Zygote) -> None:
    """A worker that may have them says which, one that may not says none."""
    assert accelerated(bench) >> lib.VKS_ENGINE_P256_SIGN & 1
    with running_bench(fast_zygote, data_plane=DataPlane(accelerators=False)) as plain:
        assert accelerated(plain) == 0


@pytest.mark.parametrize("count", [1, 2, LANES - 1, LANES, LANES + 1, 2 * LANES, DEPTH])
def test_groups_of_any_size(bench: Bench, count: int) -> None:
    """Two keys in turn: every signature is its own key's, and nobody waits for a full group."""
    ledger = Ledger(bench.vault)
    answer_all(bench, ledger, [SIGN[i % 2] for i in range(count)])
    assert ledger.statuses == Counter({OK: count})
    attempts = check_records(ledger, map(Run.of_record, bench.rig.records()))
    assert sorted(attempts.values()) == [[1]] * count
    for key, share in zip(P256, ((count + 1) // 2, count // 2), strict=True):
        assert bench.rig.used(key) == share


def test_kinds_that_take_turns(bench: Bench) -> None:
    """All at once, over both lanes: each gets what it asked for."""
    ledger = Ledger(bench.vault)
    answer_all(bench, ledger, [MIXED[i % len(MIXED)] for i in range(DEPTH)])
    assert ledger.statuses == Counter({OK: DEPTH})
    assert len(check_records(ledger, map(Run.of_record, bench.rig.records()))) == DEPTH


def test_others_overtake_a_group(bench: Bench) -> None:
    """Too few for a full group wait for the end of the look at the ring, and nobody behind them does."""
    signs = [bench.vault.submit(SIGN[0].op, key_id=P256[0].key_id, data=b"s", output_bytes=64) for _ in range(5)]
    drawn = bench.vault.submit(lib.VKS_OP_RANDOM, output_bytes=32)
    bench.ring.kick(force=True)
    answered = [head for head, answer in bench.vault.collect(6) if answer.status == OK]
    assert answered == [drawn, *signs]


def test_bad_ones_among_good_ones(bench: Bench) -> None:
    """What is refused before or inside the group costs its sender a status and the others nothing."""
    good: dict[str, Any] = {"key_id": P256[0].key_id, "data": b"good", "output_bytes": 64}
    bad = [
        ({"output_bytes": 63}, lib.VKS_STATUS_OUTPUT_SIZE),
        ({"flags": lib.VKS_REQUEST_F_DIGEST, "data": bytes(31)}, lib.VKS_STATUS_INPUT_SIZE),
        ({"parameter": b"p"}, lib.VKS_STATUS_MALFORMED),
        ({"key_id": key_id(99)}, lib.VKS_STATUS_NO_KEY),
        ({"mechanism": lib.VKS_MECHANISM_ED25519}, lib.VKS_STATUS_UNSUPPORTED),
    ]
    wanted = {}
    for fields, status in bad * 2:
        wanted[bench.vault.submit(lib.VKS_OP_SIGN, **good)] = OK
        wanted[bench.vault.submit(lib.VKS_OP_SIGN, **good | fields)] = status
    bench.ring.kick(force=True)
    answers = dict(bench.vault.collect(len(wanted)))
    assert {head: answer.status for head, answer in answers.items()} == wanted
    for answer in answers.values():
        if answer.status == OK:
            assert SIGN[0].check(b"good", answer.data)


def test_the_same_message_is_never_signed_with_the_same_nonce(bench: Bench) -> None:
    """Equal r in two ECDSA signatures over different messages gives the key away."""
    heads = [
        bench.vault.submit(lib.VKS_OP_SIGN, key_id=P256[0].key_id, data=b"same", output_bytes=64) for _ in range(DEPTH)
    ]
    bench.ring.kick(force=True)
    answers = dict(bench.vault.collect(len(heads)))
    assert len({answer.data[:32] for answer in answers.values()}) == DEPTH


def test_as_many_as_there_is_room_for_on_record(bench: Bench) -> None:
    """A group is no larger than the audit ring has room for; the others wait until it has."""
    ring: Any = lib.vks_state_audit(bench.rig.state)
    bench.rig.records()
    room = 3
    ring.tail = (ring.head + room - lib.VKS_AUDIT_RING_RECORDS) % 2**64
    ledger = Ledger(bench.vault)
    # Keys in turn: each has a record of its own.
    for i in range(LANES):
        ledger.submit(SIGN[i % 2])
    bench.ring.kick(force=True)
    for head, answer in bench.vault.collect(room):
        ledger.check(head, answer)
    time.sleep(0.05)
    assert bench.ring.used_head[1] == bench.ring.last_used, "answered without a record"
    ring.tail = ring.head
    bench.rig.ask(lib.VKS_WORKER_DRAINED)
    for head, answer in bench.vault.collect(LANES - room):
        ledger.check(head, answer)
    assert not ledger.asked


def test_a_ring_that_stops_and_goes_on(bench: Bench) -> None:
    """Groups of the slow lane that have begun end, others are asked for again; nobody is lost."""
    ledger = Ledger(bench.vault)
    for _ in range(20):
        for i in range(40):
            ledger.submit(SIGN_RSA if i % 2 else SIGN[0])
        bench.ring.kick(force=True)
        base = bench.rig.stop()
        bench.rig.start(bench.ring, base=base)
        while ledger.asked:
            for head, answer in bench.vault.collect(1):
                ledger.check(head, answer)
    assert ledger.statuses == Counter({OK: 800})


@pytest.fixture
def guest(killing_zygote: Zygote) -> Iterator[DyingGuest]:
    with dying_guest(killing_zygote, KEYS, DataPlane()) as running:
        yield running


@pytest.mark.parametrize("point", POINTS)
def test_death_over_a_group(guest: DyingGuest, point: str) -> None:
    """Whichever of a group has been answered, the others are run again, and nothing twice in the budget."""
    for hit in range(12):
        guest.points.arm(point, passes=hit)
        guest.run([SIGN[i % 2] for i in range(12)])
        attempts = guest.attempts()
        assert len(attempts) == 12
        assert all(runs in ([1], [2], [1, 2]) for runs in attempts.values())
        # Each is recorded and answered before the next one is: only the last one can have done the first alone.
        assert sum(runs == [1, 2] for runs in attempts.values()) <= 1
    assert guest.deaths == 12


def test_who_was_in_a_group_that_died_runs_alone(guest: DyingGuest) -> None:
    """One of them may be what kills: with the second death it is set aside, and its neighbours are not."""
    guest.points.arm("RAN", then="RAN", then_passes=3)
    guest.run([SIGN[0]] * LANES, refused=(lib.VKS_STATUS_INTERNAL,))
    assert guest.deaths == 2
    assert guest.ledger.statuses == Counter({OK: LANES - 1, lib.VKS_STATUS_INTERNAL: 1})


def test_death_over_a_group_of_the_slow_lane(guest: DyingGuest) -> None:
    for hit in range(8):
        guest.points.arm("SLOW_RUNNING", passes=hit)
        guest.run([SIGN_RSA] * 12)
        assert len(guest.attempts()) == 12
    assert guest.deaths == 8

# SPDX-License-Identifier: Apache-2.0
"""Loads for one worker: what is refused, what is lost, and a worker that asks for keys and does not take them."""

import errno
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.key_values import KeyLoad
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.errors import ProgramRefusedError, VaultLockedError, WorkerGoneError
from vmm_keystore.workers.key_channel import UNTAKEN_MAX, KeyChannel


class FakeCustodian:
    """Answers at once; *refusals* by key id, or for whatever comes."""

    def __init__(self) -> None:
        self.refusals: dict[bytes, int] = {}
        self.locked = False
        self.sent: list[tuple[int, int, list[bytes]]] = []
        self.channel: KeyChannel | None = None

    def load(self, _channel: int, load_id: int, loads: Sequence[KeyLoad], flags: int) -> Future[Any]:
        """See ``Custodian``; the worker has the keys at once."""
        reply: Future[Any] = Future()
        refused = [self.refusals[load.key_id] for load in loads if load.key_id in self.refusals]
        if self.locked:
            refused = [errno.ENOKEY]
        if refused:
            reply.set_exception(ProgramRefusedError("vks-custodian", refused[0]))
            return reply
        self.sent.append((load_id, flags, [load.key_id for load in loads]))
        reply.set_result(None)
        if self.channel and load_id:
            self.channel.loaded(SimpleNamespace(load_id=load_id, error=0))
        return reply


def make() -> tuple[FakeCustodian, KeyChannel, list[str]]:
    """A channel, its custodian, and what became of its worker."""
    custodian, killed = FakeCustodian(), [""]
    channel = KeyChannel(cast("Custodian", custodian), "g", 1, lambda: killed.append("killed"))
    custodian.channel = channel
    return custodian, channel, killed


def load(number: int) -> KeyLoad:
    """One entry."""
    return KeyLoad(bytes([number]) * 16, 1, KeyType.AES_256, number, b"sealed")


def test_one_that_is_refused_keeps_no_other_away() -> None:
    """It is named, and not offered to the guest any more; without memory the rest comes later."""
    custodian, channel, _killed = make()
    custodian.refusals = {load(2).key_id: errno.EBADMSG}
    problems = channel.load([load(1), load(2), load(3)])
    assert [problem.split()[1] for problem in problems] == [load(2).key_id.hex()]
    assert channel.held == {(load(1).key_id, 1), (load(3).key_id, 1)}
    assert channel.refused == {(load(2).key_id, 1)}
    custodian.refusals = {load(5).key_id: errno.ENOMEM}
    assert channel.load([load(4), load(5), load(6)]) == []
    assert channel.is_full
    assert (load(4).key_id, 1) in channel.held
    assert not {(load(5).key_id, 1), (load(6).key_id, 1)} & (channel.held | channel.refused)
    custodian.refusals = {}
    assert channel.load([load(2)]) == []
    assert channel.refused == frozenset()
    channel.keep(frozenset({(load(1).key_id, 1)}))
    assert channel.held == {(load(1).key_id, 1)}


def test_fills_are_for_the_snapshot_in_force() -> None:
    """They say so, and count."""
    custodian, channel, _killed = make()
    custodian.refusals = {load(2).key_id: errno.EBADMSG}
    assert len(channel.fill([load(1), load(2)])) == 1
    assert custodian.sent == [(0, lib.VKS_LOAD_F_FILL, [load(1).key_id])]
    assert channel.filled_count == 1
    assert not channel.held


def test_what_is_no_key_of_its_own() -> None:
    """A locked vault, and a worker that is gone."""
    custodian, channel, _killed = make()
    custodian.refusals = {load(1).key_id: errno.EPIPE}
    for way in (channel.load, channel.fill):
        with pytest.raises(WorkerGoneError):
            way([load(1)])
    custodian.locked = True
    for way in (channel.load, channel.fill):
        with pytest.raises(VaultLockedError):
            way([load(2)])


def test_worker_that_does_not_take_what_it_asks_for() -> None:
    """Is killed: secret memory would pile up in its channel."""
    _custodian, channel, killed = make()
    for number in range(3 * UNTAKEN_MAX):
        channel.fill([load(number)])
        channel.loaded(SimpleNamespace(load_id=0, error=0))
    assert killed == [""]
    for number in range(UNTAKEN_MAX + 1):
        channel.fill([load(number)])
    with pytest.raises(WorkerGoneError):
        channel.fill([load(1)])
    assert killed == ["", "killed"]

# SPDX-License-Identifier: Apache-2.0
"""A session as bytes and descriptors: the same comes back, and what is damaged is refused and nothing else."""

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from framework.machine_driver import MachineDriver, u64
from hypothesis import given, settings
from hypothesis import strategies as st

from vmm_keystore.vhost_user.backend import Peer
from vmm_keystore.vhost_user.effects import Call, CallResult, SetMemTable, StartRing
from vmm_keystore.vhost_user.errors import ProtocolError
from vmm_keystore.vhost_user.machine import BackEndMachine
from vmm_keystore.vhost_user.offer import Offer
from vmm_keystore.vhost_user.protocol import Request, VirtioFeature, mask
from vmm_keystore.vhost_user.saved import Conversation, Step, load, save

SOCKET_FD = 3
PEER = Peer(pid=10, uid=20, gid=30, pidfd=4)
CONVERSATION = Conversation(Step.TAKING, Request.SET_VRING_CALL, 20, "ab" * 32, b"\x01\x02")


def saved_session(count: int = 1, runs: Sequence[int] = (0,)) -> tuple[MachineDriver, bytes, tuple[int, ...]]:
    """One with so many rings, of which these run; all have a descriptor."""
    driver = MachineDriver(Offer(queue_count=count))
    driver.send(Request.SET_FEATURES, u64(mask(VirtioFeature.PROTOCOL_FEATURES, VirtioFeature.RING_EVENT_IDX)))
    driver.negotiate()
    for index in runs:
        driver.configure(index).send(Request.SET_VRING_KICK, u64(index), 1)
    for index in range(count):
        driver.send(Request.SET_VRING_CALL, u64(index), 1)
    content, fds = save(SOCKET_FD, PEER, driver.machine.state, CONVERSATION)
    return driver, content, fds


def test_the_same_comes_back() -> None:
    """Everything but the device's progress, which it is told: under the same name of the start."""
    driver, content, fds = saved_session()
    renumbered = tuple(fd + 1000 for fd in fds)
    loaded = load(content, renumbered, Offer())
    assert loaded.socket_fd == SOCKET_FD + 1000
    assert loaded.peer == Peer(pid=10, uid=20, gid=30, pidfd=1004)
    assert loaded.conversation == CONVERSATION
    assert {fd - 1000 for fd in loaded.state.held_fds()} == driver.machine.state.held_fds()
    old, new = driver.machine.state, loaded.state
    for name in ("features", "protocol_features", "owned", "status", "negotiated", "enable_seen", "next_start_id"):
        assert getattr(old, name) == getattr(new, name), name
    told = old.rings[0].told
    assert told is not None
    assert (new.rings[0].resumes, new.rings[0].start_id) == (True, told.start_id)


def test_the_device_is_told_all_of_it() -> None:
    """Table first, then the ring as it ran; the start after that is another one."""
    driver, content, fds = saved_session()
    told = driver.machine.state.rings[0].told
    assert told is not None
    machine = BackEndMachine(load(content, fds, Offer()).state)
    [table] = machine.carry_on()
    assert isinstance(table, SetMemTable)
    [start] = machine.complete(CallResult(ok=True))
    assert isinstance(start, StartRing)
    assert start.vring == told
    assert machine.complete(CallResult(ok=True)) == []
    assert machine.state.take_start_id() != told.start_id


WRONG: tuple[Any, ...] = (None, True, -1, 1 << 64, 1.5, "x", [], {})


def spoilt(facts: Any) -> Iterator[Any]:
    """Every way to lose or replace one thing, at any depth."""
    members: Iterable[Any] = ()
    if isinstance(facts, dict):
        members = facts
    elif isinstance(facts, list):
        members = range(len(facts))
    for name in members:
        rest = copy.copy(facts)
        del rest[name]
        yield rest
        for wrong in spoilt(facts[name]):
            changed = copy.copy(facts)
            changed[name] = wrong
            yield changed
    yield from (wrong for wrong in WRONG if type(wrong) is not type(facts) or wrong != facts)


def load_and_tell(content: bytes, fds: tuple[int, ...]) -> bool:
    """Load it and tell the device all of it; false where it was refused."""
    try:
        loaded = load(content, fds, Offer())
    except ProtocolError:
        return False
    assert loaded.state.held_fds() <= set(fds)
    machine = BackEndMachine(loaded.state)
    effects = machine.carry_on()
    while effects and isinstance(effects[-1], Call):
        effects = machine.complete(CallResult(ok=True))
    save(loaded.socket_fd, loaded.peer, loaded.state, loaded.conversation)
    return True


def test_every_single_damage_is_refused_or_means_something_else() -> None:
    """No field is believed to be of its type, or within its bounds."""
    _driver, content, fds = saved_session()
    refused = [not load_and_tell(json.dumps(facts).encode(), fds) for facts in spoilt(json.loads(content))]
    assert len(refused) > 350
    assert sum(refused) > len(refused) // 2


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_torn_and_overwritten_bytes_are_refused_or_mean_something_else(data: st.DataObject) -> None:
    _driver, content, fds = saved_session()
    at = data.draw(st.integers(0, len(content) - 1))
    load_and_tell(content[:at], fds)
    load_and_tell(content[:at] + data.draw(st.binary(min_size=1, max_size=4)) + content[at + 1 :], fds)


def test_session_of_another_device_is_refused() -> None:
    _driver, content, fds = saved_session()
    with pytest.raises(ProtocolError, match="not offered any more"):
        load(content, fds, Offer(features=1 << 30))


@pytest.mark.parametrize(("before", "now", "runs"), [(1, 2, [0]), (2, 1, [0]), (4, 2, [0, 1])])
def test_another_number_of_rings(before: int, now: int, runs: list[int]) -> None:
    """Whatever runs goes on; descriptors of rings that there are no more are left over."""
    driver, content, fds = saved_session(before, runs)
    session = load(content, fds, Offer(queue_count=now))
    assert [ring.index for ring in session.state.rings if ring.resumes] == runs
    assert len(session.state.rings) == now
    gone = {fd for ring in driver.machine.state.rings[now:] for fd in ring.fds()}
    assert set(fds) - session.held_fds() == gone
    assert bool(gone) == (before > now)


def test_a_ring_that_runs_is_not_left_out() -> None:
    """Its guest would wait for ever: another front-end has to begin."""
    _driver, content, fds = saved_session(3, [0, 2])
    with pytest.raises(ProtocolError, match="than the 2 "):
        load(content, fds, Offer(queue_count=2))

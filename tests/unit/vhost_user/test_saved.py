# SPDX-License-Identifier: Apache-2.0
"""A session as bytes and descriptors: the same comes back, and what is damaged is refused and nothing else."""

import json
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
from vmm_keystore.vhost_user.saved import Conversation, SavedSession, Step, load, save

SOCKET_FD = 3
PEER = Peer(pid=10, uid=20, gid=30, pidfd=4)
CONVERSATION = Conversation(Step.TAKING, Request.SET_VRING_CALL, 20, "ab" * 32, b"\x01\x02")


def saved_session() -> tuple[MachineDriver, bytes, tuple[int, ...]]:
    """One with a running ring."""
    driver = MachineDriver()
    driver.send(Request.SET_FEATURES, u64(mask(VirtioFeature.PROTOCOL_FEATURES, VirtioFeature.RING_EVENT_IDX)))
    driver.run()
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


def spoilt(facts: Any, draw: st.DrawFn) -> Any:
    """Change one thing, anywhere."""
    if isinstance(facts, dict) and facts:
        name = draw(st.sampled_from(sorted(facts)))
        rest = {key: value for key, value in facts.items() if key != name}
        return rest if draw(st.booleans()) else rest | {name: spoilt(facts[name], draw)}
    if isinstance(facts, list) and facts and draw(st.booleans()):
        return [spoilt(facts[0], draw), *facts[1:]]
    return draw(
        st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=4), st.just([]), st.just({}))
    )


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Cut short, overwritten, or a member lost or replaced."""
    _driver, content, _fds = saved_session()
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return content[: draw(st.integers(0, len(content) - 1))]
    if kind == 1:
        at = draw(st.integers(0, len(content) - 1))
        return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at + 1 :]
    return json.dumps(spoilt(json.loads(content), draw)).encode()


@settings(max_examples=600, deadline=None)
@given(damaged(), st.integers(0, 8))
def test_damage_is_refused_or_means_something_else(content: bytes, fd_count: int) -> None:
    """Whatever stands in the file: a session, or a ProtocolError. A session that comes of it can be told the device."""
    try:
        loaded = load(content, tuple(range(100, 100 + fd_count)), Offer())
    except ProtocolError:
        return
    assert isinstance(loaded, SavedSession)
    assert loaded.state.held_fds() <= set(range(100, 100 + fd_count))
    machine = BackEndMachine(loaded.state)
    effects = machine.carry_on()
    while effects and isinstance(effects[-1], Call):
        effects = machine.complete(CallResult(ok=True))


@pytest.mark.parametrize(
    "offer", [Offer(features=1 << 30), Offer(queue_count=2)], ids=["fewer features", "more queues"]
)
def test_session_of_another_device_is_refused(offer: Offer) -> None:
    _driver, content, fds = saved_session()
    with pytest.raises(ProtocolError):
        load(content, fds, offer)

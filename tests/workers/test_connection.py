# SPDX-License-Identifier: Apache-2.0
"""A control socket: replies find their requests, and a program that misbehaves loses it."""

import array
import os
import queue
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.errors import ProgramLostError, ProgramRefusedError
from vmm_keystore.workers.ipc import REPLY, Message, pack, pack_message
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.programs import control_pair
from vmm_keystore.workers.worker import FORMS
from vmm_keystore.workers.zygote import FORMS as ZYGOTE_FORMS

PATIENCE_S = 5.0


def tag_of(packet: bytes) -> int:
    head: Any = ffi.from_buffer("struct vks_ipc_head *", packet)
    return int(head.tag)


@dataclass
class Program:
    """The other end, played by the test."""

    socket: socket.socket
    events: "queue.Queue[Message]" = field(default_factory=queue.Queue)
    lost: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def next_tag(self) -> int:
        """Receive a request and tell its tag."""
        return tag_of(self.socket.recv(65536))

    def send(self, packet: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send a packet."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([packet], ancillary)


@pytest.fixture
def pair(loop: Loop) -> Iterator[tuple[Connection, Program]]:
    ours, theirs = control_pair()
    theirs.settimeout(PATIENCE_S)
    program = Program(theirs)
    connection = Connection(
        loop, ours, FORMS | ZYGOTE_FORMS, name="test", on_event=program.events.put, on_lost=program.lost.put
    )
    yield connection, program
    connection.close("test ends")
    theirs.close()


def test_replies_out_of_order_find_their_requests(pair: tuple[Connection, Program]) -> None:
    """The tag decides, not the order."""
    connection, program = pair
    first = connection.post(lib.VKS_WORKER_RING_STOP, pack("vks_worker_ring"))
    second = connection.post(lib.VKS_WORKER_SNAPSHOT, pack("vks_worker_snapshot"))
    tags = [program.next_tag(), program.next_tag()]
    program.send(pack_message(lib.VKS_WORKER_SNAPSHOT | REPLY, tags[1]))
    program.send(pack_message(lib.VKS_WORKER_RING_STOP | REPLY, tags[0], pack("vks_worker_ring_stopped", {"base": 3})))
    assert second.result(PATIENCE_S).type == lib.VKS_WORKER_SNAPSHOT | REPLY
    assert first.result(PATIENCE_S).body.base == 3


def test_errno_becomes_an_exception(pair: tuple[Connection, Program]) -> None:
    """A refusal is never taken for an answer."""
    connection, program = pair
    future = connection.post(lib.VKS_WORKER_DRAINED)
    program.send(pack_message(lib.VKS_WORKER_DRAINED | REPLY, program.next_tag(), error=-28))
    with pytest.raises(ProgramRefusedError, match="no space left"):
        future.result(PATIENCE_S)


def test_event_goes_to_the_callback(pair: tuple[Connection, Program]) -> None:
    """Tag 0 answers nothing."""
    _connection, program = pair
    program.send(pack_message(lib.VKS_WORKER_READY, 0, pack("vks_worker_ready", {"secret_memory": 1})))
    assert program.events.get(timeout=PATIENCE_S).body.secret_memory == 1


def test_descriptor_of_a_reply_arrives(pair: tuple[Connection, Program]) -> None:
    """A reply's descriptor is the one sent, close-on-exec."""
    connection, program = pair
    future = connection.post(lib.VKS_ZYGOTE_SPAWN, pack("vks_zygote_spawn"))
    sent = os.memfd_create("marker")
    os.write(sent, b"marker")
    program.send(pack_message(lib.VKS_ZYGOTE_SPAWN | REPLY, program.next_tag(), pack("vks_zygote_spawned")), (sent,))
    (received,) = future.result(PATIENCE_S).fds
    assert os.pread(received, 6, 0) == b"marker"
    assert not os.get_inheritable(received)
    os.close(sent)
    os.close(received)


def open_fds() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"x", id="no message"),
        pytest.param(pack_message(lib.VKS_WORKER_DRAINED | REPLY, 77), id="answer to nothing"),
        pytest.param(pack_message(lib.VKS_WORKER_SNAPSHOT | REPLY, 1), id="answer of another type"),
        pytest.param(pack_message(lib.VKS_WORKER_DRAINED | REPLY, 1), id="descriptor nobody asked for"),
    ],
)
def test_what_is_no_answer_ends_the_connection(pair: tuple[Connection, Program], packet: bytes) -> None:
    """The open request fails, the owner is told, and no descriptor is left behind."""
    connection, program = pair
    future = connection.post(lib.VKS_WORKER_DRAINED)
    before = open_fds()
    program.send(packet, (0, 1) if packet == pack_message(lib.VKS_WORKER_DRAINED | REPLY, 1) else ())
    with pytest.raises(ProgramLostError):
        future.result(PATIENCE_S)
    assert program.lost.get(timeout=PATIENCE_S)
    assert open_fds() <= before


def test_end_of_the_program_fails_open_requests(pair: tuple[Connection, Program]) -> None:
    """Nobody waits for a dead program, and later requests fail at once."""
    connection, program = pair
    future = connection.post(lib.VKS_WORKER_DRAINED)
    program.socket.close()
    with pytest.raises(ProgramLostError):
        future.result(PATIENCE_S)
    with pytest.raises(ProgramLostError):
        connection.post(lib.VKS_WORKER_DRAINED).result(0)


def test_program_that_takes_no_message_is_given_up(pair: tuple[Connection, Program]) -> None:
    """A thread that must not wait does not: a full socket ends the connection."""
    connection, program = pair
    futures = [connection.post(lib.VKS_WORKER_DRAINED, bytes(1000)) for _ in range(10_000)]
    assert program.lost.get(timeout=PATIENCE_S).startswith("test takes no message")
    assert all(isinstance(future.exception(0), ProgramLostError) for future in futures)


def test_request_gives_up_in_time(pair: tuple[Connection, Program]) -> None:
    """A silent program costs the caller its timeout, once."""
    connection, program = pair
    with pytest.raises(ProgramLostError, match="did not answer"):
        connection.request(lib.VKS_WORKER_DRAINED, timeout_s=0.05)
    assert program.lost.get(timeout=PATIENCE_S)


def test_many_threads_share_a_connection(pair: tuple[Connection, Program]) -> None:
    """Each caller gets the answer to its own question."""
    connection, program = pair
    answers: dict[int, int] = {}

    def ask(number: int) -> None:
        body = pack("vks_worker_ring", {"queue": number})
        answers[number] = connection.request(lib.VKS_WORKER_RING_STOP, body, timeout_s=PATIENCE_S).body.base

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for _ in threads:
        packet = program.socket.recv(65536)
        number = int.from_bytes(packet[24:28], "little")
        body = pack("vks_worker_ring_stopped", {"queue": number, "base": number + 100})
        program.send(pack_message(lib.VKS_WORKER_RING_STOP | REPLY, tag_of(packet), body))
    for thread in threads:
        thread.join()
    assert answers == {number: number + 100 for number in range(16)}

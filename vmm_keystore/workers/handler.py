# SPDX-License-Identifier: Apache-2.0
"""vks-handler: has an operator's program run on an event, and says how that ended.

A process for each delivery, which asks for its order on its control socket, answers when the program has ended, and
ends. It kills the program when we shut our end down, or are no more.
"""

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vmm_keystore._vks import lib
from vmm_keystore.policy.event import Event
from vmm_keystore.service.ports import DeliveryError, DeliveryStoppedError
from vmm_keystore.workers.connection import receive_message
from vmm_keystore.workers.errors import ProgramError
from vmm_keystore.workers.ipc import REPLY, Form, Message, pack, pack_message
from vmm_keystore.workers.programs import Process, is_child

PROGRAM = "vks-handler"
FORMS = {lib.VKS_HANDLER_RUN | REPLY: Form("vks_handler_ended", lambda body: int(body.said_bytes))}
END_WAIT_S = 5.0
"""For what takes no time: to kill a program and say so."""


class HandlerPrograms:
    """Runs programs one way or the other: by a vks-handler that keystored starts, or by one that systemd does."""

    def __init__(self, start: Callable[[], tuple[Process, socket.socket]]) -> None:
        """*start* gives a vks-handler and its control socket."""
        self._start = start

    def run(self, program: Path, event: Event, timeout_s: float, stop_fd: int) -> None:
        """Have *program* run on *event*; break off when *stop_fd* is readable. On return it has ended.

        Raises:
            DeliveryError: it was not run, not in time, or not with exit status 0.
            DeliveryStoppedError: it was broken off.
        """
        try:
            process, control = self._start()
        except (ProgramError, OSError) as error:
            if _readable((stop_fd,), 0):
                raise DeliveryStoppedError from error
            raise DeliveryError(f"cannot start it: {_reason(error)}") from error
        try:
            message = _attend(control, _order(program, event), timeout_s, stop_fd)
        except (ProgramError, OSError) as error:
            raise DeliveryError(f"{PROGRAM}: {_reason(error)}") from error
        finally:
            control.close()
            _end(process)
        _judge(message)


def _order(program: Path, event: Event) -> bytes:
    parts = (
        os.fsencode(program),
        event.event_id.encode(),
        event.kind.value.encode(),
        (json.dumps(event.as_json()) + "\n").encode(),
    )
    names = ("program_bytes", "id_bytes", "kind_bytes", "line_bytes")
    lengths = dict(zip(names, map(len, parts), strict=True))
    return pack_message(lib.VKS_HANDLER_RUN, 1, pack("vks_handler_run", lengths) + b"".join(parts))


def _attend(control: socket.socket, order: bytes, timeout_s: float, stop_fd: int) -> Message:
    """Give the order and wait for the answer."""
    control.send(order, socket.MSG_NOSIGNAL)
    ready = _readable((control.fileno(), stop_fd), timeout_s)
    if stop_fd in ready:
        raise DeliveryStoppedError
    if ready:
        return _receive(control)
    # It kills the program, and says what that has said.
    control.shutdown(socket.SHUT_WR)
    said = b""
    if _readable((control.fileno(),), END_WAIT_S):
        said = _receive(control).tail
    raise DeliveryError(_with_said(f"it did not end within {timeout_s:g} s and was killed", said))


def _receive(control: socket.socket) -> Message:
    message = receive_message(control, FORMS)
    if message is None:
        raise DeliveryError(f"{PROGRAM} ended without an answer")
    return message


def _judge(message: Message) -> None:
    status = int(message.body.status)
    if status:
        how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
        raise DeliveryError(_with_said(how, message.tail))


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)


def _with_said(reason: str, said: bytes) -> str:
    return f"{reason}: {said.decode(errors='replace')}" if said.strip() else reason


def _readable(fds: Sequence[int], timeout_s: float) -> set[int]:
    """Those of *fds* that can be read; none when the time is up."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    end_s = time.monotonic() + timeout_s
    while True:
        left_ms = max(0, round((end_s - time.monotonic()) * 1000))
        ready = {fd for fd, _events in poller.poll(left_ms)}
        if ready or not left_ms:
            return ready


def _end(process: Process) -> None:
    """Wait until it has ended, and with it the program; one that does not is killed, if it is ours."""
    if not _readable((process.pidfd,), END_WAIT_S):
        # What systemd started as another user, systemd ends.
        with contextlib.suppress(PermissionError):
            process.kill()
    process.close(reap=is_child(process.pidfd))

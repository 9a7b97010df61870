# SPDX-License-Identifier: Apache-2.0
"""The keys of a PKCS#11 token, through vks-hsm: made, found, and used by the workers of guests that may.

The program is started when the first key of the token is asked for, and again whenever it ends: with a token that is
back, or after a while. Each worker with such a key has a channel to it; which keys it may use there is said before the
worker's snapshot is in force, and again to each successor. Without the program workers answer that the key cannot be
asked for now.
"""

import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmm_keystore._vks import ffi, lib
from vmm_keystore.errors import CustodianError, KeystoreError, PinRefusedError, SecretRefusedError
from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.policy.hsm import HsmPlace, HsmToken, TokenObject, TokenStatus
from vmm_keystore.policy.lifecycle import state_allows
from vmm_keystore.policy.vocabulary import KeyType, Op, mask
from vmm_keystore.service.key_values import TokenPair
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.errors import ProgramError, ProgramLostError, ProgramRefusedError
from vmm_keystore.workers.hsm import EXIT_PIN, MODULE_HINT, printable, token_text
from vmm_keystore.workers.ipc import REPLY, Form, pack
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.pin import Pin
from vmm_keystore.workers.programs import Process, start_program

log = logging.getLogger(__name__)

PROGRAM = "vks-hsm"
OPEN_TIMEOUT_S = 30.0
DEATH_TIMEOUT_S = 5.0
GENERATE_TIMEOUT_S = 70.0  # the program gives a token 30 s for a call, and another one may be before
ALLOW_TIMEOUT_S = 2.0
"""The administrator's answer waits for it (promise P6); a program that has not taken a list by then is killed."""
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 15.0
ALLOW_MAX = int(lib.VKS_HSM_ALLOW_MAX)
GONE = "the token is gone, or its module has ended"
TOKEN_OPS = (Op.SIGN, Op.DECRYPT)


def public_tail_bytes(public: Any) -> int:
    """Bytes behind ``struct vks_hsm_public``."""
    return int(public.public_bytes)


FORMS = {
    lib.VKS_HSM_OPEN | REPLY: Form("vks_hsm_opened"),
    lib.VKS_HSM_CHANNEL | REPLY: Form(),
    lib.VKS_HSM_CLOSE | REPLY: Form(),
    lib.VKS_HSM_ALLOW | REPLY: Form(),
    lib.VKS_HSM_GENERATE | REPLY: Form("vks_hsm_public", public_tail_bytes),
    lib.VKS_HSM_FIND | REPLY: Form("vks_hsm_public", public_tail_bytes),
}


@dataclass(frozen=True)
class Life:
    """One run of the program."""

    child: Process
    connection: Connection
    over: threading.Event

    def end(self) -> None:
        """Kill it; returns when it is gone, or the kernel does not let it die."""
        self.child.kill()
        self.connection.close("it is over")
        self.child.ended.wait(DEATH_TIMEOUT_S)


@dataclass
class Channel:
    """A worker's: the keys that it may use, how it is given its end, and whether the program that runs has the other."""

    keys: tuple[PermittedKey, ...]
    give: Callable[[int], None]
    is_open: bool = False


class Token:
    """``service.ports.TokenKeys`` over vks-hsm, and the channels of workers to it."""

    def __init__(self, loop: Loop, place: HsmPlace, pin: Pin, environment: Mapping[str, str]) -> None:
        """Set up without starting; *environment* is all that the module sees of ours."""
        self._loop = loop
        self._place = place
        self._pin = pin
        self._environment = environment
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._life: Life | None = None
        """The program, from its start on."""
        self._status = TokenStatus()
        self._lock = threading.Lock()
        self._channels: dict[int, Channel] = {}
        self._open_life: Life | None = None
        """The program while the token is open; with the lock of the channels, which it knows all of."""
        self._serial = ""

    # -- the program -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Have the program from now on; its start takes its time, and so does the token."""
        with self._changed:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._supervise, name="token", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the program, whatever it is doing."""
        with self._changed:
            self._stopping = True
            life, thread = self._life, self._thread
            self._changed.notify_all()
        if life:
            life.child.kill()
            life.connection.close("stopping")
        if thread:
            thread.join()

    def status(self) -> TokenStatus:
        """Say how it is; never waits."""
        return self._status

    def _supervise(self) -> None:
        delay_s = RETRY_FIRST_S
        while not self._stopping:
            problem = self._run()
            if self._stopping:
                return
            # What was open may be back soon.
            was_open = self._status.token is not None
            delay_s = RETRY_FIRST_S if was_open else min(RETRY_MAX_S, delay_s * 2)
            if problem.message != self._status.problem:
                hint = f"; hint: {problem.hint}" if problem.hint else ""
                log.error("keys of the token cannot be used: %s%s", problem.message, hint)
            with self._changed:
                self._status = TokenStatus(problem=problem.message)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopping, delay_s)

    def _run(self) -> KeystoreError:
        """One life of the program; says why it is over."""
        over = threading.Event()
        try:
            with self._pin.login():
                life = self._begin(over)
                try:
                    self._open(life)
                except BaseException:
                    self._bury(life)
                    raise
        except KeystoreError as error:
            return error
        except (ProgramError, OSError) as error:
            return CustodianError(str(error))
        over.wait()
        self._bury(life)
        return SecretRefusedError(GONE, "its keys can be used when it is back")

    def _begin(self, over: threading.Event) -> Life:
        child, control = start_program(PROGRAM, environment=self._environment)
        connection = Connection(
            self._loop,
            control,
            FORMS,
            name=PROGRAM,
            on_event=lambda _message: child.kill(),
            on_lost=lambda _reason: over.set(),
        )
        life = Life(child, connection, over)
        with self._changed:
            self._life = life
            stopping = self._stopping
        if stopping:
            connection.close("stopping")
        return life

    def _bury(self, life: Life) -> None:
        life.connection.close("it is over")
        life.child.kill()
        life.child.close(reap=True)
        with self._changed:
            self._life = None
        with self._lock:
            self._open_life = None
            for channel in self._channels.values():
                channel.is_open = False

    def _open(self, life: Life) -> None:
        path = str(self._place.module).encode()
        label = self._place.token.encode()[:32].ljust(32) if self._place.token else bytes(32)
        body = pack("vks_hsm_open", {"label": label, "path_bytes": len(path)}) + path
        try:
            opened = life.connection.request(lib.VKS_HSM_OPEN, body, [self._pin.fd], timeout_s=OPEN_TIMEOUT_S).body
        except ProgramError as error:
            raise SecretRefusedError(
                "the pkcs#11 module ended the program that it was loaded into", MODULE_HINT
            ) from error
        if opened.outcome:
            message, hint = _words(opened.text)
            raise (PinRefusedError if opened.outcome == EXIT_PIN else SecretRefusedError)(message, hint)
        token = HsmToken(token_text(bytes(opened.label)), token_text(bytes(opened.serial)))
        with self._lock:
            # What a change says from here on it says itself.
            self._serial = token.serial
            for channel_id, channel in self._channels.items():
                self._connect(life, channel_id, channel)
            self._open_life = life
        with self._changed:
            self._status = TokenStatus(token, life.child.pid, int(opened.sessions))
            self._changed.notify_all()
        log.info("keys of token %s (serial %s) can be used, %d sessions", token.label, token.serial, opened.sessions)

    # -- channels of workers -----------------------------------------------------------------------------------------

    def allow(self, channel_id: int, keys: Sequence[PermittedKey], give: Callable[[int], None]) -> None:
        """Let a worker use *keys* of the token, and no others; in force when this returns.

        Args:
            channel_id: the worker's id.
            keys: of them those that lie in a token.
            give: hands the worker its end of a channel.
        """
        in_token = tuple(key for key in keys if key.token is not None and _op_mask(key))
        # Each worker is one thread's at a time: nobody makes its channel meanwhile.
        if not in_token and channel_id not in self._channels:
            return
        with self._lock:
            channel = self._channels.setdefault(channel_id, Channel((), give))
            if channel.keys == in_token:
                return
            channel.keys = in_token
            life = self._open_life
            if life is not None:
                try:
                    self._connect(life, channel_id, channel)
                except (ProgramError, OSError) as error:
                    log.error("%s did not take what a guest may use, killed: %s", PROGRAM, error)
                    life.end()
        self.start()

    def close_channel(self, channel_id: int) -> None:
        """Forget a worker that has ended."""
        if channel_id not in self._channels:
            return
        with self._lock:
            channel = self._channels.pop(channel_id)
            life = self._open_life
            if channel.is_open and life is not None:
                life.connection.post(lib.VKS_HSM_CLOSE, pack("vks_hsm_channel", {"channel_id": channel_id}))

    def _connect(self, life: Life, channel_id: int, channel: Channel) -> None:
        """Tell the program what a channel may, which is made anew where the program has closed it.

        Raises:
            ProgramError: it did not take that.
            OSError: there is no descriptor left.
        """
        if channel.is_open:
            try:
                self._allow(life.connection, channel_id, channel)
            except ProgramRefusedError as error:
                if error.errno != errno.ENOENT:
                    raise
                channel.is_open = False
            else:
                return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            body = pack("vks_hsm_channel", {"channel_id": channel_id})
            life.connection.request(lib.VKS_HSM_CHANNEL, body, [ours.fileno()], timeout_s=ALLOW_TIMEOUT_S)
            channel.is_open = True
            self._allow(life.connection, channel_id, channel)
            channel.give(theirs.fileno())

    def _allow(self, connection: Connection, channel_id: int, channel: Channel) -> None:
        entries = [_entry(key) for key in channel.keys if key.token and key.token.serial == self._serial]
        for start in range(0, max(len(entries), 1), ALLOW_MAX):
            part = entries[start : start + ALLOW_MAX]
            flags = lib.VKS_HSM_ALLOW_F_BEGIN if start == 0 else 0
            body = pack("vks_hsm_allow", {"channel_id": channel_id, "flags": flags, "count": len(part)})
            connection.request(lib.VKS_HSM_ALLOW, body + b"".join(part), timeout_s=ALLOW_TIMEOUT_S)

    # -- key pairs ---------------------------------------------------------------------------------------------------

    def generate(self, key_type: KeyType, label: str) -> TokenPair:
        """Make a key pair in the token; *label* is what its own tools show."""
        fields = {"object": {"bytes": os.urandom(16), "size_bytes": 16, "type": int(key_type)}, "label": label.encode()}
        return self._pair(lib.VKS_HSM_GENERATE, pack("vks_hsm_generate", fields))

    def find(self, label: str, object_id: bytes) -> TokenPair:
        """Find a key pair by its id, or where that is empty by its label."""
        fields = {"object": {"bytes": object_id, "size_bytes": len(object_id)}, "label": label.encode()}
        return self._pair(lib.VKS_HSM_FIND, pack("vks_hsm_find", fields))

    def _pair(self, message_type: int, body: bytes) -> TokenPair:
        self.start()
        with self._changed:
            # Only the first try is waited for: how a later one is going to end, the last one's problem says.
            self._changed.wait_for(lambda: self._status.was_asked or self._stopping, OPEN_TIMEOUT_S)
            life, status = self._life, self._status
        if life is None or status.token is None:
            raise SecretRefusedError(
                f"the token cannot be used: {status.problem or GONE}", "vmm-keystore status tells when it can"
            )
        try:
            message = life.connection.request(message_type, body, timeout_s=GENERATE_TIMEOUT_S)
        except ProgramLostError as error:
            raise SecretRefusedError(
                "the token is gone, or did not answer", "vmm-keystore status tells when it is back"
            ) from error
        except ProgramRefusedError as error:
            raise CustodianError(f"{PROGRAM} did not ask the token: {os.strerror(error.errno)}") from error
        if message.body.outcome:
            raise SecretRefusedError(*_words(message.body.text))
        found = message.body.object
        object_id = bytes(found.bytes)[: found.size_bytes]
        return TokenPair(KeyType(found.type), TokenObject(status.token.serial, object_id), message.tail)


def _entry(key: PermittedKey) -> bytes:
    assert key.token is not None  # noqa: S101 -- chosen by that
    object_id = key.token.object_id
    place = {"bytes": object_id, "size_bytes": len(object_id), "type": int(key.key_type)}
    fields = {"key_id": key.key_id, "version": key.version, "op_mask": _op_mask(key), "object": place}
    return pack("vks_hsm_key", fields)


def _op_mask(key: PermittedKey) -> int:
    """What its token may be asked to do with it: what its grant allows, as long as its state does."""
    return mask(op for op in TOKEN_OPS if key.permission.op_mask >> op & 1 and state_allows(key.state, op))


def _words(text: Any) -> tuple[str, str]:
    """Split what a program says into cause and hint; it has a vendor's code in it."""
    said = bytes(ffi.buffer(text)).partition(b"\0")[0].decode(errors="replace")
    message, _, hint = said.partition("\nhint: ")
    return printable(message), printable(hint)

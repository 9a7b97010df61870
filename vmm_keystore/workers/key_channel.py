# SPDX-License-Identifier: Apache-2.0
"""What the custodian hands to one worker: keys for its next snapshot, and keys that requests wait for.

Knows ``VKS_CUSTODIAN_LOAD`` and what a worker says of it; no key byte passes here.
"""

import errno
import itertools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from vmm_keystore._vks import lib
from vmm_keystore.service.key_values import KeyLoad
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.custodian_messages import load_batches
from vmm_keystore.workers.errors import ProgramLostError, ProgramRefusedError, VaultLockedError, WorkerGoneError

log = logging.getLogger(__name__)

KeyVersion = tuple[bytes, int]

LOAD_TIMEOUT_S = 20.0  # the custodian may be busy generating an RSA key
UNTAKEN_MAX = 8
"""Fills that a worker has not taken: secret memory that lies in its channel."""
CHANNEL_GONE = frozenset({errno.EPIPE, errno.ENOENT, errno.ECONNRESET})
FILL_ID = 0
"""Of loads that nobody waits for."""


class KeyChannel:
    """Loads for one worker, by one thread at a time; fills by another one."""

    def __init__(self, custodian: Custodian, guest: str, worker_id: int, kill: Callable[[], None]) -> None:
        """Use the channel that the custodian has as *worker_id*; *kill* ends the worker."""
        self._custodian = custodian
        self._guest = guest
        self._worker_id = worker_id
        self._kill = kill
        self._load_ids = itertools.count(FILL_ID + 1)
        self._loads: dict[int, Future[None]] = {}
        self._fills_sent = 0
        self._fills_taken = 0
        self.held: frozenset[KeyVersion] = frozenset()
        """Loaded before they were asked for; some may have been given up since."""
        self.refused: frozenset[KeyVersion] = frozenset()
        """That could not be loaded when that was tried last, and are not offered to the guest."""
        self.is_full = False
        """It takes no more before they are asked for."""
        self.filled_count = 0
        """Brought when a request waited for them."""

    def load(self, loads: Sequence[KeyLoad]) -> list[str]:
        """Have the custodian hand over keys, and wait until the worker has them; they are in use with the next snapshot.

        Returns:
            What is wrong with those that are refused, one line each.

        Raises:
            ProgramLostError: the custodian or the worker died or hung over it. Whether the keys arrive yet is unknown:
                try again with fresh nonce leases only, or two loads of one lease would make the same nonces.
        """
        problems = []
        for load, refusal in self._deliver(loads, self._load):
            if refusal.errno == errno.ENOMEM:
                self.is_full = True  # the others are filled in when they are asked for
            else:
                self.refused |= {(load.key_id, load.version)}
                problems.append(describe(load, refusal))
        return problems

    def fill(self, loads: Sequence[KeyLoad]) -> list[str]:
        """Have the custodian hand over keys that the snapshot in force names; waits for the custodian only.

        Returns, raises:
            As :meth:`load`; what a worker makes of them only it knows.
        """
        if self._fills_sent - self._fills_taken > UNTAKEN_MAX:
            self._kill()
            raise WorkerGoneError(f"worker of {self._guest} asks for keys and does not take them")
        return [describe(load, refusal) for load, refusal in self._deliver(loads, self._fill)]

    def loaded(self, body: Any) -> None:
        """Hear what the worker says of a load, on the loop's thread."""
        if body.load_id == FILL_ID:
            self._fills_taken += 1
            if body.error:
                refusal = ProgramRefusedError(f"worker of {self._guest}", abs(body.error))
                log.error("guest %s: not every key that was asked for could be loaded: %s", self._guest, refusal)
            return
        waiting = self._loads.pop(body.load_id, None)
        if waiting is None:
            return
        if body.error:
            waiting.set_exception(ProgramRefusedError(f"worker of {self._guest}", abs(body.error)))
        else:
            waiting.set_result(None)

    def keep(self, versions: frozenset[KeyVersion]) -> None:
        """Note the versions of the snapshot in force: the worker has wiped all others."""
        self.held &= versions

    def close(self, error: ProgramLostError) -> None:
        """End what waits: the worker is gone."""
        for waiting in list(self._loads.values()):
            if not waiting.done():
                waiting.set_exception(error)

    def _deliver(
        self, loads: Sequence[KeyLoad], send: Callable[[list[KeyLoad]], None]
    ) -> list[tuple[KeyLoad, ProgramRefusedError]]:
        """Send as few times as possible; give those that are refused. The first for want of memory is the last one."""
        refusals = []
        for batch in load_batches(loads):
            try:
                send(batch)
                continue
            except ProgramRefusedError as error:
                self._check_lost(error)
            # One bad key must not keep the others away. Nothing of the batch is held, so its leases are unused.
            for load in batch:
                try:
                    send([load])
                except ProgramRefusedError as error:
                    self._check_lost(error)
                    refusals.append((load, error))
                    if error.errno == errno.ENOMEM:
                        return refusals
        return refusals

    def _check_lost(self, error: ProgramRefusedError) -> None:
        """Raise what is no key's own problem."""
        if error.errno == errno.ENOKEY:
            raise VaultLockedError("the vault is locked") from error
        if error.errno in CHANNEL_GONE:
            raise WorkerGoneError(f"worker of {self._guest} ended") from error

    def _load(self, batch: list[KeyLoad]) -> None:
        load_id = next(self._load_ids)
        loaded: Future[None] = Future()
        self._loads[load_id] = loaded
        try:
            self._send(load_id, batch)
            loaded.result(LOAD_TIMEOUT_S)
        except FutureTimeoutError:
            self._kill()
            raise ProgramLostError(f"keys of {self._guest} were not taken in time") from None
        finally:
            self._loads.pop(load_id, None)
        versions = {(load.key_id, load.version) for load in batch}
        self.held |= versions
        self.refused -= versions

    def _fill(self, batch: list[KeyLoad]) -> None:
        self._send(FILL_ID, batch)
        self._fills_sent += 1
        self.filled_count += len(batch)

    def _send(self, load_id: int, batch: list[KeyLoad]) -> None:
        flags: int = lib.VKS_LOAD_F_FILL if load_id == FILL_ID else 0
        try:
            self._custodian.load(self._worker_id, load_id, batch, flags).result(LOAD_TIMEOUT_S)
        except FutureTimeoutError:
            self._custodian.give_up("it hung over a load")
            raise ProgramLostError(f"keys of {self._guest} were not loaded in time") from None


def describe(load: KeyLoad, error: ProgramRefusedError) -> str:
    """Say in one line why a key cannot be loaded."""
    if error.errno == errno.ENOTSUP:
        return f"key {load.key_id.hex()} version {load.version}: {load.key_type.text} needs OpenSSL 3.5 or newer"
    return f"key {load.key_id.hex()} version {load.version}: {error}"

# SPDX-License-Identifier: Apache-2.0
"""What the next keystored needs of one guest, remembered as it changes.

Descriptors lie in the store, the rest in two files on tmpfs: ``GUEST.session`` names the bag of the front-end's
descriptors and says what they are, ``GUEST.worker`` which process serves. A bag is stored before the file names it and
dropped after, so whoever comes next finds the two together at any moment.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from vmm_keystore.vhost_user.listener import Inherited
from vmm_keystore.workers.descriptor_store import DescriptorStore, open_bag, pack_bag
from vmm_keystore.workers.predecessor import ServingFile, replace_file

log = logging.getLogger(__name__)


class GuestKeeper:
    """``SessionKeeper`` of one guest, and the same for its worker.

    Session and listening socket are the vhost-user thread's, the worker is the guest's.
    """

    def __init__(self, store: DescriptorStore, runtime_dir: Path, guest: str) -> None:
        self._store = store
        self._guest = guest
        self._session_file = runtime_dir / f"{guest}.session"
        self._serving = ServingFile(runtime_dir / f"{guest}.worker")
        self._bag = ""
        self._fds: tuple[int, ...] = ()
        self._listening = ""
        self._worker = ""

    # -- what the last keystored left --------------------------------------------------------------------------------

    def inherit_front_end(self) -> Inherited:
        """Give the listening socket and the session that a keystored before this one had."""
        listening = list(self._store.take(f"listen.{self._guest}").items())
        for name, fd in listening[1:]:
            os.close(fd)
            self._store.drop(name)
        listening_fd = None
        if listening:
            self._listening, listening_fd = listening[0]
        content, fds = self._inherit_session()
        return Inherited(listening_fd, content, fds)

    def _inherit_session(self) -> tuple[bytes | None, tuple[int, ...]]:
        bags = self._store.take(f"session.{self._guest}")
        try:
            name, _, content = self._session_file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            name, content = b"", b""
        fds: tuple[int, ...] | None = None
        for bag, fd in bags.items():
            if bag == name.decode(errors="replace"):
                try:
                    fds = open_bag(fd)
                    self._bag = bag
                except OSError as error:
                    log.error("guest %s: its front-end's descriptors are lost: %s", self._guest, error)
            os.close(fd)
            if bag != self._bag:
                self._store.drop(bag)
        if fds is None:
            self._session_file.unlink(missing_ok=True)
            return None, ()
        # As numbers of this process they are new; the first change makes a bag of its own.
        self._fds = ()
        return content, fds

    def end_predecessor(self) -> None:
        """End the worker of the last keystored; from then on nobody has the guest's ring.

        Raises:
            ProgramLostError: it does not die.
        """
        if self._serving.end_worker():
            log.info("guest %s: the last keystored's worker has ended", self._guest)
        for name, fd in self._store.take(f"worker.{self._guest}").items():
            os.close(fd)
            self._store.drop(name)

    # -- the worker --------------------------------------------------------------------------------------------------

    def keep_worker(self, pid: int, control_fd: int) -> None:
        """Remember who serves from now on: a worker ends when nobody has the other end of its control socket."""
        try:
            self._serving.write(pid)
            self._worker = self._exchange("worker", self._worker, control_fd)
        except OSError as error:
            log.error("guest %s: worker pid %d ends with keystored: %s", self._guest, pid, error.strerror)

    def forget_worker(self) -> None:
        """Nobody serves the guest any more."""
        self._serving.remove()
        if self._worker:
            self._store.drop(self._worker)
        self._worker = ""

    # -- the front-end; on the vhost-user thread ---------------------------------------------------------------------

    def keep(self, content: bytes, fds: Sequence[int]) -> None:
        """Remember a session."""
        last = self._bag
        try:
            if tuple(fds) != self._fds or not last:
                bag_fd = pack_bag(fds)
                self._bag = self._store.keep(f"session.{self._guest}", bag_fd)
                os.close(bag_fd)
                self._fds = tuple(fds)
            replace_file(self._session_file, self._bag.encode() + b"\n" + content)
        except OSError as error:
            log.error("guest %s: its front-end is not kept for another keystored: %s", self._guest, error.strerror)
            self.forget()
        if last and last != self._bag:
            self._store.drop(last)

    def forget(self) -> None:
        """Forget the session."""
        if not self._bag:
            return
        self._session_file.unlink(missing_ok=True)
        self._store.drop(self._bag)
        self._bag, self._fds = "", ()

    def keep_listening(self, fd: int) -> None:
        """Remember the listening socket."""
        try:
            self._listening = self._exchange("listen", self._listening, fd)
        except OSError as error:
            log.error("guest %s: its socket is not kept for another keystored: %s", self._guest, error.strerror)

    def forget_listening(self) -> None:
        """Forget the listening socket."""
        if self._listening:
            self._store.drop(self._listening)
        self._listening = ""

    def _exchange(self, kind: str, last: str, fd: int) -> str:
        """Keep *fd* and only then drop what was kept under the name *last*; the new name."""
        name = self._store.keep(f"{kind}.{self._guest}", fd)
        if last:
            self._store.drop(last)
        return name

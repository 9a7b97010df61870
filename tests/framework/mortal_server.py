# SPDX-License-Identifier: Apache-2.0
"""``python -m framework.mortal_server SOCKET FOLDER COUNT WHEN``: a vhost-user back-end that kills itself.

It echoes, keeps its session as keystored does, and sends itself SIGKILL at the COUNT-th time that it keeps something:
WHEN is ``before`` or ``after``. Says ``ready`` when it listens. ``serving`` is the same for the test's own process,
which goes on where the other one ended.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from framework.echo_device import EchoFactory
from vmm_keystore.vhost_user.listener import GuestSocket
from vmm_keystore.vhost_user.server import Server
from vmm_keystore.workers.holder import Holder
from vmm_keystore.workers.keeper import GuestKeeper
from vmm_keystore.workers.loop import Loop

GUEST = "web1"


class MortalKeeper(GuestKeeper):
    """Dies at a given moment."""

    count = 0
    when = ""

    def keep(self, content: bytes, fds: Sequence[int]) -> None:
        """Keep it, or die."""
        self.count -= 1
        if self.count == 0 and self.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().keep(content, fds)
        if self.count == 0 and self.when == "after":
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def serving(socket: Path, folder: Path, *, count: int = 0, when: str = "") -> Iterator[EchoFactory]:
    """Serve the guest, going on with what is there; everything is closed at the end."""
    loop = Loop("holder")
    loop.start()
    store = Holder(loop, folder)
    keeper = MortalKeeper(store, folder, GUEST)
    keeper.count, keeper.when = count, when
    factory = EchoFactory()
    try:
        with Server() as server:
            server.add_guest(GuestSocket(GUEST, socket), factory, keeper, keeper.inherit_front_end())
            store.drop_unclaimed()
            yield factory
    finally:
        store.close(leave=False)
        loop.stop()


def main() -> None:
    """Serve until the moment comes."""
    with serving(Path(sys.argv[1]), Path(sys.argv[2]), count=int(sys.argv[3]), when=sys.argv[4]):
        print("ready", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()

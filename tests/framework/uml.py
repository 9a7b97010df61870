# SPDX-License-Identifier: Apache-2.0
"""User-mode Linux as a guest: native speed, under a second to boot, and itself a vhost-user front-end."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from framework.console import Console
from framework.guest import Guest

# 6.1's own fork path walks its memory map without the lock that lockdep wants: once per boot, not the driver's.
KNOWN = (
    re.compile(r"WARNING: suspicious RCU usage\n.*\n.*\n.*lib/maple_tree\.c:\d+ suspicious rcu_dereference_check"),
)


class UmlGuest(Guest):
    """A guest under user-mode Linux.

    Args:
        linux: the user-mode kernel.
        initrd: its initramfs, with the agent.
        devices: vhost-user sockets to connect to, each with the virtio device id.
        memory_mib: guest memory.
        append: further words for the kernel command line.
    """

    # A terminal's buffer holds 4 KiB, and user-mode Linux 6.1 never wakes a line that was throttled.
    window_bytes = 2048

    def __init__(
        self,
        linux: Path,
        initrd: Path,
        *,
        devices: Sequence[tuple[Path, int]] = (),
        memory_mib: int = 256,
        append: str = "",
    ) -> None:
        super().__init__()
        self.console = Console(known=KNOWN)
        self._words = [str(linux), f"mem={memory_mib}M", f"initrd={initrd}", "loglevel=5", "panic=-1", *append.split()]
        self._words += [f"virtio_uml.device={socket}:{number}" for socket, number in devices]
        self._folder: Path | None = None

    def _command(self, agent_fd: int, console_fd: int) -> Sequence[str]:
        self._folder = Path(tempfile.mkdtemp(prefix="uml-"))
        channels = [f"con0=fd:{console_fd}", "con=null", f"ssl0=fd:{agent_fd}", "ssl=null"]
        return [*self._words, *channels, f"uml_dir={self._folder}/", "umid=guest", "agent_on=tty:/dev/ttyS0"]

    def _end(self) -> None:
        super()._end()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

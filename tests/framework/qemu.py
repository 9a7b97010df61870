# SPDX-License-Identifier: Apache-2.0
"""QEMU as a guest's home: the device under test is whatever arguments the caller passes."""

import re
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from framework.guest import Guest
from framework.qmp import Qmp, QmpError

# Debian 12's QEMU and kernel, no KVM: what boots fastest and does not fall over.
MACHINE = "q35,accel=tcg"
# Without KVM, QEMU 7.2 had a 6.12 kernel die in cmpxchg16b in one boot of eight; none needs it.
CPU = "max,-cx16"
APPEND = (
    "console=ttyS0 loglevel=5 panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check "
    "cryptomgr.notests random.trust_cpu=on"
)
AGENT_PORT = "org.vmm-keystore.agent"


def qemu_version(command: Sequence[str]) -> tuple[int, int]:
    """Major and minor version of a QEMU."""
    text = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)\.(\d+)", text)
    if found is None:
        raise ValueError(f"not a QEMU: {text!r}")
    return int(found[1]), int(found[2])


class QemuGuest(Guest):
    """A guest under QEMU.

    Args:
        kernel: an uncompressed kernel with a PVH entry, or a bzImage.
        initrd: its initramfs, with the agent.
        devices: further QEMU arguments, the devices under test among them.
        command: the QEMU program, with what comes before its options.
        memory_mib: guest memory, always shared (vhost-user needs it). Arguments that name a memory-backend bring
            their own.
        cpus: virtual processors.
        append: further words for the kernel command line.
    """

    def __init__(
        self,
        kernel: Path,
        initrd: Path,
        *,
        devices: Sequence[str] = (),
        command: Sequence[str] = ("qemu-system-x86_64",),
        memory_mib: int = 256,
        cpus: int = 1,
        append: str = "",
    ) -> None:
        super().__init__()
        self._qmp_socket, self._qmp_far = socket.socketpair()
        self.qmp = Qmp(self._qmp_socket)
        self._words = [*command, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"]
        self._words += ["-machine", MACHINE, "-cpu", CPU, "-smp", str(cpus), "-m", f"{memory_mib}M"]
        if not any("memory-backend=" in word for word in devices):
            self._words += ["-object", f"memory-backend-memfd,id=ram,size={memory_mib}M,share=on"]
            self._words += ["-machine", "memory-backend=ram"]
        self._words += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", f"{APPEND} {append}"]
        self._devices = list(devices)

    def _command(self, agent_fd: int, console_fd: int) -> Sequence[str]:
        sockets = {"qmp": self._qmp_far.fileno(), "agent": agent_fd, "console": console_fd}
        channels = [word for name, fd in sockets.items() for word in ("-chardev", f"socket,id={name},fd={fd}")]
        channels += ["-mon", "chardev=qmp,mode=control", "-serial", "chardev:console"]
        channels += ["-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"]
        return [*self._words, *channels, *self._devices]

    def _extra_fds(self) -> Sequence[socket.socket]:
        return [self._qmp_far]

    def _started(self) -> None:
        self.qmp.connect()

    def _shut_down(self) -> None:
        with suppress(QmpError):  # it is killed next
            self.qmp.command("quit")

    def _end(self) -> None:
        super()._end()
        self.qmp.close()
        self._qmp_socket.close()
        self._qmp_far.close()

    def save_memory(self, path: Path) -> None:
        """Write the whole guest memory to *path*, as it is at one instant."""
        size = self.qmp.command("query-memory-size-summary")["base-memory"]
        self.qmp.command("stop")
        self.qmp.command("pmemsave", val=0, size=size, filename=str(path))
        self.qmp.command("cont")

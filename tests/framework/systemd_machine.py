# SPDX-License-Identifier: Apache-2.0
"""A systemd of its own as PID 1: namespaces, an overlay that is thrown away, a control group.

By default on this host's files: what is installed here is installed there, at the same paths. Or on the files of another
root, such as a fresh Debian. What is written there stays in memory. ``/run``, ``/tmp``
and ``/dev/shm`` are fresh. Needs root and the control groups of version 2.
"""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Self

CGROUP_FOLDERS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
BOOT_WAIT_S = 30.0
SET_UP = r"""
set -e
place=$1 group=$2 below=$3
echo 0 >"$group/cgroup.procs"
exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child bash -c '
set -e
place=$0 root=$place/root below=$1
shift
mount --make-rprivate /
mount -t tmpfs none "$place"
mkdir "$place/upper" "$place/work" "$root"
mount -t overlay overlay -o "lowerdir=$below,upperdir=$place/upper,workdir=$place/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in run tmp dev; do mount -t tmpfs -o mode=755 none "$root/$folder"; done
chmod 1777 "$root/tmp"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs none "$root/dev/shm"
rm -rf "$root"/etc/systemd/system/*.wants
ln -sf /dev/null "$root/etc/systemd/system/systemd-journald.service"
ln -sf /dev/null "$root/etc/systemd/system/systemd-journald.socket"
printf "[Unit]\nDescription=Nothing but what a test starts\n" >"$root/etc/systemd/system/test.target"
for folder in "$@"; do mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; done
cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
# As PID 1 of a kernel has it: credentials of a service are mounted elsewhere and handed on.
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=test.target \
    --log-target=null --show-status=no --default-standard-output=null
' "$place" "$below" "${@:4}"
"""


def has_control_groups() -> bool:
    """Whether there is a hierarchy of version 2 to put a machine in."""
    return any((folder / "cgroup.procs").exists() for folder in CGROUP_FOLDERS)


class SystemdMachine:
    """Boots when entered; ``run`` runs a command in it. *folders* are bound into it as they are."""

    def __init__(self, folders: Sequence[Path] = (), root: Path = Path("/")) -> None:
        self._folders = folders
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._place = Path(tempfile.mkdtemp(prefix="systemd-"))
        self._group = next(folder for folder in CGROUP_FOLDERS if (folder / "cgroup.procs").exists()) / self._place.name
        self.init_pid = 0

    def __enter__(self) -> Self:
        self._group.mkdir()
        command = ["bash", "-c", SET_UP, "set-up", str(self._place), str(self._group), str(self._root)]
        command += map(str, self._folders)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            self._wait_booted()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process is not None:
            # Its PID 1 ends with it, and with that everything else.
            self._process.kill()
            self._process.wait()
        end_s = time.monotonic() + BOOT_WAIT_S
        while self._group.exists() and time.monotonic() < end_s:
            for folder, _names, _files in os.walk(self._group, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            time.sleep(0.02)
        self._place.rmdir()

    def run(
        self, *command: str | Path, ok: bool = True, stdin: bytes = b"", wait_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Raises:
            AssertionError: it failed although *ok*.
        """
        done = subprocess.run(
            self.command(*command), input=stdin.decode(), capture_output=True, text=True, check=False, timeout=wait_s
        )
        if ok and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def command(self, *command: str | Path) -> list[str]:
        """The command that runs *command* inside."""
        enter = ["nsenter", "-t", str(self.init_pid), "-m", "-p", "-u", "-i", "-C"]
        return [*enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *map(str, command)]

    def facts(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit, "-p", ",".join(names)).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def write(self, path: Path, text: str) -> None:
        """Write a file inside."""
        self.run("tee", path, stdin=text.encode())

    def processes(self, unit: str) -> set[int]:
        """The processes in a service's control group, as this host numbers them."""
        found = set()
        # os.walk goes on where a group ends while it looks, as a service's does that starts again.
        for folder, _names, _files in os.walk(self._group):
            if fnmatch(Path(folder).name, unit):
                with contextlib.suppress(OSError):
                    found |= {int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()}
        return found

    def _wait_booted(self) -> None:
        if self._process is None:
            raise AssertionError
        end_s = time.monotonic() + BOOT_WAIT_S
        while time.monotonic() < end_s:
            if self._process.poll() is not None:
                raise AssertionError(f"systemd did not start: {self._process.returncode}")
            self.init_pid = self._find_init()
            if self.init_pid and self.run("systemctl", "is-system-running", ok=False).stdout.strip() in {
                "running",
                "degraded",
            }:
                return
            time.sleep(0.05)
        raise AssertionError("systemd does not come up")

    def _find_init(self) -> int:
        """The namespaces' PID 1, as this host numbers it, once it is systemd."""
        if self._process is None:
            raise AssertionError
        with contextlib.suppress(OSError, IndexError):
            # bash has become unshare; its one child becomes systemd.
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            child = int(children[0])
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return child
        return 0

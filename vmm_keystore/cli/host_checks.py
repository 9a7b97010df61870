# SPDX-License-Identifier: Apache-2.0
"""What ``vmm-keystore doctor`` looks at on this host: kernel, limits, user, files, QEMU. Changes nothing.

Imports parts of the daemon: for the one command that needs it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmm_keystore.cli.finding import Finding, Level
from vmm_keystore.cli.qemu_args import OLDEST_QEMU
from vmm_keystore.process import DEFAULT_USER
from vmm_keystore.workers.programs import LIBEXEC
from vmm_keystore.workers.state_memory import is_tmpfs

MEMFD_SECRET, LANDLOCK_CREATE_RULESET, LANDLOCK_VERSION = 447, 444, 1
PROGRAMS = ("vks-custodian", "vks-zygote", "vks-holder", "vks-import", "vks-tpm", "vks-hsm-root", "vks-recovery")
RUNTIME_FOLDERS = (Path("/run"), Path("/dev/shm"))  # noqa: S108 - looked at, nothing is made there
LOCKED_MIN_BYTES = 64 << 20
OPEN_FILES_MIN = 4096
QEMU_WAIT_S = 10.0


def check_host(root: Path = Path("/")) -> Iterator[Finding]:
    """Look at everything; *root* is where the kernel's files are looked for."""
    yield secret_memory()
    yield landlock()
    yield call_filters(root)
    yield autogroup(root)
    yield runtime_folder()
    yield from limits()
    yield user()
    yield programs()
    yield place()
    yield qemu()
    yield kvm(root)


def secret_memory() -> Finding:
    """Whether keys can be kept from root (memfd_secret(2))."""
    fd = ctypes.CDLL(None, use_errno=True).syscall(MEMFD_SECRET, 0)
    if fd >= 0:
        os.close(fd)
        return Finding(Level.OK, "secret memory", "memfd_secret: keys cannot be read through the kernel")
    hint = "boot with secretmem.enable=1 (Linux 5.14 and later)"
    return Finding(
        Level.WARN, "secret memory", "memfd_secret is off: keys are in locked memory, root can read it", hint
    )


def landlock() -> Finding:
    """Whether programs can shut themselves off from files and the network by Landlock."""
    version = ctypes.CDLL(None, use_errno=True).syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_VERSION)
    if version > 0:
        return Finding(Level.OK, "landlock", f"version {version}")
    detail = "off: programs use empty namespaces, or rely on the system-call filter alone"
    return Finding(Level.WARN, "landlock", detail, "add landlock to the kernel's lsm= option")


def call_filters(root: Path) -> Finding:
    """Whether a forbidden system call can kill its process."""
    actions = read(root / "proc/sys/kernel/seccomp/actions_avail").split()
    if "kill_process" in actions:
        return Finding(Level.OK, "system-call filters", "available")
    return Finding(Level.BAD, "system-call filters", "the kernel has none: no program of ours starts", "CONFIG_SECCOMP")


def autogroup(root: Path) -> Finding:
    """Whether guests have equal shares of the processors, and not threads."""
    if read(root / "proc/sys/kernel/sched_autogroup_enabled").strip() == "1":
        return Finding(Level.OK, "fair shares", "autogroup: guests share the processors equally")
    detail = "autogroup is off: a guest that floods takes more than its share"
    return Finding(Level.WARN, "fair shares", detail, "sysctl kernel.sched_autogroup_enabled=1")


def runtime_folder(folders: Sequence[Path] = RUNTIME_FOLDERS) -> Finding:
    """Whether there is a tmpfs for what survives keystored."""
    for folder in folders:
        if is_tmpfs(folder):
            return Finding(Level.OK, "memory that survives", f"{folder} is on tmpfs")
    return Finding(
        Level.BAD, "memory that survives", "neither /run nor /dev/shm is on tmpfs", "mount -t tmpfs none /run"
    )


def limits() -> Iterator[Finding]:
    """Whether this user may lock and open enough."""
    _soft, locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() == 0 or locked == resource.RLIM_INFINITY or locked >= LOCKED_MIN_BYTES:
        yield Finding(Level.OK, "locked memory", "enough")
    else:
        hint = "start keystored as root, or raise LimitMEMLOCK"
        yield Finding(Level.WARN, "locked memory", f"{locked >> 10} KiB: enough for few keys", hint)
    _soft, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files >= OPEN_FILES_MIN:
        yield Finding(Level.OK, "open files", str(files))
    else:
        yield Finding(Level.WARN, "open files", f"{files}: enough for some {files // 40} guests", "raise LimitNOFILE")


def user() -> Finding:
    """Whether root has somebody to become."""
    try:
        entry = pwd.getpwnam(DEFAULT_USER)
    except KeyError:
        hint = f"useradd --system --shell /usr/sbin/nologin {DEFAULT_USER}"
        return Finding(Level.WARN, "user", f"no user {DEFAULT_USER}: keystored started by root stays root", hint)
    return Finding(Level.OK, "user", f"{DEFAULT_USER} (uid {entry.pw_uid})")


def programs() -> Finding:
    """Whether the C programs are installed."""
    missing = [name for name in PROGRAMS if not os.access(LIBEXEC / name, os.X_OK)]
    if missing:
        return Finding(Level.BAD, "programs", f"missing: {', '.join(missing)}", "install the package again")
    return Finding(Level.OK, "programs", str(LIBEXEC))


def place(files: Sequence[Path] = (LIBEXEC, Path(sys.executable).resolve())) -> Finding:
    """Whether keystored's user can run what is installed: a service is that user from the start."""
    closed = [folder for file in files for folder in file.parents if not is_open(folder)]
    if closed:
        detail = f"not everybody may enter {closed[-1]}: no service can be run from there"
        return Finding(Level.WARN, "place", detail, "install it elsewhere, or have keystored's user enter that folder")
    return Finding(Level.OK, "place", "every user can run it")


def is_open(folder: Path) -> bool:
    """Whether everybody may enter a folder; what cannot be looked at lies below one that is not."""
    try:
        return bool(folder.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return True


def qemu() -> Finding:
    """Whether there is a QEMU, and a new enough one."""
    path = shutil.which("qemu-system-x86_64")
    if path is None:
        return Finding(Level.WARN, "qemu", "no qemu-system-x86_64 in the search path", "apt install qemu-system-x86")
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=QEMU_WAIT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    found = re.search(r"version (\d+)\.(\d+)[\d.]*", said)
    if not found:
        return Finding(Level.WARN, "qemu", f"{path} does not say its version")
    if (int(found[1]), int(found[2])) < OLDEST_QEMU:
        return Finding(Level.BAD, "qemu", f"{found[0]} is too old", "7.2 or newer")
    return Finding(Level.OK, "qemu", found[0])


def kvm(root: Path) -> Finding:
    """Whether guests run at full speed."""
    if os.access(root / "dev/kvm", os.R_OK | os.W_OK):
        return Finding(Level.OK, "kvm", "/dev/kvm may be used")
    return Finding(Level.WARN, "kvm", "no access to /dev/kvm: guests are emulated, slowly", "modprobe kvm; group kvm")


def read(path: Path) -> str:
    """The file's text; nothing when there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""

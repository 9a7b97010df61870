# SPDX-License-Identifier: Apache-2.0
"""Whom keystored runs as: what root must do for it is done first, then no right is left that it has no use for.

Credentials belong to threads in part: all of this is for a process that has one.
"""

import ctypes
import logging
import os
import pwd
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmm_keystore._vks import lib
from vmm_keystore.errors import DaemonError
from vmm_keystore.process import DEFAULT_USER

log = logging.getLogger(__name__)

PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES = {"chown": 0, "kill": 5, "setgid": 6, "setuid": 7, "setpcap": 8}
ROOT_KEEPS = sum(1 << number for number in CAPABILITIES.values())
"""What uid 0 keeps where there is no user for us: to give a guest's socket to its owner, to kill workers, and to start
a zygote or custodian anew with what these need to be users of their own."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user to be."""

    name: str
    uid: int
    gid: int

    @property
    def is_root(self) -> bool:
        """Whether it is uid 0."""
        return self.uid == 0


def choose_identity(user: str | None) -> Identity:
    """Say whom to be when started with ``--user`` *user*; None chooses for root, and leaves everybody else alone.

    Raises:
        DaemonError: there is no such user, or only root can become it.
    """
    current = os.geteuid()
    try:
        entry = pwd.getpwnam(user or DEFAULT_USER)
    except KeyError:
        if user is not None:
            hint = f"useradd --system --shell /usr/sbin/nologin {user}"
            raise DaemonError(f"there is no user '{user}'", hint) from None
        entry = None
    if entry is None or (user is None and current != 0):
        return Identity("root" if current == 0 else f"uid {current}", current, os.getegid())
    if current not in {0, entry.pw_uid}:
        raise DaemonError(f"only root can become user '{user}'", "start it as root, or leave --user out")
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def give_folder(path: Path, identity: Identity) -> None:
    """Make a folder for *identity* where there is none, private to it.

    Raises:
        DaemonError: it is there and somebody else's, or cannot be made.
    """
    if os.geteuid() == identity.uid:
        return
    try:
        _make_folders_above(path)
        try:
            with _rights_of(path.parent, identity):
                path.mkdir(mode=0o700)
        except FileExistsError:
            owner = path.stat().st_uid
        else:
            os.chown(path, identity.uid, identity.gid, follow_symlinks=False)
            return
    except OSError as error:
        raise DaemonError(f"cannot make {path}: {(error.strerror or str(error)).lower()}") from error
    if owner != identity.uid:
        raise DaemonError(
            f"{path} belongs to uid {owner}, not to user '{identity.name}'",
            f"chown -R {identity.name} {path}, or choose another --user",
        )


@contextmanager
def _rights_of(folder: Path, identity: Identity) -> Iterator[None]:
    """In a folder of *identity*'s own work as *identity*: there root may have no rights, and needs none."""
    if folder.stat().st_uid != identity.uid:
        yield
        return
    gid = os.getegid()
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)


def _make_folders_above(path: Path) -> None:
    """Everybody may enter them, whatever the umask: the user whom *path* is for has to."""
    for folder in reversed(path.absolute().parents):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)


def become(identity: Identity, folders: Iterable[Path]) -> None:
    """Be *identity* from now on, for good, without a capability beyond ``ROOT_KEEPS`` of root.

    Raises:
        DaemonError: a user that we were not could not use one of *folders*.
        OSError: the kernel refuses.
    """
    keeps = ROOT_KEEPS if identity.is_root else 0
    changes = os.geteuid() != identity.uid
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    _check(lib.vks_bounding_set_keep(keeps))
    if changes:
        os.setgroups([])
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    _check(lib.vks_capabilities_keep(keeps))
    for folder in folders if changes else ():
        if not os.access(folder, os.R_OK | os.X_OK):
            raise DaemonError(
                f"user '{identity.name}' cannot enter {folder}", "it must be allowed to enter every folder above it"
            )


def log_process() -> None:
    """Say in the log which user this process is; root is worth a warning."""
    if os.geteuid() == 0:
        log.warning(
            "keystored runs as %s; hint: useradd --system --shell /usr/sbin/nologin %s, or serve --user",
            describe_process(),
            DEFAULT_USER,
        )
    else:
        log.info("keystored runs as %s", describe_process())


def describe_process() -> str:
    """Say which user this process is and which capabilities it has, in one line."""
    uid = os.geteuid()
    try:
        user = f"user {pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        user = f"uid {uid}"
    found = re.search(r"^CapPrm:\s*(\w+)$", Path("/proc/thread-self/status").read_text(), re.MULTILINE)
    permitted = int(found[1], 16) if found else 0
    names = {1 << number: name for name, number in CAPABILITIES.items()}
    held = [names.get(1 << bit, str(bit)) for bit in range(64) if permitted >> bit & 1]
    return f"{user}, " + (f"capabilities {' '.join(held)}" if held else "no capabilities")


def _check(error: int) -> None:
    if error:
        raise OSError(-error, os.strerror(-error))

# SPDX-License-Identifier: Apache-2.0
"""Who gets as far as the control socket: the kernel keeps everybody else from it, before the API looks at them."""

import os
from collections.abc import Callable
from pathlib import Path

from vmm_keystore.control.access import Access
from vmm_keystore.errors import DaemonError
from vmm_keystore.vhost_user.acl import admit


def admit_others(access: Access) -> Callable[[Path], None] | None:
    """What opens the control socket to whoever has a role; None: there is nobody but root and ourselves."""
    uids = frozenset(access.uids) - {0, os.geteuid()}
    if not uids and not access.gids:
        return None

    def admit_all(path: Path) -> None:
        try:
            admit(path, uids, access.gids)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DaemonError(
                f"cannot open a control socket in {path.parent} to those with a role: {reason}",
                "choose a --control-socket on a file system with access control lists",
            ) from error

    return admit_all


def check_reach(access: Access, control_socket: Path | None, state_dir: Path) -> None:
    """Refuse roles for those who could never reach the socket.

    Raises:
        DaemonError: it lies in the state folder, which is ours alone.
    """
    if admit_others(access) is not None and (control_socket is None or control_socket.parent == state_dir):
        raise DaemonError(
            f"nobody else can reach a control socket in {state_dir}: the folder is keystored's alone",
            "give --control-socket a folder that they may enter, such as /run/vmm-keystore",
        )

# SPDX-License-Identifier: Apache-2.0
"""The guest that has a socket, as keystored tells: which it is, and whether it still has it."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmm_keystore.cli.failure import CommandError, MissingError

if TYPE_CHECKING:
    from vmm_keystore.cli.client import ControlClient


class GuestLostError(CommandError):
    """There will be no device for the guest at this socket, however long one waits."""


@dataclass(frozen=True, slots=True)
class ServedGuest:
    """A guest by its name, and the socket that it is to have."""

    name: str
    socket: Path

    def check(self, keystored: ControlClient) -> None:
        """Ask whether all is as it was.

        Raises:
            GuestLostError: the guest is gone, has another socket, or nobody can connect to this one.
            CommandError: keystored does not say.
            UnreachableError: keystored is not there, or not yet.
        """
        try:
            guest = keystored.get("guests", self.name)
        except MissingError as error:
            raise GuestLostError(f"guest {self.name} was removed") from error
        finally:
            # keystored does not keep a silent connection for as long as we are silent.
            keystored.close()
        if not _has(guest, self.socket):
            raise GuestLostError(f"guest {self.name} does not have {self.socket} any more, but {guest['socket']}")
        _check_listening(guest)


def find_guest(keystored: ControlClient, socket: Path) -> ServedGuest:
    """Ask which guest has *socket*.

    Raises:
        CommandError: no guest has it, or keystored does not listen there.
        UnreachableError: keystored is not there.
    """
    try:
        guests = keystored.get("guests")["guests"]
    finally:
        keystored.close()
    for guest in guests:
        if _has(guest, socket):
            _check_listening(guest)
            return ServedGuest(guest["name"], socket)
    raise CommandError(
        f"no guest has the socket {socket}", f"vmm-keystore guest add NAME --socket {shlex.quote(str(socket))}"
    )


def _has(guest: dict[str, Any], socket: Path) -> bool:
    # Whoever manages back-ends may write /var/run for /run.
    return os.path.realpath(str(guest["socket"])) == os.path.realpath(socket)


def _check_listening(guest: dict[str, Any]) -> None:
    worker = guest["worker"]
    # Who is connected needs nobody to listen. A keystored that waits for its upgrade may not say it.
    if not worker.get("listening", True) and not worker["connected"]:
        raise GuestLostError(f"guest {guest['name']}: {worker['problem']}", f"vmm-keystore guest show {guest['name']}")

# SPDX-License-Identifier: Apache-2.0
"""Sockets at which our programs are started for each connection, by ``systemd-socket-activate``: without a systemd."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from framework.patience import wait_for
from vmm_keystore.workers.programs import LIBEXEC

LISTENER = shutil.which("systemd-socket-activate")


@contextmanager
def program_sockets(*kinds: str) -> Iterator[Path]:
    """Give a folder with the sockets of these programs, which everybody may enter."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        Path(name).chmod(0o755)
        for kind in kinds:
            listen(stack, Path(name) / f"vks-{kind}.sock", LIBEXEC / f"vks-{kind}")
        yield Path(name)


def listen(stack: ExitStack, path: Path, *command: str | Path) -> None:
    """Have each connection to *path* start a command, until *stack* ends."""
    if LISTENER is None:
        pytest.skip("there is no systemd-socket-activate")
    words = [LISTENER, "--accept", "--seqpacket", "-l", str(path), *map(str, command)]
    process = stack.enter_context(subprocess.Popen(words, stderr=subprocess.DEVNULL))
    stack.callback(process.kill)
    wait_for(path.exists)

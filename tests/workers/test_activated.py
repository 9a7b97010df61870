# SPDX-License-Identifier: Apache-2.0
"""Programs that are started when keystored connects; by ``systemd-socket-activate``, which starts them as systemd does."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from framework.patience import wait_for
from framework.processes import kill, status_of
from framework.program_sockets import listen as start_at

from vmm_keystore.workers.activated import ActivatedPrograms
from vmm_keystore.workers.errors import ProgramLostError, ProtocolError
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.programs import LIBEXEC
from vmm_keystore.workers.zygote import PROGRAM, Zygote

OTHER_UID = 54321
CONNECT = """
import os, socket, sys
os.setgroups([])
os.setresuid(*[int(sys.argv[1])] * 3)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
    other.connect(sys.argv[2])
    other.settimeout(10)
    print(len(other.recv(1000)))
"""
Listen = Callable[..., None]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give the folder of sockets, which everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def listen(folder: Path) -> Iterator[Listen]:
    """Give a function that listens for connections, each of which starts a command."""
    with ExitStack() as stack:
        yield lambda *command: start_at(stack, folder / f"{PROGRAM}.sock", *command)


def test_program_says_who_it_is(folder: Path, listen: Listen) -> None:
    """Its pidfd is its own, ends it, and tells of its end; a connection that is closed ends it too."""
    listen(LIBEXEC / PROGRAM)
    for end in ("kill", "close"):
        process, sock = ActivatedPrograms(folder).take(PROGRAM)
        assert status_of(process.pid)["Name"] == PROGRAM
        assert not select.select([process.pidfd], [], [], 0)[0]
        if end == "kill":
            signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        else:
            sock.close()
        assert select.select([process.pidfd], [], [], 10)[0]
        sock.close()
        process.close(reap=False)


def test_killed_program_is_started_anew(folder: Path, listen: Listen, loop: Loop) -> None:
    """By one more connection; it is not ours to reap."""
    listen(LIBEXEC / PROGRAM)
    zygote = Zygote(loop, ActivatedPrograms(folder))
    zygote.start()
    seen: set[int | None] = {None}
    try:
        for _ in range(3):
            pid = zygote.pid
            assert pid
            seen.add(pid)
            kill(pid)
            wait_for(lambda: zygote.pid not in seen)
    finally:
        zygote.stop()
    assert zygote.pid is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_refused(folder: Path, listen: Listen) -> None:
    """The program serves the user that it runs as, and tells nobody else anything, whatever the socket's mode is."""
    listen(LIBEXEC / PROGRAM)
    path = folder / f"{PROGRAM}.sock"
    path.chmod(0o666)
    said = {}
    for uid in (0, OTHER_UID):
        command = [sys.executable, "-c", CONNECT, str(uid), str(path)]
        said[uid] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert int(said[0]) > 0
    assert said[OTHER_UID] == "0"


def test_nobody_listens(folder: Path) -> None:
    """It is said where, and where to look."""
    with pytest.raises(ProgramLostError, match=str(folder / PROGRAM)) as refused:
        ActivatedPrograms(folder).take(PROGRAM)
    assert "systemctl status" in refused.value.hint


def test_program_that_ends_at_once(folder: Path, listen: Listen) -> None:
    """It is an error, and no wait."""
    listen("/bin/true")
    with pytest.raises(ProgramLostError, match="ended at once"):
        ActivatedPrograms(folder).take(PROGRAM)


def test_what_is_no_greeting(folder: Path, listen: Listen) -> None:
    """Somebody else's program at the socket is not believed."""
    listen("/bin/sh", "-c", "echo hello >&3")
    with pytest.raises(ProtocolError):
        ActivatedPrograms(folder).take(PROGRAM)


def test_descriptors_of_a_liar_are_closed(folder: Path, listen: Listen) -> None:
    """What came with a message that is none is not kept."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    code = "import os, socket; s = socket.socket(fileno=3); socket.send_fds(s, [b'hello'], [0, 1])"
    listen(sys.executable, "-c", code)
    with pytest.raises(ProtocolError):
        ActivatedPrograms(folder).take(PROGRAM)
    # Beside the listener's, whose handle is ours.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1

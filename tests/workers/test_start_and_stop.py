# SPDX-License-Identifier: Apache-2.0
"""keystored as a service: one per state directory, clear about what stops it, gone without a trace when told."""

import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from framework.awake import awaken
from framework.keystored import PROGRAM, Keystored, environment
from framework.patience import wait_for
from framework.ring_guest import ring_guest
from workers.test_deaths import alive, processes, worker_pid


def refusal(*arguments: str | Path) -> str:
    """Start a daemon that must not come up; the one line it ends with, without its log."""
    command = [str(PROGRAM), "serve", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=20, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.alone
def test_sigterm_leaves_nothing_behind(vault: Keystored) -> None:
    """Within two seconds: children ended, sockets gone, a connected front-end hung up."""
    path = vault.add_guest("g")
    with ring_guest(path) as guest:
        children = [*processes(vault.pid).values(), wait_for(lambda: worker_pid(vault, "g"))]
        started = time.monotonic()
        vault.stop()
        assert time.monotonic() - started < 2
        assert guest.frontend.hung_up()
    assert not any(alive(pid) for pid in children)
    assert not path.exists()
    assert not vault.control_socket.exists()


def test_sigint_is_as_good(vault: Keystored) -> None:
    """ctrl-c ends it the same way."""
    assert vault.process is not None
    vault.process.send_signal(signal.SIGINT)
    assert vault.process.wait(10) == 0
    vault.process = None


def test_second_daemon_on_the_directory_is_refused(vault: Keystored) -> None:
    """It says why, and the first one goes on."""
    said = refusal("--state-dir", vault.state_dir)
    assert f"another daemon is using {vault.state_dir}" in said
    assert vault.api.get("/status")["guests"] == 0


def test_control_socket_of_another_daemon_is_refused(vault: Keystored, tmp_path: Path) -> None:
    """Its socket is not taken over."""
    said = refusal("--state-dir", tmp_path / "other", "--control-socket", vault.control_socket)
    assert str(vault.control_socket) in said
    assert vault.api.get("/status")["guests"] == 0


def test_open_state_directory_is_refused(tmp_path: Path) -> None:
    """Others may not read the store."""
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o755)
    assert f"chmod 700 {folder}" in refusal("--state-dir", folder)


def test_lost_kek_is_not_replaced(vault: Keystored) -> None:
    """With keys in the store a new KEK would lose them all: refuse, and say what to restore."""
    vault.api.generate("key", "ec-p256")
    vault.stop()
    (vault.state_dir / "kek").rename(vault.folder / "kek")
    said = refusal("--state-dir", vault.state_dir)
    assert "kek" in said
    assert "backup" in said
    (vault.folder / "kek").rename(vault.state_dir / "kek")
    vault.start()


def test_another_kek_is_refused_key_by_key(vault: Keystored) -> None:
    """A KEK that does not open the store's keys leaves the guest without them, with a reason, not with wrong ones."""
    vault.add_guest("g")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("g", "key", ["sign"])
    vault.stop()
    with Keystored() as other:
        other.stop()
        (vault.state_dir / "kek").write_bytes((other.state_dir / "kek").read_bytes())
    vault.start()
    with ring_guest(vault.folder / "g.sock") as guest:
        assert guest.list_keys() == []
        assert vault.api.get("/guests/g")["worker"]["problem"]


def test_kek_is_private_and_never_in_the_daemon(vault: Keystored) -> None:
    """The file is the owner's alone, and no byte of it is found in keystored's memory."""
    kek = vault.state_dir / "kek"
    assert stat.S_IMODE(kek.stat().st_mode) == 0o600
    secret = kek.read_bytes()[19:51]  # behind the line that names the format, before the checksum
    marker = str(vault.control_socket).encode()
    memory = read_memory(vault.pid)
    assert any(marker in part for part in memory)
    assert not any(secret[:16] in part or secret[16:] in part for part in memory)


def read_memory(pid: int) -> list[bytes]:
    """Everything readable of a process."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if found is None:
                continue
            start, end = (int(number, 16) for number in found.groups())
            try:
                memory.seek(start)
                parts.append(memory.read(end - start))
            except (OSError, OverflowError, ValueError):
                continue
    return parts


def test_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY=1 arrives only when the control API answers."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(path))
        notifications.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        with Keystored() as vault:
            assert notifications.recv(100) == b"READY=1"
            assert vault.api.get("/status")["pid"] == vault.pid
        assert notifications.recv(100) == b"STOPPING=1"


def test_state_of_a_guest_that_was_removed_is_gone(vault: Keystored) -> None:
    """Nothing of it is left on tmpfs, nor its worker."""
    vault.add_guest("g")
    pid = awaken(vault, "g")
    state = vault.runtime_dir / "g.state"
    assert state.exists()
    vault.api.delete("/guests/g")
    assert not state.exists()
    assert not alive(pid)
    assert not (vault.folder / "g.sock").exists()

# SPDX-License-Identifier: Apache-2.0
"""keystored on a terminal asks for the passphrase of its root of trust, and gives the terminal back as it was."""

import os
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from framework.keystored import PROGRAM, Keystored
from framework.ring_guest import ring_guest
from workers.test_root_of_trust import PASSPHRASE, change, passphrase_file

from vmm_keystore._vks import lib


@contextmanager
def on_a_terminal(vault: Keystored) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start it on a terminal of its own; the process and the terminal's other end."""
    master, slave = os.openpty()
    command: list[str | Path] = ["setsid", "--ctty", PROGRAM, "serve", "--state-dir", vault.state_dir]
    with subprocess.Popen([*command, "--runtime-dir", vault.runtime_dir], stdin=slave, stderr=slave) as process:
        os.close(slave)
        try:
            yield process, master
        finally:
            process.terminate()
            os.close(master)


def read_until(master: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        shown += os.read(master, 1000)
    return shown


def test_serve_asks_on_its_terminal(vault: Keystored, guest_socket: Path, tmp_path: Path) -> None:
    """Three times at most; the passphrase is not shown, and a wrong one is said."""
    change(vault, "passphrase", "--passphrase-file", passphrase_file(tmp_path))
    vault.stop()
    with on_a_terminal(vault) as (_process, master):
        read_until(master, b"passphrase for the vault: ")
        os.write(master, b"not it\r")
        assert b"this is not the passphrase" in read_until(master, b"passphrase for the vault: ")
        os.write(master, PASSPHRASE + b"\r")
        assert PASSPHRASE not in read_until(master, b"keystored ready")
        with ring_guest(guest_socket) as guest:
            assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
    with on_a_terminal(vault) as (process, master):
        for _ in range(3):
            read_until(master, b"passphrase for the vault: ")
            os.write(master, b"not it\r")
        assert b"hint: vmm-keystore root unlock" in read_until(master, b"root unlock")
        assert process.wait(20) == 1


@pytest.mark.usefixtures("guest_socket")
def test_terminal_is_given_back_as_it_was(vault: Keystored, tmp_path: Path) -> None:
    """Also by one that is stopped while it asks."""
    change(vault, "passphrase", "--passphrase-file", passphrase_file(tmp_path))
    vault.stop()
    with on_a_terminal(vault) as (process, master):
        echo = termios.tcgetattr(master)[3] & termios.ECHO
        read_until(master, b"passphrase for the vault: ")
        assert not termios.tcgetattr(master)[3] & termios.ECHO
        process.terminate()
        read_until(master, b"keystored stopped")
        assert echo
        assert termios.tcgetattr(master)[3] & termios.ECHO
    vault.start()

# SPDX-License-Identifier: Apache-2.0
"""``vhost-user-keystore`` beside a real keystored: it stands for the device, and the device is keystored's."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from framework.back_end import BackEnd, run_back_end
from framework.keystored import Keystored
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib


@pytest.fixture
def web(vault: Keystored) -> Path:
    """The socket of a guest that may sign."""
    socket = vault.add_guest("web")
    vault.api.generate("tls", "ec-p256")
    vault.api.grant("web", "tls", ["sign"])
    return socket


def test_the_guest_signs_while_it_runs(vault: Keystored, web: Path) -> None:
    """The front-end's peer is keystored, and keystored's is the front-end: this program has no part in it."""
    with BackEnd(vault.control_socket, f"--socket-path={web}") as back_end, ring_guest(web) as guest:
        assert guest.sign("tls", b"message").status == lib.VKS_STATUS_OK
        worker = vault.api.get("/guests/web")["worker"]
        assert worker["connected"]
        assert worker["front_end_pid"] == os.getpid()
        assert back_end.runs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_and_the_device_stays(vault: Keystored, web: Path, number: signal.Signals) -> None:
    """Quickly, with status 0 and without a word; the guest goes on."""
    with BackEnd(vault.control_socket, f"--socket-path={web}") as back_end, ring_guest(web) as guest:
        before = back_end.said
        back_end.send(number)
        assert back_end.wait_for_end() == 0
        assert back_end.said == before
        assert guest.sign("tls", b"message").status == lib.VKS_STATUS_OK


def test_a_guest_that_is_removed_ends_it(vault: Keystored, web: Path) -> None:
    with BackEnd(vault.control_socket, f"--socket-path={web}") as back_end:
        vault.api.delete("/guests/web")
        assert back_end.wait_for_end() == 1
        assert "vhost-user-keystore: guest web was removed\n" in back_end.said


def test_a_guest_that_has_another_socket_ends_it(vault: Keystored, web: Path) -> None:
    """Removed and added again, quicker than it asks."""
    with BackEnd(vault.control_socket, f"--socket-path={web}") as back_end:
        other = vault.folder / "other.sock"
        vault.api.delete("/guests/web")
        vault.api.post("/guests", {"name": "web", "socket": str(other)})
        assert back_end.wait_for_end() == 1
        assert f"guest web does not have {web} any more, but {other}\n" in back_end.said


def test_a_path_of_no_guest(vault: Keystored, web: Path) -> None:
    path = web.with_name("nobody's.sock")
    outcome = run_back_end(f"--socket-path={path}", control_socket=vault.control_socket)
    first, second = outcome.stderr.splitlines()
    assert outcome.status == 1
    assert first == f"vhost-user-keystore: no guest has the socket {path}"
    assert second.startswith("hint: vmm-keystore guest add NAME --socket ")


def test_another_way_to_the_same_socket(vault: Keystored, web: Path) -> None:
    """Such as /var/run for /run."""
    folder = vault.folder / "link"
    folder.symlink_to(vault.folder)
    with BackEnd(vault.control_socket, "--socket-path", str(folder / "." / web.name)) as back_end:
        back_end.send(signal.SIGTERM)
        assert back_end.wait_for_end() == 0


def test_keystored_does_not_listen_there(vault: Keystored, web: Path) -> None:
    """The reason is keystored's; who asks for it is not made to wait for a device that does not come."""
    vault.stop()
    web.unlink(missing_ok=True)
    web.write_text("somebody else's")
    vault.start()
    outcome = run_back_end(f"--socket-path={web}", control_socket=vault.control_socket)
    assert outcome.status == 1
    assert outcome.stderr == (
        f"vhost-user-keystore: guest web: {web} exists and is not a socket\nhint: vmm-keystore guest show web\n"
    )


def test_keystored_is_killed_and_started_again(vault: Keystored, web: Path) -> None:
    """It says so once and waits, as the guest does not notice; afterwards it still knows what ends it."""
    with BackEnd(vault.control_socket, f"--socket-path={web}") as back_end, ring_guest(web) as guest:
        assert guest.sign("tls", b"message").status == lib.VKS_STATUS_OK
        # The thread that adds a socket is the one that answers front-ends: it is done with the last message then. A
        # keystored that dies over an answer is test_take_over's.
        vault.add_guest("other")
        vault.kill()
        back_end.wait_for_line("waiting for keystored")
        assert guest.sign("tls", b"message").status == lib.VKS_STATUS_OK
        vault.start()
        back_end.wait_for_line("keystored is back")
        assert back_end.said.count("waiting for keystored") == 1
        assert guest.sign("tls", b"message").status == lib.VKS_STATUS_OK
        vault.api.delete("/guests/web")
        assert back_end.wait_for_end() == 1

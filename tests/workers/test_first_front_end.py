# SPDX-License-Identifier: Apache-2.0
"""A guest's worker is made for its first front-end: before that a guest costs a socket, and afterwards nothing is lost."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from framework.awake import awaken
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.processes import descendants, kill
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib


def worker(vault: Keystored) -> Any:
    return vault.api.get("/guests/g")["worker"]


def sign(socket: Path, times: int = 1) -> None:
    with ring_guest(socket) as guest:
        for _ in range(times):
            assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK


@pytest.fixture
def socket(vault: Keystored) -> Path:
    """A guest with a key it may sign with a hundred times."""
    path = vault.add_guest("g")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("g", "key", ["sign"], ops_max=100)
    return path


def used(vault: Keystored) -> int:
    (grant,) = vault.api.get("/grants")["grants"]
    return int(grant["ops_used"])


def test_nothing_but_a_socket_before(vault: Keystored, socket: Path) -> None:
    """No worker, no state memory, and that is no problem; a change says that there is nobody to tell."""
    before = {child.pid for child in descendants(vault.pid)}
    applied = vault.api.post("/keys/key/rotate")["applied"]
    assert [(one["guest"], one["outcome"]) for one in applied] == [("g", "no-worker")]
    facts = worker(vault)
    assert (facts["running"], facts["pid"], facts["problem"], facts["connected"]) == (False, None, "", False)
    assert list(vault.runtime_dir.glob("g.*")) == []
    assert {child.pid for child in descendants(vault.pid)} == before
    sign(socket)
    assert worker(vault)["running"]
    assert (vault.runtime_dir / "g.state").exists()
    vault.api.delete("/guests/g")
    assert list(vault.runtime_dir.glob("g.*")) == []


def test_worker_stays_for_the_next_front_end(vault: Keystored, socket: Path) -> None:
    """One that comes back finds its keys loaded; nobody stands by for nobody."""
    pid = awaken(vault, "g")
    wait_for(lambda: [child.pid for child in descendants(vault.pid) if child.role == "vks-worker"] in ([], [pid]))
    sign(socket)
    assert worker(vault)["pid"] == pid


def test_worker_that_dies_unneeded_is_not_replaced(vault: Keystored, socket: Path) -> None:
    """The next front-end gets another one, and the count goes on."""
    sign(socket, 3)
    kill(worker(vault)["pid"])
    wait_for(lambda: not worker(vault)["running"])
    assert (worker(vault)["problem"], worker(vault)["replaced"]) == ("", 0)
    sign(socket, 2)
    assert (used(vault), worker(vault)["replaced"]) == (5, 0)


@pytest.mark.parametrize("end", ["stop", "kill_all"])
def test_next_keystored_makes_none_either(vault: Keystored, socket: Path, end: str) -> None:
    """What was used of a budget is known exactly without a worker; what waited in the audit ring is stored."""
    sign(socket, 5)
    getattr(vault, end)()
    vault.start()
    facts = worker(vault)
    assert (facts["running"], facts["problem"]) == (False, "")
    assert used(vault) == 5
    uses = [line for line in vault.api.get("/audit?after=0&limit=1000")["lines"] if line.get("op") == "sign"]
    assert sum(line.get("count", 1) for line in uses) == 5
    sign(socket, 2)
    assert used(vault) == 7


def test_what_was_changed_before_is_in_force(vault: Keystored, socket: Path) -> None:
    """From the first request on."""
    vault.api.revoke("g", "key")
    with ring_guest(socket) as guest:
        assert guest.list_keys() == []


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the lock file of a runtime folder, and not for state memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a file system")
def test_no_room_for_state_memory(vault: Keystored, small_folder: Path) -> None:
    """It is said; the guest is served once there is room."""
    vault.stop()
    vault.runtime_dir = small_folder
    vault.start()
    socket = vault.add_guest("g")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("g", "key", ["sign"])
    with ring_guest(socket) as guest:
        problem = wait_for(lambda: worker(vault)["problem"])
        assert problem == "no state memory: no space left on device"
        subprocess.run(["mount", "-o", "remount,size=8m", small_folder], check=True)
        assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
    assert worker(vault)["problem"] == ""
    vault.stop()
    vault.kill_holder()
    vault.runtime_dir = Path("/dev/shm") / vault.folder.name
    vault.start()

# SPDX-License-Identifier: Apache-2.0
"""Budgets from the grant to the guest, exact whoever of ours is killed, and never too low after a crash of the host."""

import os
import signal
from pathlib import Path

import pytest
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import RingGuest, ring_guest
from workers.test_deaths import alive, worker_pid

from vmm_keystore._vks import lib

OK, LIMIT = lib.VKS_STATUS_OK, lib.VKS_STATUS_LIMIT
MESSAGE = b"m"


@pytest.fixture
def guest_socket(vault: Keystored) -> Path:
    """A guest and a key."""
    path = vault.add_guest("g")
    vault.api.generate("k", "hmac-sha256")
    return path


def mac(guest: RingGuest) -> int:
    """One operation."""
    return guest.ask(lib.VKS_OP_MAC, "k", MESSAGE, output_bytes=32).status


def used(vault: Keystored) -> int:
    """What the administrator sees."""
    [grant] = vault.api.get("/grants")["grants"]
    return int(grant["ops_used"])


def test_limit_is_a_limit(vault: Keystored, guest_socket: Path) -> None:
    """So many and no more; the administrator sees how many, and why one more is refused."""
    vault.cli("grant", "add", "g", "k", "--ops", "mac", "--max-ops", "50", "--max-rate", "1000000")
    with ring_guest(guest_socket) as guest:
        assert [mac(guest) for _ in range(20)] == [OK] * 20
        assert used(vault) == 20
        assert "ops=20/50" in vault.cli("grant", "list").stdout
        assert vault.facts("grant", "explain", "g", "k", "mac")["allowed"]
        assert [mac(guest) for _ in range(40)] == [OK] * 30 + [LIMIT] * 10
    refused = vault.cli("grant", "explain", "g", "k", "mac").stdout
    assert refused.startswith("refused: limit\n")
    assert "50 of 50 operations are used" in refused
    report = vault.api.get("/audit?limit=1000&status=limit")["lines"]
    assert len(report) == 10


def test_new_grant_starts_anew(vault: Keystored, guest_socket: Path) -> None:
    """A budget is the grant's: removed and added again it is another one."""
    vault.api.grant("g", "k", ["mac"], ops_max=5)
    with ring_guest(guest_socket) as guest:
        assert [mac(guest) for _ in range(6)] == [OK] * 5 + [LIMIT]
        removed = vault.api.revoke("g", "k")
        assert removed["ops_used"] == 5
        vault.api.grant("g", "k", ["mac"], ops_max=2)
        assert [mac(guest) for _ in range(3)] == [OK] * 2 + [LIMIT]


def test_versions_share_the_grants_budget(vault: Keystored, guest_socket: Path) -> None:
    """A rotation gives nothing back."""
    vault.api.grant("g", "k", ["mac"], ops_max=5)
    with ring_guest(guest_socket) as guest:
        assert [mac(guest) for _ in range(3)] == [OK] * 3
        vault.api.post("/keys/k/rotate")
        assert [mac(guest) for _ in range(3)] == [OK] * 2 + [LIMIT]


def kill_worker(vault: Keystored) -> None:
    """The guest's worker; its standby goes on."""
    pid = worker_pid(vault, "g")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))


def kill_keystored(vault: Keystored) -> None:
    """And start the next one."""
    vault.kill()
    vault.start()


def restart(vault: Keystored) -> None:
    """In order, guests and all."""
    vault.stop()
    vault.start()


@pytest.mark.parametrize("end", [kill_worker, kill_keystored, Keystored.kill_holder], ids=lambda end: end.__name__)
def test_exact_whoever_is_killed(vault: Keystored, guest_socket: Path, end: "type") -> None:
    """Every operation counts once: not one more is allowed, not one fewer, and leases follow."""
    count = 150
    vault.api.grant("g", "k", ["mac"], ops_max=count)
    with ring_guest(guest_socket) as guest:
        statuses = []
        for round_number in range(count + 20):
            statuses.append(mac(guest))
            if round_number % 40 == 20:
                assert used(vault) == round_number + 1
                end(vault)
        assert statuses == [OK] * count + [LIMIT] * 20
    assert used(vault) == count


def test_exact_over_a_restart(vault: Keystored, guest_socket: Path) -> None:
    """What was leased and not used is given back."""
    vault.api.grant("g", "k", ["mac"], ops_max=1000)
    allowed = 0
    for _ in range(3):
        with ring_guest(guest_socket) as guest:
            allowed += [mac(guest) for _ in range(10)].count(OK)
        restart(vault)
        assert used(vault) == allowed
    assert allowed == 30


def test_crash_of_the_host(vault: Keystored, guest_socket: Path) -> None:
    """State memory is gone: too many count as used, a sixteenth of the budget at most, and never too few."""
    vault.api.grant("g", "k", ["mac"], ops_max=320)
    allowed, crashes = 0, 0
    while True:
        with ring_guest(guest_socket) as guest:
            statuses = [mac(guest) for _ in range(30)]
        allowed += statuses.count(OK)
        if LIMIT in statuses:
            break
        vault.kill_all()
        crashes += 1
        for path in vault.runtime_dir.iterdir():
            path.unlink()
        vault.start()
        assert allowed <= used(vault) <= allowed + crashes * 20
    assert 320 - crashes * 20 <= allowed <= 320
    assert used(vault) == 320

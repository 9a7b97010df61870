# SPDX-License-Identifier: Apache-2.0
"""Promise P5: SIGKILL of any one process loses no key, no audit record and no answered change."""

import os
import signal
import time
from pathlib import Path

import pytest
from framework.awake import awaken
from framework.checked_work import Run, attempts_by_request
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib

MESSAGE = b"m"
PATIENCE_S = 10.0


def worker_pid(vault: Keystored, guest: str) -> int:
    """The worker's pid, 0 while there is none."""
    return int(vault.api.get(f"/guests/{guest}")["worker"]["pid"] or 0)


def processes(parent: int) -> dict[str, int]:
    """Children of *parent* by their names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found[name] = int(entry.name)
    return found


def alive(pid: int) -> bool:
    """Whether it runs: one that has ended and was not reaped yet does nothing any more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def test_killed_worker_is_replaced(vault: Keystored, guest_socket: Path) -> None:
    """The guest goes on over the same connection and ring; keys are there, and no record is missing."""
    with ring_guest(guest_socket) as guest:
        first = guest.sign("key", MESSAGE)
        pid = worker_pid(vault, "g")
        os.kill(pid, signal.SIGKILL)
        second = guest.sign("key", MESSAGE)
    assert (first.status, second.status) == (lib.VKS_STATUS_OK, lib.VKS_STATUS_OK)
    assert worker_pid(vault, "g") != pid
    assert second.sequence > first.sequence
    assert recorded(vault) >= {first.sequence, second.sequence}


def recorded(vault: Keystored) -> set[int]:
    """Sequences of the allowed signatures in the log, which must hold together."""
    assert vault.api.get("/audit/verify")["ok"]
    lines = vault.api.get("/audit?after=0&limit=1000")["lines"]
    uses = [line for line in lines if line["kind"] == "use" and line["op"] == "sign" and line["status"] == "ok"]
    assert len({line["record"] for line in uses}) == len(uses), "a record is there twice"
    return set(attempts_by_request(map(Run.of_line, uses)))


def sign_ok(guest: RingGuest, key: str | bytes = "key") -> None:
    assert guest.sign(key, MESSAGE).status == lib.VKS_STATUS_OK


def test_killed_custodian_is_not_noticed(vault: Keystored, guest_socket: Path) -> None:
    """A running guest goes on; keys made before and after reach it through the successor."""
    custodian = processes(vault.pid)["vks-custodian"]
    with ring_guest(guest_socket) as guest:
        sign_ok(guest)
        os.kill(custodian, signal.SIGKILL)
        sign_ok(guest)
        vault.api.generate("later", "ed25519")
        applied = vault.api.grant("g", "later", ["sign"])["applied"]
        assert [one["outcome"] for one in applied] == ["acknowledged"]
        sign_ok(guest)
        sign_ok(guest, "later")
    assert vault.api.get("/status")["custodian"]["pid"] != custodian


def test_killed_zygote_is_not_noticed(vault: Keystored, guest_socket: Path) -> None:
    """A running guest goes on, and new guests get workers from the successor."""
    zygote = processes(vault.pid)["vks-zygote"]
    with ring_guest(guest_socket) as guest:
        os.kill(zygote, signal.SIGKILL)
        sign_ok(guest)
        vault.add_guest("other")
        vault.api.grant("other", "key", ["sign"])
        with ring_guest(vault.folder / "other.sock") as other:
            sign_ok(other)
        sign_ok(guest)


def test_worker_that_does_not_acknowledge_is_killed(vault: Keystored, guest_socket: Path) -> None:
    """A stopped worker cannot hold up the administrator, nor use the key once it goes on."""
    pid = awaken(vault, "g")
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    applied = vault.api.revoke("g", "key")["applied"]
    took_s = time.monotonic() - started
    assert [one["outcome"] for one in applied] == ["worker-killed"]
    assert not alive(pid)
    assert 0.1 <= took_s < 1.0
    with ring_guest(guest_socket) as guest:
        assert guest.list_keys() == []


def test_restart_keeps_everything(vault: Keystored, guest_socket: Path) -> None:
    """A clean restart: same keys, same grants, the audit chain goes on."""
    with ring_guest(guest_socket) as guest:
        before = guest.sign("key", MESSAGE)
        public = guest.public("key")
    vault.stop()
    vault.start()
    with ring_guest(guest_socket) as guest:
        assert guest.public("key") == public
        after = guest.sign("key", MESSAGE)
    assert recorded(vault) >= {before.sequence, after.sequence}


def test_killed_keystored_loses_no_record(vault: Keystored, guest_socket: Path) -> None:
    """What was answered before SIGKILL is on record after the restart, once; children end by themselves."""
    with ring_guest(guest_socket) as guest:
        key_id = guest.key_id("key")
        answers = [guest.sign(key_id, MESSAGE) for _ in range(100)]
        children = [*processes(vault.pid).values(), worker_pid(vault, "g")]
        answers.append(guest.sign(key_id, MESSAGE))
        vault.kill_all()
    wait_for(lambda: not any(alive(pid) for pid in children))
    vault.start()
    assert recorded(vault) >= {answer.sequence for answer in answers}
    with ring_guest(guest_socket) as guest:
        sign_ok(guest)


@pytest.mark.parametrize("key_type", ["aes-128", "chacha20-poly1305"])
def test_nonces_differ_after_each_kind_of_restart(vault: Keystored, key_type: str) -> None:
    """Every load spends a fresh lease: no nonce comes twice, whoever died."""
    socket = vault.add_guest("g")
    vault.api.generate("key", key_type)
    vault.api.grant("g", "key", ["encrypt"])

    def nonces() -> list[bytes]:
        with ring_guest(socket) as guest:
            return [guest.ask(lib.VKS_OP_ENCRYPT, "key", MESSAGE).data[:12] for _ in range(5)]

    seen = nonces()
    seen += nonces()
    os.kill(worker_pid(vault, "g"), signal.SIGKILL)
    seen += nonces()
    vault.stop()
    vault.start()
    seen += nonces()
    vault.kill()
    vault.start()
    seen += nonces()
    assert len(set(seen)) == len(seen)
    assert len({nonce[:4] for nonce in seen}) == 4

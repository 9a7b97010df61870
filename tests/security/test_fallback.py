# SPDX-License-Identifier: Apache-2.0
"""Where the kernel has ``memfd_secret`` off: locked memory, left out of dumps and children, and never silently.

Where it has no Landlock: empty namespaces, and everything goes on the same way.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework import without_call
from framework.awake import awaken
from framework.keystored import PROGRAM, Keystored
from framework.ring_guest import ring_guest
from security.allowed_calls import SYS

from vmm_keystore._vks import lib

LANDLOCK = SYS["landlock_create_ruleset"]
HIDDEN = {"lo", "dd", "dc"}  # locked, not dumped, not copied to a child


@pytest.fixture(params=["on", "off"])
def vault(request: pytest.FixtureRequest) -> Iterator[tuple[Keystored, str]]:
    """Give a keystored, and what its kernel should make of its secrets."""
    off = [sys.executable, without_call.__file__, str(SYS["memfd_secret"])] if request.param == "off" else []
    with Keystored(program=[*off, str(PROGRAM)]) as daemon:
        if not off and "memfd_secret off" in daemon.log_text:
            pytest.skip("this machine's kernel has it off")
        yield daemon, "mlock" if off else "memfd-secret"


def mappings(pid: int) -> list[tuple[str, set[str], int]]:
    """Name, flags and resident KiB of each mapping."""
    found: list[tuple[str, set[str], int]] = []
    name, resident = "", 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            name = rest[4] if len(rest) > 4 else ""
        elif first == "Rss:":
            resident = int(rest[0])
        elif first == "VmFlags:":
            found.append((name, set(rest), resident))
    return found


def test_what_holds_secrets_is_said(vault: tuple[Keystored, str]) -> None:
    """``status``, ``guest show``, the log and this test's output agree with what the kernel says of the mappings."""
    daemon, kind = vault
    path = daemon.add_guest("vm1")
    assert path.is_socket()
    daemon.api.generate("k", "aes-256")
    daemon.api.grant("vm1", "k", ["encrypt"])
    awaken(daemon, "vm1")
    worker = daemon.api.get("/guests/vm1")["worker"]
    custodian = daemon.api.get("/status")["custodian"]
    assert (worker["secret_memory"], custodian["secret_memory"]) == (kind, kind)
    assert kind in daemon.cli("guest", "show", "vm1").stdout
    assert ("keys are in locked memory, which root can read; hint: " in daemon.log_text) == (kind == "mlock")
    for name, pid in (("worker", worker["pid"]), ("custodian", custodian["pid"])):
        hidden = [one for one in mappings(pid) if one[1] >= HIDDEN]
        secret = [one for one in hidden if "secretmem" in one[0]]
        kept = secret if kind == "memfd-secret" else [one for one in hidden if one not in secret and one[2]]
        assert kept, f"nothing of {name} is kept as it says"
        assert bool(secret) == (kind == "memfd-secret")
        sys.stderr.write(f"{name}: secrets are in {kind}, {len(kept)} mappings locked, not dumped, not inherited\n")


def test_without_landlock_the_next_one_takes_over_as_well() -> None:
    """In a user namespace of its own a program cannot tell who talks to it; the holder need not."""
    with Keystored(program=[sys.executable, without_call.__file__, str(LANDLOCK), str(PROGRAM)]) as daemon:
        path = daemon.add_guest("vm1")
        daemon.api.generate("k", "ed25519")
        daemon.api.grant("vm1", "k", ["sign"])
        with ring_guest(path) as guest:
            key_id = guest.key_id("k")
            assert "empty namespaces" in daemon.api.get("/guests/vm1")["worker"]["sandbox"]
            holder = daemon.holder_pid
            daemon.kill()
            daemon.start()
            assert daemon.holder_pid == holder
            assert guest.sign(key_id, b"m").status == lib.VKS_STATUS_OK

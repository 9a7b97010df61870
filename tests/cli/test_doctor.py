# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore doctor`` on this host, on one that lacks something, and before a real keystored."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from framework import without_call
from framework.awake import awaken
from framework.keystored import PROGRAM, Keystored, environment

from vmm_keystore.cli import host_checks
from vmm_keystore.cli.finding import Level
from vmm_keystore.workers.programs import LIBEXEC

MEMFD_SECRET, LANDLOCK = 447, 444


def by_name(facts: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in facts}


def without(number: int, *arguments: str | Path) -> Any:
    """What it finds on a kernel that lacks a system call."""
    command = [
        sys.executable,
        without_call.__file__,
        str(number),
        str(PROGRAM),
        "doctor",
        "--json",
        *map(str, arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    return by_name(json.loads(done.stdout))


def test_before_a_running_keystored(vault: Keystored) -> None:
    """Everything is named, what works is ok, and nothing that works costs the exit status."""
    vault.add_guest("web1")
    vault.add_guest("web2")
    awaken(vault, "web1")
    outcome = vault.cli("doctor", "--json")
    found = by_name(outcome.facts)
    assert outcome.status == 0
    assert found["secret memory"]["level"] == "ok"
    assert found["system-call filters"]["level"] == "ok"
    assert found["programs"]["level"] == "ok"
    assert found["guest web1"]["detail"].startswith("memfd-secret, ")
    assert found["guest web2"]["detail"] == "no worker: its virtual machine has not connected yet"
    assert found["root of trust"]["level"] == "warn"
    assert found["custodian"]["level"] == found["keystored"]["level"] == "ok"
    said = vault.cli("doctor").stdout.splitlines()
    assert len([line for line in said if not line.lstrip().startswith("hint: ")]) == len(found)


def test_without_keystored(tmp_path: Path) -> None:
    """It says so and looks at the rest."""
    command = [str(PROGRAM), "doctor", "--json", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0
    found = by_name(json.loads(done.stdout))
    assert (found["keystored"]["level"], found["keystored"]["hint"] != "") == ("warn", True)


def test_kernel_without_secret_memory(tmp_path: Path) -> None:
    """The fallback is not silent."""
    found = without(MEMFD_SECRET, "--state-dir", tmp_path)["secret memory"]
    assert found["level"] == "warn"
    assert "root can read" in found["detail"]
    assert "secretmem.enable=1" in found["hint"]


def test_worker_without_secret_memory() -> None:
    """What a running worker has is said, not what the kernel could do."""
    program = (sys.executable, without_call.__file__, str(MEMFD_SECRET), str(PROGRAM))
    with Keystored(program=program) as keystored:
        keystored.add_guest("web1")
        awaken(keystored, "web1")
        found = by_name(keystored.cli("doctor", "--json").facts)
    assert found["secret memory"]["level"] == "ok"
    for name in ("custodian", "guest web1"):
        assert found[name]["level"] == "warn"
        assert "root can read them" in found[name]["detail"]


def test_what_cannot_work_costs_the_exit_status(vault: Keystored) -> None:
    """A guest without a worker that can start: named on stderr, in one line with a hint."""
    vault.add_guest("web1")
    hidden = LIBEXEC / "vks-import"
    hidden.rename(LIBEXEC / "vks-import.away")
    try:
        outcome = vault.cli("doctor", ok=False)
    finally:
        (LIBEXEC / "vks-import.away").rename(hidden)
    assert outcome.status == 1
    assert "BAD" in outcome.stdout
    assert outcome.stderr.splitlines()[0] == "vmm-keystore: this cannot work as it is: programs"


def test_place_that_no_service_can_be_run_from() -> None:
    """The folder that is in the way is named."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bin").mkdir(mode=0o755)
        found = {}
        for mode in (0o711, 0o750):
            folder.chmod(mode)
            found[mode] = host_checks.place((folder / "bin/program",))
    assert found[0o711].level is Level.OK
    assert found[0o750].level is Level.WARN
    assert f" {name}:" in found[0o750].detail


def test_kernel_without_landlock(tmp_path: Path) -> None:
    """It costs one of the walls."""
    assert without(LANDLOCK, "--state-dir", tmp_path)["landlock"]["level"] == "warn"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's files that say that all is well."""
    files = {
        "proc/sys/kernel/seccomp/actions_avail": "kill_process kill_thread errno allow\n",
        "proc/sys/kernel/sched_autogroup_enabled": "1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_host_where_all_is_well(root: Path) -> None:
    for check in (host_checks.call_filters, host_checks.autogroup):
        assert check(root).level is Level.OK
    assert host_checks.runtime_folder([root, Path("/dev/shm")]).level is Level.OK


def test_host_without_filters_or_tmpfs_cannot_run_us(root: Path) -> None:
    (root / "proc/sys/kernel/seccomp/actions_avail").write_text("allow\n")
    assert host_checks.call_filters(root).level is Level.BAD
    assert host_checks.runtime_folder([Path("/proc"), Path("/proc/nothing")]).level is Level.BAD


def test_host_without_autogroup(root: Path) -> None:
    (root / "proc/sys/kernel/sched_autogroup_enabled").unlink()
    assert host_checks.autogroup(root).level is Level.WARN


@pytest.mark.parametrize(
    ("said", "level"),
    [("QEMU emulator version 7.2.22 (Debian)", "ok"), ("QEMU emulator version 6.2.0", "bad"), ("nonsense", "warn")],
)
def test_version_of_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, level: str) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert host_checks.qemu().level == level

# SPDX-License-Identifier: Apache-2.0
"""The limits of each program, one by one, as the kernel has them for the real processes; and that none leaves a core."""

import os
import re
from pathlib import Path

import pytest
from framework.awake import awaken
from framework.keystored import Keystored
from workers.test_deaths import processes


def limits(pid: int) -> dict[str, tuple[str, str]]:
    """Soft and hard limit by the kernel's name."""
    text = Path(f"/proc/{pid}/limits").read_text()
    return {
        name: (soft, hard) for name, soft, hard in re.findall(r"^(Max [\w -]+?)  +(\w+) +(\w+)", text, re.MULTILINE)
    }


@pytest.fixture
def pids(shared_vault: Keystored) -> dict[str, int]:
    """Every process of ours, by its name."""
    if not any(guest["name"] == "limits" for guest in shared_vault.api.get("/guests")["guests"]):
        shared_vault.add_guest("limits")
    pid = awaken(shared_vault, "limits")
    found = processes(shared_vault.pid)
    return {**found, "vks-worker": pid}


@pytest.mark.parametrize(
    ("program", "file_bytes", "open_files_max"),
    [("vks-worker", 0, 64), ("vks-custodian", 65 << 20, 1 << 20), ("vks-holder", 0, 1 << 16)],
)
def test_each_limit_is_set(pids: dict[str, int], program: str, file_bytes: int, open_files_max: int) -> None:
    """No process, no message queue, no file longer than it writes, no core, and no way to raise any of it."""
    found = limits(pids[program])
    assert found["Max processes"] == ("0", "0")
    assert found["Max msgqueue size"] == ("0", "0")
    assert found["Max file size"] == (str(file_bytes), str(file_bytes))
    assert found["Max core file size"] == ("0", "0")
    soft, hard = found["Max open files"]
    assert soft == hard
    assert int(hard) <= open_files_max


@pytest.mark.parametrize("program", ["vks-worker", "vks-custodian", "vks-holder", "vks-zygote"])
def test_no_core_is_left(pids: dict[str, int], program: str) -> None:
    """Not by the limit, and not where a program takes cores, which the limit does not bind: it is not dumpable."""
    pid = pids[program]
    assert limits(pid)["Max core file size"] == ("0", "0")
    if os.geteuid() != 0:
        pytest.skip("only root starts them as users of their own, for whom dumpable processes show")
    user = int(re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])  # type: ignore[index]
    assert user != 0
    # The files of a process that is not dumpable are root's (proc(5), /proc/PID).
    assert Path(f"/proc/{pid}/environ").stat().st_uid == 0

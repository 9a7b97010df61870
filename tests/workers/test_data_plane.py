# SPDX-License-Identifier: Apache-2.0
"""How workers run, as an administrator says it: where, with which engines, and how they wait."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import ring_guest
from framework.ring_load import RingLoad, tell_event_idx

from vmm_keystore._vks import lib
from vmm_keystore.workers.data_plane import FUNCTIONS, DataPlane, engines

DEPTH, MILLISECONDS = 32, 300
EVERY_CPU = sorted(os.sched_getaffinity(0))


def worker_of(vault: Keystored) -> Any:
    """What the API says of the guest's worker, which may still be on its way."""

    def said() -> Any:
        return vault.api.get("/guests/g")["worker"]

    wait_for(lambda: said()["pid"] is not None)
    return said()


def cpus_of(task: Path) -> str:
    """Where a thread may run, as the kernel writes it."""
    found = re.search(r"Cpus_allowed_list:\s*(\S+)", (task / "status").read_text())
    assert found
    return found[1]


def test_both_lanes_stay_on_their_processors() -> None:
    wanted = EVERY_CPU[-1]
    with Keystored(arguments=("--worker-cpus", str(wanted))) as vault, ring_guest(vault.add_guest("g")):
        tasks = list(Path(f"/proc/{worker_of(vault)['pid']}/task").iterdir())
        assert len(tasks) == 2
        assert {cpus_of(task) for task in tasks} == {str(wanted)}
        keystored = Path(f"/proc/{vault.pid}/task/{vault.pid}")
        assert len(EVERY_CPU) == 1 or cpus_of(keystored) != str(wanted)


def test_without_accelerators_libcrypto_does_everything() -> None:
    with Keystored(arguments=("--no-accelerators",)) as vault, ring_guest(vault.add_guest("g")):
        assert worker_of(vault)["engines"] == {name: "libcrypto" for name, _engine in FUNCTIONS.values()}
        shown = vault.cli("guest", "show", "g").stdout
        assert re.search(r"^engines:\s+libcrypto$", shown, re.MULTILINE)


def read_and_write_calls(pid: int) -> int:
    """How many a process has made: kicks that were read, and signals."""
    counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(counts["syscr"]) + int(counts["syscw"])


def test_a_busy_ring_takes_no_system_call_a_request() -> None:
    """One signal for what was answered in one go, and no kick while there is work."""
    with Keystored(arguments=("--poll-us", "50")) as vault:
        socket = vault.add_guest("g")
        vault.api.generate("k", "hmac-sha256")
        vault.api.grant("g", "k", ["mac"])
        with ring_guest(socket, slot_count=DEPTH) as guest:
            tell_event_idx(guest.vault, guest.ring)
            load = RingLoad(guest, lib.VKS_OP_MAC, key_id=guest.key_id("k"), data=bytes(64), output_bytes=32)
            pid = worker_of(vault)["pid"]
            before = read_and_write_calls(pid)
            process = load.start(DEPTH, MILLISECONDS, spin_us=50)
            stdout, stderr = process.communicate(timeout=60)
            assert process.returncode == 0, stderr
            operations = json.loads(stdout)["operations"]
            assert operations > 100 * DEPTH
            assert read_and_write_calls(pid) - before < operations // 4


def test_names_of_all_functions() -> None:
    """Each bit has one name, and nothing is said of a bit that is not set."""
    assert set(FUNCTIONS) == set(range(lib.VKS_ENGINE_FUNCTIONS))
    said = engines(1 << lib.VKS_ENGINE_RSA_3072_SIGN | 1 << lib.VKS_ENGINE_AES_GCM)
    assert len(said) == lib.VKS_ENGINE_FUNCTIONS
    assert {name: engine for name, engine in said.items() if engine != "libcrypto"} == {
        "rsa3072-sign": "crypto_mb",
        "aes-gcm": "ipsec_mb",
    }


@pytest.mark.parametrize(("cpus", "words"), [({0}, [1]), ({1, 63, 64}, [2 | 1 << 63, 1]), (set(), [0])])
def test_processors_are_bits(cpus: set[int], words: list[int]) -> None:
    fields = DataPlane(cpus=frozenset(cpus)).spawn_fields()
    assert fields["cpus"][: len(words)] == words
    assert sum(fields["cpus"]) == sum(words)

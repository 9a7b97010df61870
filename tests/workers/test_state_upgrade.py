# SPDX-License-Identifier: Apache-2.0
"""An upgrade over another layout of state memory: guests keep their devices, and nothing that was counted is lost."""

import os
import signal
from pathlib import Path
from typing import Any

from framework.keystored import Keystored
from framework.latency_rows import requests_counted
from framework.patience import wait_for
from framework.ring_guest import ring_guest
from workers.state_file import mapped
from workers.test_deaths import alive, recorded, worker_pid

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.state_memory import BYTES_BEFORE

BUDGET = 1000
COUNT = 20


def make_before(path: Path) -> None:
    """The file as the version before left it; whoever has it mapped must not look at its end any more."""
    with mapped(path) as state:
        head: Any = ffi.cast("struct vks_state_head *", state)
        head.version, head.size_bytes = lib.VKS_STATE_VERSION_BEFORE, BYTES_BEFORE
        head.queue_count, head.next_sequence = 1, lib.vks_state_queue(state, 0).next_counter + 1
    os.truncate(path, BYTES_BEFORE)


def test_guests_go_on_over_the_version_before(vault: Keystored) -> None:
    """Ring, budget and records are taken over; what waits meanwhile is answered once."""
    socket, state = vault.add_guest("g"), vault.runtime_dir / "g.state"
    vault.api.generate("key", "ed25519")
    vault.cli("grant", "add", "g", "key", "--ops", "sign", "--max-ops", str(BUDGET))
    with ring_guest(socket, slot_count=COUNT) as guest:
        key_id = guest.key_id("key")
        first = [guest.sign(key_id, b"m").sequence for _ in range(COUNT)]
        before = worker_pid(vault, "g")
        vault.kill()
        # It answers nothing now: what comes is for its successor.
        os.kill(before, signal.SIGSTOP)
        for _ in range(COUNT):
            guest.vault.submit(lib.VKS_OP_SIGN, key_id=key_id, data=b"m", output_bytes=4096)
        guest.ring.kick(force=True)
        make_before(state)
        vault.start()
        answers = [answer for _head, answer in guest.vault.collect(COUNT)]
        assert {answer.status for answer in answers} == {lib.VKS_STATUS_OK}
        wait_for(lambda: not alive(before))
        (grant,) = vault.facts("grant", "list")
        assert grant["ops_used"] == 2 * COUNT
        wait_for(lambda: recorded(vault) >= {*first, *(answer.sequence for answer in answers)})
        assert not list(vault.runtime_dir.glob("*.damaged"))
        with mapped(state) as view:
            wait_for(lambda: requests_counted(view) == 2 * COUNT + 1)  # a list

# SPDX-License-Identifier: Apache-2.0
"""A guest that works as hard as it can: the driver's side of a ring in C, over requests that were built once.

Programs are those of ``tests/bench``; each prints its figures as one line of JSON.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.frontend import F_EVENT_IDX
from framework.ring_guest import RingGuest
from framework.split_ring import SplitRing
from framework.vault import Vault
from vmm_keystore._vks import lib
from vmm_keystore.workers.ipc import pack

PROGRAMS = Path(__file__).resolve().parents[2] / "build/meson/tests/bench"


@dataclass(frozen=True, slots=True)
class Sample:
    """Throughput and latency of one run."""

    ops_per_s: float
    p50_us: float
    p99_us: float


def start_program(
    name: str, arguments: Sequence[object], *, cpu: int | None = None, stdin: str = "", fds: Sequence[int] = ()
) -> subprocess.Popen[str]:
    """Start one of the programs.

    Args:
        name: of the program.
        arguments: its arguments.
        cpu: where it runs, None for anywhere.
        stdin: what it reads.
        fds: descriptors it inherits.
    """
    command = [] if cpu is None else ["taskset", "-c", str(cpu)]
    command += [str(PROGRAMS / name), *map(str, arguments)]
    pipe = subprocess.PIPE
    # Each a session of its own, as the processes of different virtual machines are.
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, pass_fds=fds, start_new_session=True
    )
    if process.stdin is None:
        raise AssertionError
    # It begins when it has read everything.
    with process.stdin as pipe_end:
        pipe_end.write(stdin)
    process.stdin = None
    return process


def read_sample(process: subprocess.Popen[str]) -> Sample:
    """Wait for its end and read its figures.

    Raises:
        RuntimeError: it failed.
    """
    stdout, stderr = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the load failed: {stderr.strip()}")
    facts = json.loads(stdout)
    return Sample(facts["operations"] / facts["seconds"], facts["p50_us"], facts["p99_us"])


class RingLoad:
    """Requests of one kind, as many as the guest has slots, sent again and again by a program."""

    def __init__(self, guest: RingGuest, op: int, *, output_bytes: int, **fields: Any) -> None:
        self._ram = guest.frontend.ram
        self._ring = guest.ring
        self._requests: list[tuple[int, int]] = []
        for _ in range(guest.vault.free):
            head, slot = guest.vault.take()
            slot.fill(op, output_bytes=output_bytes, **fields)
            guest.vault.set_sizes(head)
            self._requests.append((head, slot.writable_gpa + slot.writable_bytes - 1))

    def start(
        self,
        depth: int,
        milliseconds: int,
        *,
        spin_us: int = 0,
        status: int = lib.VKS_STATUS_OK,
        cpu: int | None = None,
    ) -> subprocess.Popen[str]:
        """Keep *depth* of them under way for so long; each answer must have *status*."""
        ring = self._ring
        fds = (self._ram.fd, ring.kick_fd, ring.call_fd)
        arguments = [fds[0], len(self._ram.view), fds[1], fds[2], ring.avail_gpa, ring.used_gpa, ring.size]
        arguments += [ring.avail_idx, ring.last_used, int(ring.event_idx), spin_us, milliseconds, status]
        stdin = "".join(f"{head} {status_at}\n" for head, status_at in self._requests[:depth])
        return start_program("vks-bench-ring", arguments, cpu=cpu, stdin=stdin, fds=fds)

    def finish(self, process: subprocess.Popen[str]) -> Sample:
        """Wait for it; the ring goes on where it left it."""
        sample = read_sample(process)
        self._ring.avail_idx, self._ring.last_used = self._ring.avail[1], self._ring.used_head[1]
        return sample


def tell_event_idx(vault: Vault, ring: SplitRing) -> None:
    """Send the first request of a driver: without it no notification is suppressed."""
    features = {"abi_version_min": 1, "abi_version_max": 1, "driver_features": 1 << F_EVENT_IDX}
    answer = vault.request(lib.VKS_OP_INFO, data=pack("vks_info_request", features), output_bytes=256)
    if answer.status != lib.VKS_STATUS_OK:
        raise RuntimeError(f"info answered 0x{answer.status:x}")
    ring.event_idx = True

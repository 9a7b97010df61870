# SPDX-License-Identifier: Apache-2.0
"""Latency histograms in the metrics: as many requests as were answered, whoever dies, and nothing that cannot be true."""

import mmap
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from framework.keystored import Keystored
from framework.latency_rows import latency_rows
from framework.patience import wait_for
from framework.ring_guest import RingGuest, ring_guest
from prometheus_client.parser import text_string_to_metric_families
from qemu_images.prometheus import promtool
from workers.test_deaths import worker_pid

from vmm_keystore._vks import ffi, lib
from vmm_keystore.service.guest_values import LatencyKind
from vmm_keystore.workers.latencies import COUNT_MAX, checked_latencies
from vmm_keystore.workers.state_memory import STATE_BYTES

NAME = "vmm_keystore_request_duration_seconds"
OK = lib.VKS_STATUS_OK
ROWS_MAX = lib.VKS_LATENCY_MAX
ROW_BYTES = ffi.sizeof("struct vks_latency")
Use = tuple[str, str, str]


def histograms(vault: Keystored) -> dict[Use, dict[str, float]]:
    """By guest, key and operation: the value of each bound, and *sum* and *count*; each in order."""
    found: dict[Use, dict[str, float]] = {}
    for family in text_string_to_metric_families(vault.cli("metrics").stdout):
        if family.name != NAME:
            continue
        for sample in family.samples:
            use = (sample.labels["guest"], sample.labels["key"], sample.labels["op"])
            name = sample.labels.get("le") or sample.name.rpartition("_")[2]
            values = found.setdefault(use, {})
            assert name not in values, "a series is there twice"
            values[name] = sample.value
    for values in found.values():
        buckets = [value for name, value in values.items() if name not in {"sum", "count"}]
        assert buckets == sorted(buckets)
        assert (len(buckets), buckets[-1]) == (lib.VKS_LATENCY_BUCKETS, values["count"])
    return found


def count(vault: Keystored, *use: str) -> int:
    """How many requests one of them has."""
    guest, key, op = use
    return int(histograms(vault).get((guest, key, op), {}).get("count", 0))


@contextmanager
def mapped(vault: Keystored, guest: str) -> Iterator[mmap.mmap]:
    """The state memory of a guest, as its worker may write to it."""
    path = vault.runtime_dir / f"{guest}.state"
    with path.open("r+b") as file, mmap.mmap(file.fileno(), STATE_BYTES) as mapping:
        yield mapping


@contextmanager
def table_of(mapping: mmap.mmap) -> Iterator[Any]:
    """Give its histograms."""
    with ffi.from_buffer(mapping, require_writable=True) as state:
        yield lib.vks_state_latencies(state)


def sign(guest: RingGuest, key: bytes, times: int) -> None:
    for _ in range(times):
        assert guest.sign(key, b"message").status == OK


@pytest.fixture
def socket(vault: Keystored) -> Path:
    """A guest that may use a fast key and a slow one."""
    path = vault.add_guest("web1")
    for label, key_type in (("tls", "ed25519"), ("old", "rsa-2048"), ("spare", "ed25519")):
        vault.api.generate(label, key_type)
        vault.api.grant("web1", label, ["sign"])
    return path


def test_as_many_as_were_answered(vault: Keystored, socket: Path) -> None:
    """By guest, key and operation; a key that nobody used has none, and promtool has nothing to say."""
    with ring_guest(socket) as guest:
        tls, old = guest.key_id("tls"), guest.key_id("old")
        sign(guest, tls, 7)
        sign(guest, old, 3)
        assert guest.sign(bytes(16), b"m").status == lib.VKS_STATUS_NO_KEY
        wait_for(lambda: count(vault, "web1", "old", "sign") == 3)
        found = histograms(vault)
        text = vault.cli("metrics").stdout
    assert {use: values["count"] for use, values in found.items()} == {
        ("web1", "tls", "sign"): 7,
        ("web1", "old", "sign"): 3,
        ("web1", "", "sign"): 1,
        ("web1", "", "list"): 2,
    }
    assert all(values["sum"] > 0 for values in found.values())
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_they_outlive_worker_and_keystored(vault: Keystored, socket: Path) -> None:
    """Between requests no death loses or doubles one."""
    with ring_guest(socket) as guest:
        tls = guest.key_id("tls")
        for round_ in range(1, 4):
            sign(guest, tls, 5)
            wait_for(lambda: count(vault, "web1", "tls", "sign") == 10 * round_ - 5)  # noqa: B023 - called at once
            os.kill(worker_pid(vault, "web1"), signal.SIGKILL)
            sign(guest, tls, 3)
            vault.kill()
            sign(guest, tls, 2)
            vault.start()
            wait_for(lambda: count(vault, "web1", "tls", "sign") == 10 * round_)  # noqa: B023 - called at once


def test_a_guest_that_is_removed_has_none(vault: Keystored, socket: Path) -> None:
    with ring_guest(socket) as guest:
        sign(guest, guest.key_id("tls"), 1)
    assert count(vault, "web1", "tls", "sign") == 1
    vault.cli("guest", "remove", "web1")
    assert histograms(vault) == {}


def test_not_more_than_asked_for() -> None:
    """What is beyond serve --histograms is added up."""
    with Keystored(arguments=("--histograms", "1")) as vault:
        for name in ("web1", "web2"):
            socket = vault.add_guest(name)
            with ring_guest(socket) as guest:
                for _ in range(3):
                    assert guest.vault.request(lib.VKS_OP_RANDOM, output_bytes=8).status == OK
            wait_for(lambda: histograms(vault))
        wait_for(lambda: count(vault, "_other", "_other", "random") == 3)
        assert set(histograms(vault)) == {("web1", "", "random"), ("_other", "_other", "random")}


def test_garbage_of_one_guest_harms_no_other(vault: Keystored, socket: Path) -> None:
    """Random bytes, and the worst that looks right: others' keys, keys twice, counts beyond belief."""
    other = vault.add_guest("web2")
    vault.api.generate("foreign", "ed25519")
    vault.api.grant("web2", "foreign", ["sign"])
    chance = random.Random(5)  # noqa: S311 - the same at each run
    with ring_guest(socket) as guest, ring_guest(other) as neighbour, mapped(vault, "web1") as mapping:
        tls, foreign = guest.key_id("tls"), neighbour.key_id("foreign")
        sign(neighbour, foreign, 4)
        wait_for(lambda: count(vault, "web2", "foreign", "sign") == 4)
        sane = {use: values for use, values in histograms(vault).items() if use[0] == "web2"}
        for _ in range(5):
            with table_of(mapping) as table:
                ffi.buffer(table, ROWS_MAX * ROW_BYTES)[:] = chance.randbytes(ROWS_MAX * ROW_BYTES)
            assert {use: values for use, values in histograms(vault).items() if use[0] == "web2"} == sane
            sign(guest, tls, 1)
        with table_of(mapping) as table:
            ffi.buffer(table, ROWS_MAX * ROW_BYTES)[:] = bytes(ROWS_MAX * ROW_BYTES)
            forged = ((foreign, 1), (tls, 2), (tls, 3), (tls, COUNT_MAX + 1), (os.urandom(16), 1))
            for place, (key_id, requests) in enumerate(forged):
                row = table[2 * lib.VKS_LATENCY_OPS_MAX + place]
                ffi.memmove(row.key_id, key_id, 16)
                row.op, row.kind, row.bucket[5] = lib.VKS_OP_SIGN, lib.VKS_LATENCY_KEY, requests
        found = histograms(vault)
        assert {use: values for use, values in found.items() if use[0] == "web2"} == sane
        assert {use: values["count"] for use, values in found.items() if use[0] == "web1"} == {
            ("web1", "tls", "sign"): 5
        }
        sign(neighbour, foreign, 1)
        sign(guest, tls, 1)


def test_what_is_read_can_be_true() -> None:
    """Whatever lies there: kinds and operations that exist, counts that a double holds, and no more than fit."""
    chance = random.Random(6)  # noqa: S311 - the same at each run
    content = bytearray(STATE_BYTES)
    with ffi.from_buffer(content, require_writable=True) as state:
        lib.vks_state_init(state)
        table = lib.vks_state_latencies(state)
        seen: set[LatencyKind] = set()
        for _ in range(10):
            for row in table[0:ROWS_MAX]:
                ffi.buffer(ffi.addressof(row))[:] = (
                    bytes(ROW_BYTES) if chance.random() < 0.9 else chance.randbytes(ROW_BYTES)
                )
                row.kind = chance.choice((0, 1, 2, 3, 1 << 31))
                row.op = chance.choice((0, 4, 10, 11, 15, 16, 1 << 31))
                row.sum_ns = chance.choice((0, 1, 1 << 63, (1 << 63) + 1))
                row.bucket[chance.randrange(lib.VKS_LATENCY_BUCKETS)] = chance.choice((0, 1, COUNT_MAX, COUNT_MAX + 1))
            rows = latency_rows(state)
            assert len(rows) <= ROWS_MAX
            for latency in checked_latencies(rows):
                assert latency.op < lib.VKS_OP_COUNT
                assert latency.sum_ns <= 1 << 63
                assert 0 < sum(latency.counts) <= COUNT_MAX
                assert len(latency.key_id) == (16 if latency.kind is LatencyKind.KEY else 0)
                seen.add(latency.kind)
        assert seen == set(LatencyKind)
        ffi.buffer(table, ROWS_MAX * ROW_BYTES)[:] = b"\xff" * (ROWS_MAX * ROW_BYTES)
        assert checked_latencies(latency_rows(state)) == []

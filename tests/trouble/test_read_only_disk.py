# SPDX-License-Identifier: Apache-2.0
"""A disk that takes no more writes while keystored runs, as ext4 does after an error of the device."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from framework.keystored import Keystored
from framework.logged_disk import lacking, make_file_system, mounted
from framework.patience import wait_for
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

DISK_BYTES = 24 << 20
OK = lib.VKS_STATUS_OK

pytestmark = [pytest.mark.alone, pytest.mark.skipif(lacking() is not None, reason=str(lacking()))]


@contextmanager
def started(keystored: Keystored) -> Iterator[None]:
    """Have it run; afterwards it is dead, whatever a test came to: else its file system stays."""
    keystored.start()
    try:
        yield
    finally:
        if keystored.process is not None:
            keystored.kill()


def signed(keystored: Keystored) -> int:
    """How many signatures are on record."""
    lines = keystored.api.get("/audit?after=0&limit=1000")["lines"]
    return sum(line.get("count", 1) for line in lines if line.get("op") == "sign" and line["status"] == "ok")


def test_it_goes_on_and_nothing_is_lost(tmpfs_folder: Path) -> None:
    """Changes are refused with what to do; guests work on, and what they did is on record once the disk is mended."""
    # The guest's socket lies elsewhere: one that is listened on keeps its file system.
    image, place, socket = tmpfs_folder / "image", tmpfs_folder / "m", tmpfs_folder / "g.sock"
    image.touch()
    os.truncate(image, DISK_BYTES)
    make_file_system(image)
    keystored = Keystored(place)
    try:
        with mounted(image, place), started(keystored):
            keystored.api.generate("k", "ec-p256")
            keystored.api.post("/guests", {"name": "g", "socket": str(socket)})
            keystored.api.grant("g", "k", ["sign"])
            with ring_guest(socket) as guest:
                assert guest.sign("k", b"m").status == OK
                wait_for(lambda: signed(keystored) == 1)
                subprocess.run(["mount", "-o", "remount,abort", place], check=True)
                check_refused(keystored, "key", "generate", "k2", "--type", "ec-p256")
                check_refused(keystored, "grant", "remove", "g", "k")
                assert [guest.sign("k", b"m").status for _ in range(3)] == [OK] * 3
                assert [key["label"] for key in keystored.facts("key", "list")] == ["k"]
                problem = wait_for(lambda: keystored.facts("status")["audit"]["problem"])
                assert problem == f"cannot write the audit log in {place}/state/audit: read-only file system"
                # A worker's records lie in memory that outlives keystored.
                keystored.kill()
        with mounted(image, place), started(keystored):
            wait_for(lambda: signed(keystored) == 4)
            assert keystored.api.get("/audit/verify")["ok"]
            assert [key["label"] for key in keystored.facts("key", "list")] == ["k"]
            keystored.api.generate("k2", "ec-p256")
    finally:
        keystored.kill_holder()
        shutil.rmtree(keystored.runtime_dir)


def check_refused(keystored: Keystored, *words: str) -> None:
    """A change that cannot be made says so."""
    said = keystored.cli(*words, ok=False)
    assert said.status == 1
    assert said.stderr.splitlines() == [
        "vmm-keystore: the database failed: disk I/O error",
        "hint: see the system's log for errors of the disk",
    ]

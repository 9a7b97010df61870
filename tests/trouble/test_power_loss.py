# SPDX-License-Identifier: Apache-2.0
"""Power that fails at any moment (promise P6): the disk as it was after each of its block writes.

While changes are made, every write to the disk under the state folder is logged. Then the log is replayed write by
write. After each the file system is mounted, which recovers it as after a power failure, and must hold what had been
answered by then, whole: nothing less, and at most the one change that was under way. Again and again a keystored is
started on it: it opens every key, its audit log is unbroken and knows all that was answered.
"""

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from framework.keystored import Keystored
from framework.logged_disk import LoggedDisk, apply, lacking, make_file_system, mounted
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

DISK_BYTES = 24 << 20
STARTS = 5
"""At how many of the moments a keystored is started, beside every third that follows an answer."""

pytestmark = [pytest.mark.alone, pytest.mark.skipif(lacking() is not None, reason=str(lacking()))]
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """A change, how many writes there had been when it was answered, and what had to be there from then on."""

    name: str
    writes: int
    facts: Facts
    admin_lines: list[str]
    """Of the audit log, without their times."""


def facts_of_api(keystored: Keystored) -> Facts:
    """Guests, keys with the states of their versions, and grants."""
    api = keystored.api
    return {
        "guests": sorted(guest["name"] for guest in api.get("/guests")["guests"]),
        "keys": {
            key["label"]: [version["state"] for version in api.get(f"/keys/{key['label']}")["versions"]]
            for key in api.get("/keys")["keys"]
        },
        "grants": sorted((grant["guest"], grant["key"]) for grant in api.get("/grants")["grants"]),
    }


def admin_lines(keystored: Keystored) -> list[str]:
    """What the audit log says of administrators, in its order."""
    lines = keystored.api.get("/audit?after=0&limit=1000")["lines"]
    return [f"{line['action']} {line.get('key')} {line.get('guest')}" for line in lines if line["kind"] == "admin"]


def facts_of_file(path: Path) -> Facts:
    """The same, as SQLite finds them in a file that nobody has touched since the power failed."""
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert store.execute("PRAGMA foreign_key_check").fetchall() == []
        keys: dict[str, list[str]] = {}
        versions = "SELECT label, state FROM key_versions v JOIN keys k ON v.key = k.id ORDER BY label, version"
        for label, state in store.execute(versions):
            keys.setdefault(label, []).append(state)
        grants = "SELECT g.name, k.label FROM grants JOIN guests g ON guest = g.id JOIN keys k ON key = k.id"
        return {
            "guests": sorted(name for (name,) in store.execute("SELECT name FROM guests")),
            "keys": keys,
            "grants": sorted(store.execute(grants)),
        }


def make_changes(keystored: Keystored) -> Iterator[str]:
    """Make one change after the other; its name, once it is answered."""
    api = keystored.api

    def change(name: str, *arguments: Any) -> str:
        getattr(api, name)(*arguments)
        return f"{name} {arguments[0]}"

    yield change("generate", "sign", "ec-p256")
    keystored.add_guest("g")
    yield "guest g"
    yield change("grant", "g", "sign", ["sign"])
    yield change("generate", "seal", "aes-256")
    yield change("grant", "g", "seal", ["encrypt", "decrypt"])
    with ring_guest(keystored.folder / "g.sock") as guest:
        assert guest.sign("sign", b"m").status == lib.VKS_STATUS_OK
        yield "guest at work"
        for move in ("suspend", "activate"):
            yield change("post", f"/keys/sign/{move}")
        yield change("post", "/keys/seal/rotate")
        yield change("revoke", "g", "seal")
    yield change("post", "/keys/seal/destroy")
    yield change("delete", "/guests/g")


@pytest.mark.timeout(900)
def test_after_each_write(tmpfs_folder: Path) -> None:
    """Whatever was answered is there; nothing is there by half."""
    with LoggedDisk(tmpfs_folder, DISK_BYTES) as disk:
        make_file_system(disk.exported)
        begin = disk.written()
        with ExitStack() as stack:
            stack.enter_context(mounted(disk.exported, tmpfs_folder / "m"))
            keystored = stack.enter_context(Keystored(tmpfs_folder / "m"))
            answered: list[Answered] = []
            for name in itertools.chain(["start"], make_changes(keystored)):
                writes = disk.written()
                answered.append(Answered(name, writes, facts_of_api(keystored), admin_lines(keystored)))
        end = disk.written()
        Replay(tmpfs_folder, disk, answered).run(begin, end)


class Replay:
    """The disk's life once more, on an image of its own."""

    def __init__(self, folder: Path, disk: LoggedDisk, answered: list[Answered]) -> None:
        self._folder, self._disk, self._answered = folder, disk, answered
        self._image, self._copy = folder / "replayed", folder / "copy"

    def run(self, begin: int, end: int) -> None:
        """Look at every write between two numbers of them."""
        starts = {begin + (end - begin) * number // STARTS for number in range(STARTS)}
        starts |= {change.writes for change in self._answered[::3]}
        self._image.touch()
        os.truncate(self._image, DISK_BYTES)
        image = os.open(self._image, os.O_RDWR)
        try:
            for number, write in enumerate(self._disk.writes(), 1):
                apply(write, image)
                if number >= begin and (write.size or number in starts):
                    self._look(number, started=number in starts)
                if number == end:
                    return
        finally:
            os.close(image)

    def _look(self, number: int, *, started: bool) -> None:
        shutil.copyfile(self._image, self._copy)
        before = [change for change in self._answered if change.writes <= number]
        # What is under way may be there already, as a whole.
        allowed = [change.facts for change in self._answered[max(len(before) - 1, 0) : len(before) + 1]]
        place = self._folder / f"p{number}"
        names = f"after write {number}, {before[-1].name if before else 'nothing'} answered last"
        with mounted(self._copy, place):
            store = place / "state/keystore.db"
            if before:
                assert facts_of_file(store) in allowed, names
            if started:
                self._start(place, before, allowed, names)

    @staticmethod
    def _start(place: Path, before: list[Answered], allowed: list[Facts], names: str) -> None:
        with Keystored(place) as keystored:
            found = facts_of_api(keystored)
            assert found in allowed or not before, names
            assert keystored.api.get("/audit/verify")["ok"], names
            told = admin_lines(keystored)
            assert not before or told[: len(before[-1].admin_lines)] == before[-1].admin_lines, names
            if found["keys"].get("sign") == ["active"]:
                # The key encryption key is there, and opens it.
                keystored.cli("key", "csr", "sign", "--subject", "CN=x")
            keystored.api.generate("afterwards", "ec-p256")

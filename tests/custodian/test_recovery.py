# SPDX-License-Identifier: Apache-2.0
"""vks-recovery with a real custodian: shares give the KEK, fewer do not, and what is no share is refused by name."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from custodian.custodian_process import LIBEXEC, Custodian
from custodian.wrapping import wrap
from framework.secret_forms import secret_bytes
from framework.secret_search import SecretSearch
from framework.share_text import ShareText, interpolate

from vmm_keystore._vks import lib

KEK = slice(19, 51)
"""In its file."""
PROGRAM = LIBEXEC / "vks-recovery"
NOT_FOR_US = b"vks-recovery: what came is no key encryption key that was wrapped to the offer\n"

CONTROL = secret_bytes("control", b"usage: vks-recovery split THRESHOLD FD... | combine KEK FD...")

Export = Callable[[bytes], bytes]


def export_of(custodian: Custodian) -> Export:
    def export(offer: bytes) -> bytes:
        error, body = custodian.call(lib.VKS_CUSTODIAN_ROOT_EXPORT, offer)
        assert error == 0
        return body

    return export


def split(export: Export, folder: Path, threshold: int, count: int) -> tuple[int, bytes, list[Path]]:
    """Exit code, what it said, and the files of the shares."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"share-{number}" for number in range(1, count + 1)]
    with ExitStack() as stack:
        fds = [stack.enter_context(path.open("wb")).fileno() for path in paths]
        command: list[str | Path] = [PROGRAM, "split", str(threshold), *map(str, fds)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=fds, env={}) as process:
            assert process.stdout
            offer = process.stdout.readline()
            _, said = process.communicate(export(bytes.fromhex(offer.decode())) if offer else b"", timeout=60)
    return process.returncode, said, paths


def combine(shares: Sequence[Path], kek: Path) -> subprocess.CompletedProcess[bytes]:
    with ExitStack() as stack:
        kek_fd = stack.enter_context(kek.open("wb")).fileno()
        fds = [stack.enter_context(path.open("rb")).fileno() for path in shares]
        command: list[str | Path] = [PROGRAM, "combine", str(kek_fd), *map(str, fds)]
        return subprocess.run(command, capture_output=True, check=False, pass_fds=[kek_fd, *fds], timeout=60, env={})


def refused(shares: Sequence[Path], kek: Path) -> str:
    """What it said; nothing was written."""
    done = combine(shares, kek)
    assert (done.returncode, done.stdout, kek.read_bytes()) == (3, b"", b"")
    return done.stderr.decode().removeprefix("vks-recovery: ")


@pytest.fixture
def shares(custodian: Custodian, tmp_path: Path) -> list[Path]:
    code, said, paths = split(export_of(custodian), tmp_path / "shares", 3, 5)
    assert (code, said) == (0, b"")
    return paths


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (3, 5), (16, 16)])
def test_as_many_as_it_takes_give_the_kek(custodian: Custodian, tmp_path: Path, threshold: int, count: int) -> None:
    """By another's arithmetic too; one fewer gives something else."""
    kek = (tmp_path / "kek").read_bytes()[KEK]
    code, _, paths = split(export_of(custodian), tmp_path / "shares", threshold, count)
    assert code == 0
    read = [ShareText.parse(path.read_text()) for path in paths]
    assert [(one.threshold, one.count, one.index) for one in read] == [(threshold, count, i + 1) for i in range(count)]
    assert {one.kek for one in read} == {bytes(custodian.status().kek_id).hex()}
    for some in itertools.islice(itertools.combinations(read, threshold), 20):
        assert interpolate(some) == kek
        assert interpolate(some[1:]) != kek


def test_kek_file_is_the_one_that_was(shares: list[Path], tmp_path: Path) -> None:
    """Of any three, in any order, and of all of them."""
    again = tmp_path / "again"
    for some in [*itertools.permutations(shares[:3]), *itertools.combinations(shares, 3), tuple(shares)]:
        done = combine(some, again)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode().strip() == ShareText.parse(shares[0].read_text()).kek
        assert again.read_bytes() == (tmp_path / "kek").read_bytes()


def test_another_set_each_time(custodian: Custodian, shares: list[Path], tmp_path: Path) -> None:
    """Of the same KEK; they do not mix."""
    _, _, others = split(export_of(custodian), tmp_path / "others", 3, 5)
    first, second = (ShareText.parse(path.read_text()) for path in (shares[0], others[0]))
    assert (first.kek, first.index) == (second.kek, second.index)
    assert (first.set, first.share) != (second.set, second.share)
    assert refused([*shares[:2], others[2]], tmp_path / "again").startswith("the shares are not of one set\nhint: ")


def test_each_digit_counts(shares: list[Path], tmp_path: Path) -> None:
    """One that was typed wrong is found, wherever it is; the others are not blamed."""
    text = shares[1].read_text()
    head_chars = text.index("\n", text.index("\n") + 1) + 1
    typed = tmp_path / "typed"
    digits = [position for position in range(head_chars, len(text)) if text[position] not in " \n"]
    for position in digits[::5]:
        typed.write_text(text[:position] + ("0" if text[position] != "0" else "1") + text[position + 1 :])
        assert refused([shares[0], typed, shares[2]], tmp_path / "again").startswith("share file 2 has a wrong digit\n")


def test_how_it_was_typed_does_not_matter(shares: list[Path], tmp_path: Path) -> None:
    """Capitals, blanks, other line ends."""
    lines = shares[1].read_text().splitlines()
    forms = [
        "\n".join([*lines[:2], "".join(lines[2:]).replace(" ", "").upper()]),
        "\r\n".join([*lines, "", ""]),
        "\n".join([lines[0], "", "\t".join(" ".join(lines[2:]).split())]),
    ]
    typed = tmp_path / "typed"
    for form in forms:
        typed.write_bytes(form.encode())
        done = combine([shares[0], typed, shares[2]], tmp_path / "again")
        assert (done.returncode, done.stderr) == (0, b""), form


def test_what_is_no_share(shares: list[Path], tmp_path: Path) -> None:
    """Anything: it is said which file it was."""
    text = shares[1].read_text()
    first, second, rest = text.split("\n", 2)
    other = tmp_path / "other"
    for content in [
        b"", b"\n", b"\0" * 5000, os.urandom(600), first.encode(), f"{first}\n{second}".encode(), f"{first}\n{second}\n".encode(),
        text[1:].encode(), text[:-2].encode(), (text + "0").encode(), (text + "zz").encode(), rest.encode(),
        f"{first}x\n{second}\n{rest}".encode(), (text + " " * 5000).encode()[:5000] + b"!",
        text.replace("a", "g").replace("0", "g").encode(),
    ]:  # fmt: skip
        other.write_bytes(content)
        said = refused([shares[0], other, shares[2]], tmp_path / "again")
        assert said == "share file 2 is no share of a key encryption key\n", content[:100]


def test_which_shares_are_given(shares: list[Path], tmp_path: Path) -> None:
    """Too few, one twice, and those that say what cannot be although their checksum fits."""
    again = tmp_path / "again"
    assert refused(shares[:2], again) == "too few shares: 3 of their set are needed\n"
    assert refused([shares[0], shares[1], shares[0]], again) == "one share was given twice\n"
    read = [ShareText.parse(path.read_text()) for path in shares[1:4]]
    does_not_fit = "the shares do not give the key encryption key that they are of\n"
    forged = [
        [replace(one, threshold=1) for one in read],
        [replace(one, threshold=0) for one in read],
        [replace(one, threshold=6) for one in read],
        [replace(one, count=17) for one in read],
        [replace(one, threshold=2) for one in read],
        [replace(one, index=(one.index - 1) % 3 + 2) for one in read],
        [replace(read[0], index=0), *read[1:]],
        [replace(read[0], index=6), *read[1:]],
        [replace(read[0], share=bytes(32)), *read[1:]],
        [replace(one, kek="00" * 8) for one in read],
    ]
    for case in forged:
        paths = [tmp_path / f"forged-{number}" for number in range(3)]
        for path, one in zip(paths, case, strict=True):
            path.write_text(one.write())
        assert refused(paths, again) == does_not_fit, case


def test_file_for_the_kek_must_be_empty(shares: list[Path], tmp_path: Path) -> None:
    """Nothing that is there is written over."""
    kek = tmp_path / "full"
    kek.write_bytes(b"x")
    with ExitStack() as stack:
        fds = [stack.enter_context(path.open("r+b")).fileno() for path in [kek, *shares]]
        done = subprocess.run([PROGRAM, "combine", *map(str, fds)], capture_output=True, check=False, pass_fds=fds)
    assert (done.returncode, kek.read_bytes()) == (1, b"x")
    assert done.stderr == b"vks-recovery: the file for the key encryption key is not empty\n"


def test_only_the_kek_for_this_offer_is_split(custodian: Custodian, tmp_path: Path) -> None:
    """What was wrapped to another one, as something else, or belongs to another id, gives no share."""
    export = export_of(custodian)
    other = bytes(16) + bytes([9]) + bytes(31)
    kek_id = bytes(custodian.status().kek_id)
    cases: list[Export] = [
        lambda _offer: export(other),
        lambda offer: kek_id + wrap(offer, lib.VKS_TYPE_ROOT_SECRET, bytes(32)),
        lambda offer: kek_id + wrap(offer, lib.VKS_TYPE_KEK, bytes(32)),
        lambda offer: bytes(8) + export(offer)[8:],
    ]
    for case in cases:
        code, said, paths = split(case, tmp_path / "shares", 2, 3)
        assert (code, said) == (1, NOT_FOR_US)
        assert [path.read_bytes() for path in paths] == [b""] * 3
    code, said, _ = split(lambda offer: export(offer)[:-1], tmp_path / "shares", 2, 3)
    assert (code, said) == (1, b"vks-recovery: nothing came for the offer\n")


def test_custodian_gives_it_to_a_key_only(custodian: Custodian) -> None:
    """A point of small order would make a secret that everybody knows; one that is locked has nothing to give."""
    assert custodian.call(lib.VKS_CUSTODIAN_ROOT_EXPORT, bytes(48)) == (-74, b"")
    with Custodian() as locked:
        assert locked.call(lib.VKS_CUSTODIAN_ROOT_EXPORT, os.urandom(48)) == (-126, b"")
        assert bytes(locked.status().kek_id) == bytes(8)


@pytest.mark.parametrize(
    "words",
    [
        [], ["split"], ["split", "2"], ["split", "2", "1"], ["split", "1", "1", "1"], ["split", "3", "1", "1"],
        ["split", "2", *["1"] * 17], ["split", "x", "1", "1"], ["split", "2", "1", "-1"], ["combine", "1"], ["join", "2", "1", "1"],
        ["split", " 2", "1", "1"], ["combine", "99999999999", "1", "1"],
    ],
)  # fmt: skip
def test_usage(words: list[str]) -> None:
    """One line, and nothing else happens."""
    done = subprocess.run([PROGRAM, *words], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    usage = b"vks-recovery: usage: vks-recovery split THRESHOLD FD... | combine KEK FD...\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", usage)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of a process that is not dumpable")
@pytest.mark.parametrize("verb", ["split", "combine"])
def test_kek_is_nowhere_in_its_memory(custodian: Custodian, shares: list[Path], tmp_path: Path, verb: str) -> None:
    """Nor a share of it: not where libgfshare puts them either; its usage is the control."""
    kek = (tmp_path / "kek").read_bytes()[KEK]
    reader, writer = os.pipe()
    os.write(writer, bytes(1 << 16))
    with ExitStack() as stack:
        fds = [stack.enter_context(path.open("rb")).fileno() for path in shares[:3]]
        again = stack.enter_context((tmp_path / "again").open("wb")).fileno()
        words = ["split", "2", str(writer), str(writer)] if verb == "split" else ["combine", str(again), *map(str, fds)]
        command: list[str | Path] = [PROGRAM, *words]
        stdout = writer if verb == "combine" else subprocess.PIPE
        process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, pass_fds=[writer, again, *fds])
        )
        stack.callback(process.kill)
        assert process.stdin
        if process.stdout:
            process.stdin.write(export_of(custodian)(bytes.fromhex(process.stdout.readline().decode())))
            process.stdin.close()
        os.close(writer)
        waits = ["1", hex(writer if process.stdout else 1)]
        # To write its first result: everything is done.
        while Path(f"/proc/{process.pid}/syscall").read_text().split()[:2] != waits:
            assert process.poll() is None
            os.sched_yield()
        wanted = [secret_bytes("kek", kek)]
        if verb == "combine":
            wanted += [secret_bytes(path.name, ShareText.parse(path.read_text()).share) for path in shares[:3]]
        report = SecretSearch([*wanted, CONTROL]).in_process(process.pid)
    os.close(reader)
    assert report.of(wanted) == []
    assert report.of([CONTROL])

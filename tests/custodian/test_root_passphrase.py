# SPDX-License-Identifier: Apache-2.0
"""vks-import takes the passphrase of the root of trust: from a terminal or a file, never as a key."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from custodian.custodian_process import LIBEXEC, Custodian, Secret
from custodian.kek_file import SealedKek
from custodian.test_import import PASSPHRASE, SOME_OFFER, fails, run, terminal

from vmm_keystore._vks import lib


@pytest.mark.parametrize("new", [False, True])
def test_passphrase_of_the_root_of_trust(custodian: Custodian, tmp_path: Path, new: bool) -> None:
    """From the terminal, a new one twice, or from a file: it arrives, and is no key."""
    what = "--new-root-passphrase" if new else "--root-passphrase"
    offer = custodian.offer()
    code, output, shown = terminal([what], [[PASSPHRASE, b"\r"]] * (2 if new else 1), offer.hex())
    assert code == 0, shown
    assert PASSPHRASE not in shown
    assert (b"once more for the vault" in shown) == new
    secret = Secret(lib.VKS_ROOT_SECRET_WRAPPED, offer[:16], output)
    assert custodian.change_root(tmp_path / "next", lib.VKS_ROOT_PASSPHRASE, secret=secret) == 0
    assert len(SealedKek.parse((tmp_path / "next").read_bytes()).open(PASSPHRASE)) == 32
    file = tmp_path / "file"
    file.write_bytes(PASSPHRASE + b"\n")
    offer = custodian.offer()
    done = run_words([what, "--passphrase-file", file], offer.hex())
    assert done.returncode == 0, done.stderr
    assert custodian.import_key(offer[:16], done.stdout)[0] == -errno.EINVAL


def test_passphrase_of_the_root_of_trust_that_is_refused(tmp_path: Path) -> None:
    """Two that differ, an empty one, nobody to ask; and a key and a passphrase at once are no usage."""
    new = ["--new-root-passphrase"]
    code, output, shown = terminal(new, [[PASSPHRASE, b"\r"], [PASSPHRASE[:-1], b"\r"]], SOME_OFFER)
    assert (code, output) == (5, b"")
    assert b"the two are not the same" in shown
    code, _output, shown = terminal(["--root-passphrase"], [[b"\r"]], SOME_OFFER)
    assert code == 5
    assert b"the passphrase is empty" in shown
    fails(run_words(["--root-passphrase"], SOME_OFFER), 5, "the vault is opened by a passphrase", "--passphrase-file")
    fails(run(tmp_path, "--root-passphrase"), 2, "one key or a passphrase, not both")


def run_words(words: Sequence[str | Path], offer: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program away from any terminal, without a key file."""
    command: list[str | Path] = [LIBEXEC / "vks-import", "--offer", offer, *words]
    nothing = subprocess.DEVNULL
    return subprocess.run(command, capture_output=True, check=False, start_new_session=True, stdin=nothing, env={})

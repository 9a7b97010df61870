# SPDX-License-Identifier: Apache-2.0
"""What is handed to the custodian: the KEK file, and keys to load."""

import os
import stat
from pathlib import Path

import pytest

from vmm_keystore._vks import lib
from vmm_keystore.errors import RootOfTrustError
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.key_values import KeyLoad
from vmm_keystore.workers.custodian_messages import LOAD_HEAD_BYTES, load_batches, load_entry
from vmm_keystore.workers.root_file import RootFile


def test_first_start_makes_an_empty_private_file(tmp_path: Path) -> None:
    """The custodian fills it: no Python ever reads a KEK."""
    fd, create = RootFile(tmp_path / "kek").open(may_create=True)
    os.close(fd)
    assert create
    assert stat.S_IMODE((tmp_path / "kek").stat().st_mode) == 0o600


def test_existing_file_is_opened_not_made(tmp_path: Path) -> None:
    """Also when the store is empty: the KEK of a fresh start is kept."""
    fd, _create = RootFile(tmp_path / "kek").open(may_create=True)
    os.write(fd, b"x" * 32)
    os.close(fd)
    fd, create = RootFile(tmp_path / "kek").open(may_create=True)
    os.close(fd)
    assert not create


def test_start_cut_short_before_the_kek_was_written(tmp_path: Path) -> None:
    """An empty file and an empty store: make the KEK now."""
    (tmp_path / "kek").touch(0o600)
    fd, create = RootFile(tmp_path / "kek").open(may_create=True)
    os.close(fd)
    assert create


@pytest.mark.parametrize("case", ["missing", "empty", "readable by others", "symbolic link"])
def test_kek_that_cannot_be_trusted_is_refused(tmp_path: Path, case: str) -> None:
    """With keys in the store a new KEK would make all of them useless: say so instead."""
    path = tmp_path / "kek"
    if case == "empty":
        path.touch(0o600)
    elif case == "readable by others":
        path.write_bytes(b"x" * 32)
        path.chmod(0o640)
    elif case == "symbolic link":
        (tmp_path / "elsewhere").write_bytes(b"x" * 32)
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RootOfTrustError) as caught:
        RootFile(path).open(may_create=False)
    assert str(path) in caught.value.message
    assert caught.value.hint


def load(sealed_bytes: int) -> KeyLoad:
    return KeyLoad(os.urandom(16), 1, KeyType.AES_256, 7, bytes(sealed_bytes))


@pytest.mark.parametrize("sealed_bytes", [0, 1, 7, 8, 100, 2600])
def test_entries_are_padded_to_eight(sealed_bytes: int) -> None:
    """The custodian walks entries at 8-byte steps."""
    entry = load_entry(load(sealed_bytes))
    assert len(entry) % 8 == 0
    assert len(entry) - sealed_bytes - 32 in range(8)


def test_many_keys_are_split_into_full_messages() -> None:
    """Every key exactly once, in order, and no message longer than a packet."""
    loads = [load(100 + index % 2600) for index in range(3000)]
    batches = load_batches(loads)
    assert [entry for batch in batches for entry in batch] == loads
    sizes = [LOAD_HEAD_BYTES + sum(len(load_entry(entry)) for entry in batch) for batch in batches]
    assert max(sizes) <= lib.VKS_IPC_BYTES_MAX
    assert all(size > lib.VKS_IPC_BYTES_MAX - 3000 for size in sizes[:-1])


def test_no_keys_need_no_message() -> None:
    """A guest without grants costs the custodian nothing."""
    assert load_batches([]) == []

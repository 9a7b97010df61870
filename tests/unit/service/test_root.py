# SPDX-License-Identifier: Apache-2.0
"""The order of a change of the root of trust, with what goes wrong in between."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unit.fakes import FakeDaemon

from vmm_keystore.errors import CustodianError, InvalidRequestError, WorkerError
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.key_values import WrappedSecret
from vmm_keystore.service.sealing import Sealing
from vmm_keystore.store.sealed import reseal_versions, root_file_name
from vmm_keystore.workers.root_file import RootFile

ADMIN = Actor(0, 1)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    opened = FakeDaemon(tmp_path)
    yield opened
    opened.close()


def keks(daemon: FakeDaemon) -> list[str]:
    return sorted(path.name for path in daemon.state_dir.glob("kek*"))


def name_in_store(daemon: FakeDaemon) -> str:
    with daemon.store.read() as connection:
        return root_file_name(connection)


def test_change_puts_its_file_in_place(daemon: FakeDaemon) -> None:
    """The store knows its name, nothing else is left, and it is on record."""
    daemon.keystore.keys.generate(ADMIN, "a", KeyType.AES_256, activate=True)
    root, count = daemon.keystore.root.change(ADMIN, RootKind.CREDENTIAL, None)
    assert (root.kind, root.is_open, count) == (RootKind.CREDENTIAL, True, 1)
    assert keks(daemon) == ["kek"]
    assert (daemon.state_dir / "kek").read_text() == "credential"
    assert name_in_store(daemon)


def test_file_that_cannot_be_put_in_place(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The custodian seals under the new KEK all the same; its file waits, and is put in place by the next start."""

    def full(_file: RootFile, _name: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(RootFile, "finish", full)
        with pytest.raises(WorkerError, match="the new kek file is not in place yet: read-only file system"):
            daemon.keystore.root.change(ADMIN, RootKind.CREDENTIAL, None)
    assert daemon.keystore.root.show().kind is RootKind.CREDENTIAL
    name = name_in_store(daemon)
    assert keks(daemon) == [f"kek.{name}"]
    daemon.keystore.root.recover()
    assert keks(daemon) == [f"kek.{name}"]
    RootFile(daemon.state_dir / "kek").finish(name)
    assert (daemon.state_dir / "kek").read_text() == "credential"


def test_change_that_fails_leaves_nothing(daemon: FakeDaemon) -> None:
    """Nor does one that an earlier daemon did not commit."""
    (daemon.state_dir / "kek.0123456789abcdef").touch()
    daemon.custodian.broken = True
    with pytest.raises(CustodianError):
        daemon.keystore.root.change(ADMIN, RootKind.FILE, None)
    assert (keks(daemon), name_in_store(daemon)) == ([], "")


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        (RootKind.PASSPHRASE, None),
        (RootKind.FILE, WrappedSecret(bytes(16), b"")),
        (RootKind.TPM, WrappedSecret(b"", b"")),
        (RootKind.HSM, WrappedSecret(b"", b"")),
    ],
)
def test_passphrase_goes_with_its_kind(daemon: FakeDaemon, kind: RootKind, secret: WrappedSecret | None) -> None:
    """And with no other."""
    with pytest.raises(InvalidRequestError):
        daemon.keystore.root.change(ADMIN, kind, secret)


def test_every_version_is_sealed_anew_in_batches(daemon: FakeDaemon) -> None:
    """Each once, whatever the batch; destroyed ones have nothing to seal."""
    for number in range(7):
        daemon.keystore.keys.generate(ADMIN, f"k{number}", KeyType.AES_128, activate=True)
    daemon.keystore.keys.rotate(ADMIN, "k0")
    batches: list[int] = []

    def reseal(versions: Any) -> list[bytes]:
        batches.append(len(versions))
        return [b"new:" + blob for *_, blob in versions]

    with daemon.store.write() as connection:
        assert reseal_versions(connection, reseal, batch=3) == 8
    assert batches == [3, 3, 2]
    with daemon.store.write() as connection:
        assert reseal_versions(connection, lambda versions: [blob for *_, blob in versions if blob[:4] == b"new:"]) == 8


def test_overwritten_file_needs_no_luck(tmp_path: Path) -> None:
    """A successor that is put in place twice, or was never there, changes nothing."""
    file = RootFile(tmp_path / "kek")
    file.path.write_bytes(b"before")
    file.finish("0123456789abcdef")
    assert file.path.read_bytes() == b"before"
    with file.successor() as (name, fd):
        os.write(fd, b"after")
    file.finish(name)
    file.finish(name)
    assert file.path.read_bytes() == b"after"


def test_sealing_keeps_keys_and_keks_apart() -> None:
    """New keys side by side; a new KEK alone, and next in line once it waits."""
    sealing = Sealing()
    order: list[str] = []
    started = threading.Event()

    def change() -> None:
        started.set()
        with sealing.new_kek():
            order.append("kek")

    def make() -> None:
        with sealing.new_key():
            order.append("key")

    with sealing.new_key():
        with sealing.new_key():
            order.append("two keys")
        changer = threading.Thread(target=change)
        changer.start()
        started.wait()
        while not sealing._changing:
            pass
        maker = threading.Thread(target=make)
        maker.start()
        assert order == ["two keys"]
    changer.join()
    maker.join()
    assert order == ["two keys", "kek", "key"]

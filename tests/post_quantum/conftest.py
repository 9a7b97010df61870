# SPDX-License-Identifier: Apache-2.0
"""The programs of a Debian 13, whose OpenSSL has ML-DSA and ML-KEM, in the hands of the tests of this machine's."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from custodian import custodian_process
from custodian.custodian_process import Custodian
from framework import with_programs
from framework.debian13 import debian13_programs
from framework.keystored import Keystored
from protocol.worker_rig import Bench, Zygote, running_bench, running_zygote


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """To make a Debian takes root and mmdebstrap, and on a fresh machine its time."""
    lacks = "only root can make a Debian" if os.geteuid() else ""
    if not shutil.which("mmdebstrap"):
        lacks = "no mmdebstrap"
    for item in items:
        if item.path.parent == Path(__file__).parent and "debian13" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))
            if lacks:
                item.add_marker(pytest.mark.skip(reason=lacks))


@pytest.fixture(scope="session")
def debian13() -> Path:
    """The folder with its programs and C tests."""
    return debian13_programs()


@pytest.fixture(scope="module")
def zygote(debian13: Path) -> Iterator[Zygote]:
    """Give its zygote, warmed up once."""
    with running_zygote(debian13) as zygote:
        yield zygote


@pytest.fixture
def bench(zygote: Zygote) -> Iterator[Bench]:
    """Give one of its workers with a running ring and no keys."""
    with running_bench(zygote) as bench:
        yield bench


@pytest.fixture
def custodian(debian13: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Custodian]:
    """Its custodian, KEK made."""
    monkeypatch.setattr(custodian_process, "LIBEXEC", debian13)
    with Custodian() as process:
        assert process.open_root(tmp_path / "kek", create=True) == 0
        yield process


@pytest.fixture
def keystored13(debian13: Path) -> Iterator[Keystored]:
    """Run keystored with the programs of a Debian 13."""
    with Keystored(program=(sys.executable, with_programs.__file__, str(debian13))) as keystored:
        yield keystored

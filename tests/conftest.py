# SPDX-License-Identifier: Apache-2.0
"""A real keystored for whichever test asks for one."""

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from framework.keystored import Keystored


@pytest.fixture
def vault() -> Iterator[Keystored]:
    """Run keystored on a fresh state directory, for this test alone."""
    with Keystored() as keystored:
        yield keystored


@pytest.fixture(scope="module")
def shared_vault() -> Iterator[Keystored]:
    """Run keystored for a whole module; its tests use names of their own."""
    with Keystored() as keystored:
        yield keystored


@pytest.fixture
def tmpfs_folder() -> Iterator[Path]:
    """Make a folder on tmpfs with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="vks-") as path:
        yield Path(path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several run at a time, begin with the files that take longest, by their tests' limits."""
    if not hasattr(config, "workerinput"):
        return
    limit_s: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        limit_s[item.path] = max(limit_s.get(item.path, 0), mark.args[0] if mark else 0)
    items.sort(key=lambda item: -limit_s[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the daemon logged with a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        daemons = [value for value in item.funcargs.values() if isinstance(value, Keystored)]
        report.sections += [("keystored's log, its end", "".join(daemon.log[-40:])) for daemon in daemons]
    return report

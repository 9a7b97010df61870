# SPDX-License-Identifier: Apache-2.0
"""What several tests here start from: a running loop, a guest of a real keystored."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework.hsm_vault import keystored, seal, with_keys
from framework.keystored import Keystored
from framework.software_hsm import SoftwareHsm
from framework.systemd_machine import SystemdMachine, has_control_groups
from framework.systemd_service import FOLDERS

from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.state_memory import prepare_runtime_dir


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Give a loop on its own thread."""
    running = Loop("test-loop")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A folder for state memory."""
    path = Path(f"/dev/shm/vmm-keystore-test-{os.getpid()}")
    prepare_runtime_dir(path)
    yield path
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


@pytest.fixture
def guest_socket(vault: Keystored) -> Path:
    """A guest with a key it may sign with."""
    socket = vault.add_guest("g")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("g", "key", ["sign"])
    return socket


@pytest.fixture
def hsm() -> Iterator[SoftwareHsm]:
    """A software HSM with one token."""
    with SoftwareHsm() as made:
        yield made


@pytest.fixture
def token_vault(hsm: SoftwareHsm) -> Iterator[Keystored]:
    """One whose keys this token opens."""
    with keystored(hsm) as started:
        seal(with_keys(started))
        yield started


@pytest.fixture
def shim(hsm: SoftwareHsm) -> Path:
    """The module that counts logins and causes trouble."""
    return hsm.compile_shim()


@pytest.fixture
def shim_vault(hsm: SoftwareHsm, shim: Path) -> Iterator[Keystored]:
    """A vault that the token opens through that module."""
    with keystored(hsm, shim) as started:
        seal(with_keys(started))
        yield started


@pytest.fixture
def machine() -> Iterator[SystemdMachine]:
    """A systemd with our programs."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a systemd")
    if not has_control_groups():
        pytest.skip("no control groups of version 2 are mounted")
    with SystemdMachine(FOLDERS) as machine:
        yield machine

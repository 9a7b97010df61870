# SPDX-License-Identifier: Apache-2.0
"""The packages, built from this tree, and a fresh Debian with a systemd to install them in."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework.systemd_machine import SystemdMachine, has_control_groups
from qemu_images.cache import digest, entry, say
from qemu_images.debian_root import debian_root, dependencies

PROJECT = Path(__file__).resolve().parents[2]
INSTALL_WAIT_S = 240
OTHERS = ("cryptsetup-bin", "libjson-c5", "opensc", "p11-kit", "p11-kit-modules", "python3")
"""What uses the guest's packages, or is used by them."""
BESIDE = r"^(tests|qemu-images|\.ci)/|^(Makefile|CHANGELOG\.md|CONTRIBUTING\.md)$"
"""What no package is made of."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes root and control groups."""
    reason = "only root can start a systemd" if os.geteuid() else "no control groups of version 2 are mounted"
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(900))
            if os.geteuid() or not has_control_groups():
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def debs() -> Path:
    """The folder of packages; built once for a state of the sources."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = [name for name in sorted(listing.split("\0")) if name and not re.search(BESIDE, name)]
    files = [(name, (PROJECT / name).read_bytes()) for name in names if (PROJECT / name).is_file()]

    def build(folder: Path) -> None:
        say("Debian packages of this tree")
        subprocess.run([PROJECT / "tools/build-deb", folder], stdout=subprocess.DEVNULL, check=True)

    return entry("packages", digest(*(part for file in files for part in file)), build)


@pytest.fixture(scope="module")
def host(debs: Path) -> Iterator[SystemdMachine]:
    """A host without anything of ours."""
    root = debian_root(["systemd"], dependencies(one(debs, "vmm-keystore")))
    with SystemdMachine([debs], root) as machine:
        yield machine


@pytest.fixture(scope="module")
def guest(debs: Path) -> Iterator[SystemdMachine]:
    """A guest with a kernel's headers, and without anything of ours."""
    packages = ["dkms", "gcc", "libc6-dev", "linux-headers-cloud-amd64", "pkg-config", "systemd", "udev"]
    with SystemdMachine([debs], debian_root([*packages, *OTHERS])) as machine:
        yield machine


def one(debs: Path, name: str) -> Path:
    """The package of a name."""
    (path,) = debs.glob(f"{name}_*.deb")
    return path


def install(machine: SystemdMachine, debs: Path, *names: str, again: bool = False) -> None:
    """Install packages with what they depend on, *again* as for an upgrade where they are installed already."""
    files = [str(one(debs, name)) for name in names]
    apt(machine, "install", *(["--reinstall"] if again else []), *files)


def apt(machine: SystemdMachine, *words: str) -> str:
    """One command of apt's; what it said."""
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "-o", "APT::Sandbox::User=root", *words]
    return machine.run(*command, wait_s=INSTALL_WAIT_S).stdout

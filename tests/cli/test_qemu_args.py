# SPDX-License-Identifier: Apache-2.0
"""The QEMU options of a guest: each line of the carrier, and what differs between versions and accelerators."""

import json
import shlex
from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.control_fake import ControlFake

from vmm_keystore.cli.qemu_args import Accelerator, build_options, parse_version
from vmm_keystore.errors import KeystoreError


def _device(version: tuple[int, int], accel: Accelerator) -> str:
    return build_options("web", Path("/s"), version=version, accel=accel, memory="256M")[-1]


def test_options_for_qemu_7_2_under_tcg() -> None:
    assert build_options("web", Path("/run/web.sock"), version=(7, 2), accel=Accelerator.TCG, memory="512M") == [
        "-object",
        "memory-backend-memfd,id=vks-memory,size=512M,share=on",
        "-machine",
        "q35,accel=tcg,memory-backend=vks-memory",
        "-m",
        "512M",
        "-chardev",
        "socket,id=vks-socket,path=/run/web.sock",
        "-object",
        "cryptodev-vhost-user,id=vks-web,chardev=vks-socket",
        "-device",
        "pcie-root-port,id=vks-port,chassis=117",
        "-device",
        "virtio-crypto-pci,id=vks-device,bus=vks-port,cryptodev=vks-web,vectors=0",
    ]


@pytest.mark.parametrize(
    ("version", "accel", "without_msix"),
    [
        ((7, 2), Accelerator.TCG, True),
        ((10, 0), Accelerator.TCG, True),
        ((11, 1), Accelerator.TCG, False),
        ((7, 2), Accelerator.KVM, False),
        ((11, 1), Accelerator.KVM, False),
    ],
)
def test_only_an_old_tcg_goes_without_msix(version: tuple[int, int], accel: Accelerator, *, without_msix: bool) -> None:
    """QEMU 7.2 under TCG dies while it sets up MSI-X."""
    assert ("vectors=0" in _device(version, accel)) is without_msix


def test_a_comma_in_the_socket_path_does_not_become_an_option() -> None:
    options = build_options("web", Path("/run/a,server=on"), version=(7, 2), accel=Accelerator.TCG, memory="1G")
    assert "socket,id=vks-socket,path=/run/a,,server=on" in options


@pytest.mark.parametrize(
    ("text", "version"), [("7.2", (7, 2)), ("7.2.22", (7, 2)), ("10.0.13+ds-0+deb13u1", (10, 0)), ("11.1.3", (11, 1))]
)
def test_versions_as_debian_and_qemu_write_them(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "7", "new", "v7.2", "6.2.0", "7.1"])
def test_other_versions_are_refused(text: str) -> None:
    with pytest.raises(KeystoreError):
        parse_version(text)


def test_one_line_for_the_shell_and_a_list_for_programs(cli: Cli, fake: ControlFake) -> None:
    """Both name the socket that keystored knows, and say the same."""
    fake.answer("GET /v1/guests/web", {"name": "web", "socket": "/run/my vm/web.sock"})
    line = cli("qemu-args", "web", "--qemu", "7.2", "--accel", "tcg")
    listed = cli("qemu-args", "web", "--qemu", "7.2", "--accel", "tcg", "--json")
    assert line.stdout.count("\n") == 1
    assert shlex.split(line.stdout) == listed.facts
    assert "socket,id=vks-socket,path=/run/my vm/web.sock" in listed.facts


def test_replug_is_a_command_a_line_and_a_list(cli: Cli, fake: ControlFake) -> None:
    """Both take away what the options gave, and give it again."""
    fake.answer("GET /v1/guests/web", {"name": "web", "socket": "/run/my vm/web.sock"})
    lines = cli("qemu-args", "web", "--qemu", "11.1", "--accel", "tcg", "--replug")
    listed = cli("qemu-args", "web", "--qemu", "11.1", "--accel", "tcg", "--replug", "--json")
    assert [json.loads(line) for line in lines.stdout.splitlines()] == listed.facts
    verbs = [entry["execute"] for entry in listed.facts]
    assert verbs == ["device_del", "object-del", "chardev-remove", "chardev-add", "object-add", "device_add"]
    assert listed.facts[3]["arguments"]["backend"]["data"]["addr"]["data"]["path"] == "/run/my vm/web.sock"
    assert listed.facts[5]["arguments"] == {
        "driver": "virtio-crypto-pci",
        "id": "vks-device",
        "bus": "vks-port",
        "cryptodev": "vks-web",
    }

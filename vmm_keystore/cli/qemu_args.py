# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore qemu-args``: the options that give a virtual machine its vault device, and the way to a new one.

The tests boot their guests with exactly these, so that what users are told is what was tried.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vmm_keystore.cli.complete import complete_guest
from vmm_keystore.cli.failure import UsageError
from vmm_keystore.cli.output import show_json
from vmm_keystore.cli.session import Session, command

app = typer.Typer()

OLDEST_QEMU = (7, 2)
# Under TCG older ones set up MSI-X through a KVM pointer and die; without vectors the device uses INTx.
TCG_MSIX_QEMU = (11, 1)
# Numbers of root ports must differ; yours probably count from 0 or 1.
PORT_CHASSIS = 117


class Accelerator(StrEnum):
    """What runs the guest's code."""

    KVM = "kvm"
    TCG = "tcg"


@command(app, "qemu-args")
def qemu_args(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the guest.", autocompletion=complete_guest)],
    *,
    qemu: Annotated[
        str | None,
        typer.Option("--qemu", metavar="VERSION", help="Version of QEMU, like 7.2; else options that suit every one."),
    ] = None,
    accel: Annotated[
        str | None, typer.Option("--accel", metavar="NAME", help="kvm or tcg; else kvm where this machine has it.")
    ] = None,
    memory: Annotated[
        str, typer.Option("--memory", metavar="SIZE", help="Memory of the guest, like 512M or 4G.")
    ] = "256M",
    replug: Annotated[
        bool,
        typer.Option(
            "--replug",
            help="Print QMP commands instead, one a line, that take the device away from a running guest and give it "
            "a new one: for one whose connection was lost. The second has to wait for the event DEVICE_DELETED.",
        ),
    ] = False,
) -> None:
    """Print the QEMU options for a guest."""
    version = OLDEST_QEMU if qemu is None else parse_version(qemu)
    accelerator = usable_accelerator() if accel is None else parse_accelerator(accel)
    check_memory(memory)
    guest = session.keystored.get("guests", name)
    if replug:
        commands = build_replug(name, Path(guest["socket"]), version=version, accel=accelerator)
        if session.as_json:
            show_json(commands)
        else:
            print("\n".join(map(json.dumps, commands)))
        return
    options = build_options(name, Path(guest["socket"]), version=version, accel=accelerator, memory=memory)
    if session.as_json:
        show_json(options)
    else:
        print(shlex.join(options))


def build_options(name: str, socket: Path, *, version: tuple[int, int], accel: Accelerator, memory: str) -> list[str]:
    """Build the options for one guest.

    Args:
        name: the guest; becomes part of the object ids, so that they cannot meet ids of other devices.
        socket: where keystored listens for this guest.
        version: QEMU's major and minor version.
        accel: KVM or TCG.
        memory: size as QEMU writes it.
    """
    device = ",".join(f"{key}={value}" for key, value in device_properties(name, version, accel).items())
    return [
        # The vault reads requests out of the guest's memory: it must be shared.
        *("-object", f"memory-backend-memfd,id=vks-memory,size={memory},share=on"),
        *("-machine", f"q35,accel={accel},memory-backend=vks-memory"),
        *("-m", memory),
        *("-chardev", f"socket,id=vks-socket,path={_escape(str(socket))}"),
        *("-object", f"cryptodev-vhost-user,id=vks-{name},chardev=vks-socket"),
        # A port of its own: a device on the root bus could not be unplugged.
        *("-device", f"pcie-root-port,id=vks-port,chassis={PORT_CHASSIS}"),
        *("-device", device.removeprefix("driver=")),
    ]


def build_replug(name: str, socket: Path, *, version: tuple[int, int], accel: Accelerator) -> list[dict[str, Any]]:
    """Build the QMP commands that exchange the device that :func:`build_options` gave a guest."""
    address = {"type": "unix", "data": {"path": str(socket)}}
    backend = {"type": "socket", "data": {"addr": address, "server": False}}
    commands: list[tuple[str, dict[str, Any]]] = [
        ("device_del", {"id": "vks-device"}),
        ("object-del", {"id": f"vks-{name}"}),
        ("chardev-remove", {"id": "vks-socket"}),
        ("chardev-add", {"id": "vks-socket", "backend": backend}),
        ("object-add", {"qom-type": "cryptodev-vhost-user", "id": f"vks-{name}", "chardev": "vks-socket"}),
        ("device_add", device_properties(name, version, accel)),
    ]
    return [{"execute": verb, "arguments": arguments} for verb, arguments in commands]


def device_properties(name: str, version: tuple[int, int], accel: Accelerator) -> dict[str, Any]:
    """The device as ``device_add`` takes it."""
    properties: dict[str, Any] = {"driver": "virtio-crypto-pci", "id": "vks-device", "bus": "vks-port"}
    properties["cryptodev"] = f"vks-{name}"
    if accel is Accelerator.TCG and version < TCG_MSIX_QEMU:
        properties["vectors"] = 0
    return properties


def parse_version(text: str) -> tuple[int, int]:
    """Read major and minor out of a version such as ``7.2.22`` or ``10.0.13+ds``."""
    found = re.match(r"(\d+)\.(\d+)(?![\d])", text)
    if not found:
        raise UsageError(f"--qemu is not a version: {text!r}", "write it like 7.2 or 11.1.3")
    version = int(found[1]), int(found[2])
    if version < OLDEST_QEMU:
        raise UsageError(f"qemu {text} is too old", "it takes qemu 7.2 or newer")
    return version


def parse_accelerator(text: str) -> Accelerator:
    """Read the name of an accelerator."""
    try:
        return Accelerator(text)
    except ValueError as error:
        raise UsageError(f"unknown accelerator '{text}'", "one of: kvm, tcg") from error


def check_memory(text: str) -> None:
    """Refuse what QEMU would not take, or would take for something else."""
    if not re.fullmatch(r"[1-9]\d*[MG]", text):
        raise UsageError(f"--memory is not a size: {text!r}", "write it like 512M or 4G")


def usable_accelerator() -> Accelerator:
    """Say what a QEMU started by this user would use.

    A /dev/kvm alone proves little: inside some virtual machines it is there and QEMU dies on it, since the processor
    offers no virtualisation of its own.
    """
    with Path("/proc/cpuinfo").open() as cpuinfo:
        flags = next((line.split() for line in cpuinfo if line.startswith("flags")), [])
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and bool({"vmx", "svm"} & set(flags))
    return Accelerator.KVM if usable else Accelerator.TCG


def _escape(value: str) -> str:
    # In QEMU's option syntax a comma ends a value unless it is doubled.
    return value.replace(",", ",,")

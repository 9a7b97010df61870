# SPDX-License-Identifier: Apache-2.0
"""The module on the kernels after Debian 12's: Debian 13's and that of its backports, against a real keystored.

What a driver does with a device in general is tested on 6.1; here is what a new kernel can break: that the one source
builds, loads, carries requests, and lets go.
"""

import json
import subprocess
from dataclasses import dataclass
from typing import Any, cast

import pytest
from framework.keystored import Keystored
from framework.qemu import QemuGuest, qemu_version
from guest.boot import Boot
from qemu_images.keystore import content

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

KERNELS = ["6.12", "7.3"]
MESSAGE = b"signed on another kernel"
READY = "for i in $(seq 100); do test -e /dev/keystore0 && exit 0; sleep 0.1; done; exit 1"


@dataclass(frozen=True)
class Place:
    """A booted guest, its vault, its name there, and the QMP commands that exchange its device."""

    guest: QemuGuest
    vault: Keystored
    name: str
    replug: list[dict[str, Any]]


@pytest.fixture(scope="module", params=KERNELS)
def place(request: pytest.FixtureRequest, shared_vault: Keystored, boot_for_module: Boot) -> Place:
    """Boot a guest with the kernel the parameter names and one key."""
    name = f"linux-{request.param}".replace(".", "-")
    shared_vault.add_guest(name)
    shared_vault.api.generate(f"{name}-key", "ec-p256")
    shared_vault.api.grant(name, f"{name}-key", ["sign"])
    words = ["qemu-args", name, "--qemu", "{}.{}".format(*qemu_version(["qemu-system-x86_64"])), "--accel", "tcg"]
    guest = boot_for_module(f"qemu-cloud-{request.param}", content(), devices=shared_vault.facts(*words))
    return Place(cast("QemuGuest", guest), shared_vault, name, shared_vault.facts(*words, "--replug"))


def openssl_verifies(place: Place) -> None:
    """The guest signs; openssl on the host says what it thinks of the signature, and of another message."""
    folder = place.vault.folder
    (folder / "public.pem").write_text(place.vault.cli("key", "public", f"{place.name}-key").stdout)
    (folder / "signature").write_bytes(place.guest.run(f"vks sign {place.name}-key", stdin=MESSAGE).stdout)
    words = ["openssl", "dgst", "-sha256", "-verify", str(folder / "public.pem")]
    words += ["-signature", str(folder / "signature")]
    subprocess.run(words, input=MESSAGE, check=True, capture_output=True)
    assert subprocess.run(words, input=MESSAGE + b"!", check=False, capture_output=True).returncode == 1


def test_the_kernel_is_the_one_named(place: Place) -> None:
    """A kernel that fell forward with the mirror may be newer than its name, never older."""
    named = place.name.removeprefix("linux-").split("-")
    assert [int(part) for part in place.guest.run("uname -r").text.split(".")[:2]] >= [int(part) for part in named]


def test_keys_are_listed_and_used(place: Place) -> None:
    """``doctor`` finds nothing wrong, ``list`` shows the one key, and its signature is good."""
    report = place.guest.run("vks doctor").text
    assert "/dev/keystore0" in report
    assert [key["label"] for key in json.loads(place.guest.run("vks list --json").stdout)] == [f"{place.name}-key"]
    openssl_verifies(place)


def test_module_is_unloaded_and_loaded_again(place: Place) -> None:
    """Unloading waits for who has the node open, and takes it away; loading brings it back, and it works."""
    holder = place.guest.start("exec 3</dev/keystore0; echo held; cat")
    assert holder.wait_for_output(b"held\n", timeout=10)
    assert place.guest.run("rmmod virtio_keystore", check=False).status != 0
    holder.end_input()
    assert holder.wait(10)
    place.guest.run("rmmod virtio_keystore && ! test -e /dev/keystore0")
    place.guest.run(f"modprobe virtio_keystore && {READY}")
    openssl_verifies(place)


def test_device_is_unplugged_and_plugged(place: Place) -> None:
    """Hot-unplug takes the node away under an open file, which is closed without harm; a new device works."""
    qmp = place.guest.qmp
    holder = place.guest.start("exec 3</dev/keystore0; echo held; cat")
    assert holder.wait_for_output(b"held\n", timeout=10)
    for command in place.replug:
        qmp.command(command["execute"], **command["arguments"])
        if command["execute"] == "device_del":
            qmp.wait_event("DEVICE_DELETED", match=lambda event: "vks-device" in str(event["data"]))
            place.guest.run("! test -e /dev/keystore0")
    place.guest.run(READY)
    holder.end_input()
    assert holder.wait(10)
    openssl_verifies(place)

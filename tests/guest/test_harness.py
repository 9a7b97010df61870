# SPDX-License-Identifier: Apache-2.0
"""The harness keeps its own promises, the same in both kinds of guest, before anything else is tested with it."""

import hashlib
import random
from pathlib import Path
from typing import cast

import pytest
from framework.echo_device import EchoFactory
from framework.guest import CommandFailed, Guest, GuestDied, KernelComplained
from framework.qemu import QemuGuest, qemu_version
from framework.uml import UmlGuest
from guest.boot import Boot
from qemu_images.images import Content, uml_image
from qemu_images.kernel import ModuleSource
from qemu_images.qemu import qemu_11

from vmm_keystore.cli.qemu_args import Accelerator, build_options
from vmm_keystore.vhost_user.listener import GuestSocket
from vmm_keystore.vhost_user.server import Server

PLANTED_BUG = Content((ModuleSource(Path(__file__).parent / "planted_bug"),))
KINDS = [pytest.param("uml-plain", marks=pytest.mark.uml), pytest.param("qemu-cloud", marks=pytest.mark.qemu)]


def pattern(seed: int, size: int) -> bytes:
    """Bytes of every value, the same in each run."""
    return random.Random(seed).randbytes(size)  # noqa: S311  no secret


@pytest.fixture(scope="module", params=KINDS)
def guest(request: pytest.FixtureRequest, boot_for_module: Boot) -> Guest:
    """One guest of each kind for all tests that leave it as it was."""
    return boot_for_module(request.param)


def test_standard_output_is_the_answer(guest: Guest) -> None:
    """A guest command is one line of a test."""
    assert guest.run("echo hello; echo aside >&2").text == "hello"


@pytest.mark.parametrize(("command", "status"), [("true", 0), ("exit 3", 3), ("no-such-program", 127)])
def test_exit_status(guest: Guest, command: str, status: int) -> None:
    """The status is the command's own."""
    assert guest.run(command, check=False).status == status


def test_signal_is_a_negative_status(guest: Guest) -> None:
    """A command that a signal ended is told from one that chose to fail."""
    assert guest.run("kill -9 $$", check=False).status == -9


def test_failure_carries_standard_error(guest: Guest) -> None:
    """A failing line of a test says by itself what went wrong."""
    with pytest.raises(CommandFailed, match=r"ended with status 2: it broke"):
        guest.run("echo it broke >&2; exit 2")


def test_slow_command_is_killed(guest: Guest) -> None:
    """A command that hangs costs its timeout, not the guest."""
    with pytest.raises(CommandFailed, match="did not end within"):
        guest.run("exec sleep 9977", timeout=0.2)
    guest.run("for i in 1 2 3 4 5 6 7 8 9; do pgrep -f 'sleep 9977' >/dev/null || exit 0; sleep 0.1; done; exit 1")


def test_big_binary_input_and_output(guest: Guest) -> None:
    """A mebibyte of any bytes goes in and comes back."""
    data = pattern(1, 1 << 20)
    assert guest.run("cat", stdin=data).stdout == data


def test_output_larger_than_every_buffer(guest: Guest) -> None:
    """Output is not cut and standard error not mixed in."""
    done = guest.run("seq 200000; seq 1000 >&2")
    assert done.stdout == b"".join(b"%d\n" % number for number in range(1, 200001))
    assert done.stderr == b"".join(b"%d\n" % number for number in range(1, 1001))


def test_input_nobody_reads(guest: Guest) -> None:
    """A command may end without reading what it was given."""
    assert guest.run("true", stdin=bytes(300_000)).status == 0


def test_files_go_in_and_out(guest: Guest) -> None:
    """A pushed file has its content and mode."""
    data = pattern(2, 200_001)
    guest.push(data, "/tmp/a file", mode=0o755)
    assert guest.pull("/tmp/a file") == data
    assert guest.run("stat -c %a '/tmp/a file'; sha256sum <'/tmp/a file'").text.split()[:2] == [
        "755",
        hashlib.sha256(data).hexdigest(),
    ]


def test_commands_run_side_by_side(guest: Guest) -> None:
    """A started command talks while others run."""
    first, second = guest.start("cat"), guest.start("while read -r line; do echo got $line; done")
    second.send(b"this\n")
    assert second.wait_for_output(b"got this\n", timeout=10)
    first.send(b"that")
    assert first.wait_for_output(b"that", timeout=10)
    assert guest.run("echo meanwhile").text == "meanwhile"
    for job in (first, second):
        job.end_input()
        assert job.wait(timeout=10)
        assert job.status == 0


@pytest.mark.parametrize("kind", KINDS)
def test_panic_is_reported(boot: Boot, kind: str) -> None:
    """A guest that dies ends the command in work at once, with the reason."""
    dying = boot(kind, PLANTED_BUG)
    with pytest.raises(GuestDied, match=r"during `modprobe .*\nits kernel: Kernel panic - not syncing: planted panic"):
        dying.run("modprobe planted_bug bug=panic")
    with pytest.raises(GuestDied):
        dying.run("true")
    assert dying.console.take_complaints() != []


@pytest.mark.parametrize("kind", KINDS)
def test_kernel_warning_fails_the_test(boot: Boot, kind: str) -> None:
    """What the guest's kernel complains of is a failure, even if every command passed."""
    warned = boot(kind, PLANTED_BUG)
    warned.run("modprobe planted_bug bug=warning")
    with pytest.raises(KernelComplained, match=r"its kernel: WARNING: .*planted_bug"):
        warned.__exit__(None, None, None)
    warned.console.take_complaints()


@pytest.mark.parametrize("kind", KINDS)
def test_vhost_user_device_appears(boot: Boot, tmp_path: Path, kind: str) -> None:
    """The device a test names is there when the guest is ready; on QEMU by the arguments that users are told."""
    path = tmp_path / "device.sock"
    with Server() as server:
        server.add_guest(GuestSocket("web1", path), EchoFactory())
        if kind == "uml-plain":
            guest = boot(kind, devices=[(path, 20)])
        else:
            version = qemu_version(["qemu-system-x86_64"])
            guest = boot(
                kind, devices=build_options("web1", path, version=version, accel=Accelerator.TCG, memory="256M")
            )
        assert "0x0014" in guest.run("cat /sys/bus/virtio/devices/*/device").text.split()
        guest.close()


@pytest.mark.uml
@pytest.mark.parametrize(
    ("bug", "complaint"),
    [
        ("out-of-bounds", "BUG: KASAN: slab-out-of-bounds"),
        ("use-after-free", "BUG: KASAN: use-after-free"),
        ("lock-inversion", "WARNING: possible circular locking dependency"),
    ],
)
def test_checking_kernel_catches_planted_bug(boot: Boot, bug: str, complaint: str) -> None:
    """The kernel that is to find the driver's mistakes finds planted ones, in an out-of-tree module."""
    checked = boot("uml-kasan", PLANTED_BUG)
    assert checked.console.complaints() == []
    checked.run("modprobe planted_bug")
    checked.run("rmmod planted_bug")
    assert checked.console.complaints() == []
    checked.run(f"modprobe planted_bug bug={bug}")
    assert checked.console.take_complaints()[0].startswith(complaint)


@pytest.mark.uml
def test_guest_that_does_not_come_up(tmp_path: Path) -> None:
    """A broken image fails at once and says what the guest said."""
    broken = tmp_path / "initrd"
    broken.write_bytes(b"no archive")
    linux = uml_image("plain", Content()).kernel
    with pytest.raises(GuestDied, match=r"guest not ready: .*\nits kernel: Kernel panic"), UmlGuest(linux, broken):
        pass


@pytest.mark.qemu
def test_memory_is_searchable(boot: Boot, tmp_path: Path) -> None:
    """A saved memory image holds what a guest process holds, so that searching it can fail."""
    qemu = cast("QemuGuest", boot("qemu-cloud"))
    marker = pattern(3, 32)
    qemu.push(marker, "/tmp/marker")
    qemu.save_memory(tmp_path / "memory")
    memory = (tmp_path / "memory").read_bytes()
    assert len(memory) == 256 << 20
    assert marker in memory
    assert marker[::-1] not in memory
    assert qemu.run("echo it goes on").text == "it goes on"


@pytest.mark.qemu
def test_hot_plug_and_unplug(boot: Boot) -> None:
    """A device comes and goes over QMP while the guest runs."""
    port = ["-device", "pcie-root-port,id=port0,chassis=1"]
    qemu = cast("QemuGuest", boot("qemu-cloud", devices=port))
    present = "cat /sys/bus/virtio/devices/*/device | grep -c 0x0004"
    assert qemu.run(present, check=False).text == "0"
    qemu.qmp.command("device_add", driver="virtio-rng-pci", id="rng0", bus="port0")
    appeared = f"for i in $(seq 50); do [ $({present}) = 1 ] && exit 0; sleep 0.1; done; exit 1"
    qemu.run(appeared)
    qemu.qmp.command("device_del", id="rng0")
    qemu.qmp.wait_event("DEVICE_DELETED", match=lambda event: "rng0" in str(event["data"]))
    assert qemu.run(present, check=False).text == "0"


@pytest.mark.qemu
def test_newer_qemu_boots_the_same_guest(boot: Boot) -> None:
    """QEMU 11.1, from packages of another release, runs here and can do what ours cannot."""
    newer = cast("QemuGuest", boot("qemu-cloud", command=qemu_11().command))
    version = newer.qmp.command("query-version")["qemu"]
    assert (version["major"], version["minor"]) == (11, 1)
    assert newer.run("uname -r").text.startswith("6.1")

# SPDX-License-Identifier: Apache-2.0
"""The guest's packages on a fresh Debian with a kernel's headers: the module is built, programs find the library."""

import json
import re
import subprocess
from pathlib import Path

from framework.systemd_machine import SystemdMachine
from packages.conftest import apt, install, one

PROGRAM = """\
#include <errno.h>
#include <stdio.h>
#include <vks.h>
int main(void) { puts(vks_error_text(-ENOENT)); return 0; }
"""
TOKEN = {
    "type": "vmm-keystore",
    "keyslots": ["0"],
    "version": 1,
    "key": "00" * 16,
    "key_version": 1,
    "label": "disks",
    "sealed": "00" * 60,
}


def kernel(machine: SystemdMachine) -> str:
    """The kernel whose headers are there."""
    (release,) = machine.run("ls", "/lib/modules").stdout.split()
    return release


def test_module_is_built_for_the_kernel_that_is_there(guest: SystemdMachine, debs: Path) -> None:
    """By installing the package; it is gone with it."""
    install(guest, debs, "virtio-keystore-dkms")
    release = kernel(guest)
    said = guest.run("modinfo", "-k", release, "-F", "vermagic", "virtio_keystore").stdout
    assert said.split()[0] == release
    assert "virtio:d00000014v*" in guest.run("modinfo", "-k", release, "-F", "alias", "virtio_keystore").stdout
    assert guest.run("getent", "group", "keystore").stdout.startswith("keystore:")
    for name in ("modprobe.d/virtio-keystore.conf", "modules-load.d/virtio-keystore.conf"):
        guest.run("test", "-s", f"/usr/lib/{name}")
    apt(guest, "purge", "virtio-keystore-dkms")
    assert guest.run("modinfo", "-k", release, "virtio_keystore", ok=False).returncode


def test_command_and_library(guest: SystemdMachine, debs: Path) -> None:
    """``vks`` says that there is no device; a program is built by what pkg-config says, and runs."""
    install(guest, debs, "vks", "libvks0", "libvks-dev")
    said = guest.run("vks", "list", ok=False)
    assert said.returncode
    assert "no device" in said.stderr
    guest.write(Path("/tmp/program.c"), PROGRAM)
    guest.run("sh", "-c", "cc -o /tmp/program /tmp/program.c $(pkg-config --cflags --libs libvks)")
    assert guest.run("/tmp/program").stdout == "no device\n"
    assert "libvks.so.0" in guest.run("ldd", "/tmp/program").stdout


def test_python(guest: SystemdMachine, debs: Path) -> None:
    """The module is found, finds the library, and says that there is no device."""
    install(guest, debs, "python3-vks", "libvks0")
    said = guest.run("python3", "-c", "import vks; vks.Device()", ok=False)
    assert said.returncode
    assert said.stderr.splitlines()[-1] == "vks.error.Unavailable: no device"
    apt(guest, "purge", "python3-vks")
    assert guest.run("python3", "-c", "import vks", ok=False).returncode


def test_pkcs11_module(guest: SystemdMachine, debs: Path) -> None:
    """It is where programs look for such modules, and p11-kit knows of it; both until the package is gone."""
    install(guest, debs, "vks-pkcs11")
    assert "library-description: keys of the host's vault" in guest.run("p11-kit", "list-modules").stdout
    (module,) = guest.run("sh", "-c", "ls /usr/lib/*/pkcs11/vmm_keystore.so").stdout.split()
    settings = guest.run("cat", "/usr/share/vks-pkcs11/openssl.cnf").stdout
    assert f"pkcs11-module-path = {module}\n" in settings
    # This machine leaves out documentation when it installs.
    listing = subprocess.run(["dpkg-deb", "-c", one(debs, "vks-pkcs11")], capture_output=True, text=True, check=True)
    assert "./usr/share/doc/vks-pkcs11/recipes/nginx.sh\n" in listing.stdout
    # Without a device there is no slot, which it does not call a success.
    said = guest.run("pkcs11-tool", "--module", module, "--show-info", ok=False).stdout
    assert "Manufacturer     vmm_keystore" in said
    apt(guest, "purge", "vks-pkcs11")
    assert "vmm-keystore" not in guest.run("p11-kit", "list-modules").stdout


def test_disks(guest: SystemdMachine, debs: Path) -> None:
    """``vks luks`` is there, and cryptsetup finds the plugin for its tokens, until the package is gone."""
    install(guest, debs, "libvks0", "vks", "vks-luks")
    guest.write(Path("/tmp/passphrase"), "of whoever installs it")
    guest.write(Path("/tmp/token"), json.dumps(TOKEN))
    guest.run("truncate", "-s", "20M", "/tmp/disk")
    quick = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--batch-mode")
    guest.run("cryptsetup", "luksFormat", *quick, "/tmp/disk", "/tmp/passphrase")
    assert "the header has no token of the vault" in guest.run("vks", "luks", "check", "/tmp/disk", ok=False).stderr
    guest.run("cryptsetup", "token", "import", "--json-file", "/tmp/token", "/tmp/disk")
    assert "no device" in guest.run("vks", "luks", "check", "/tmp/disk", ok=False).stderr
    assert re.search("key: +disks", guest.run("cryptsetup", "luksDump", "/tmp/disk").stdout)
    for name in ("initramfs-tools/hooks", "cryptsetup/scripts"):
        guest.run("sh", "-c", f"test -x /usr/share/{name}/vks-luks || test -x /usr/lib/{name}/vks-luks")
    apt(guest, "purge", "vks-luks")
    assert not re.search("key: +disks", guest.run("cryptsetup", "luksDump", "/tmp/disk").stdout)
    assert "it is in the package vks-luks" in guest.run("vks", "luks", "list", "/tmp/disk", ok=False).stderr

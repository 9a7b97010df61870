# SPDX-License-Identifier: Apache-2.0
"""A module that is none, or breaks, hangs or lies: a clear message, and everything opens when it is well again."""

import os
import re
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from framework.hsm_vault import refused_change, refused_start, sign
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.processes import descendants
from framework.ring_guest import ring_guest
from framework.software_hsm import MODULE, SoftwareHsm, only_root

from vmm_keystore._vks import lib
from vmm_keystore.workers.hsm import PROGRAM

MODULE_HINT = "hint: the module must be for this machine; what it writes to its own log may say why"


@dataclass(frozen=True)
class Seen:
    """What the kernel says of a process: status and limits, names of its variables, what its descriptors are."""

    status: str
    variables: set[str]
    files: list[str]


def look_at(pid: int) -> Seen:
    folder = Path(f"/proc/{pid}")
    words = (folder / "environ").read_bytes().split(b"\0")
    files = [str(path.readlink()) for path in (folder / "fd").iterdir()]
    status = (folder / "status").read_text() + (folder / "limits").read_text()
    return Seen(status, {word.split(b"=")[0].decode() for word in words if word}, files)


def test_module_that_is_none(token_vault: Keystored, hsm: SoftwareHsm) -> None:
    """Each kind of it has a sentence of its own."""
    token_vault.stop()
    text = hsm.folder / "text.so"
    text.write_text("no library")
    writable = hsm.folder / "writable.so"
    shutil.copy(MODULE, writable)
    writable.chmod(0o646)
    libz = next(Path("/usr/lib").glob("*/libz.so.1"))
    for module, said in (
        (Path("/none.so"), "there is no pkcs#11 module at this path\nhint: serve --hsm-module PATH says where it is"),
        (libz, "this is no pkcs#11 module\nhint: serve --hsm-module takes the library that the vendor names"),
        (writable, "somebody else than root could change the pkcs#11 module\nhint: it and every folder above it must"),
        (text, "the pkcs#11 module cannot be loaded\nhint: it must be a library for this machine"),
    ):
        if os.geteuid() == 0 or hsm.folder not in module.parents:
            other = Keystored(token_vault.folder, program=hsm.program, arguments=hsm.arguments(module))
            refused_start(other, f"vmm-keystore: {said}")
    folder = hsm.folder / "open"
    folder.mkdir()
    folder.chmod(0o777)
    shutil.copy(MODULE, folder / "module.so")
    other = Keystored(token_vault.folder, program=hsm.program, arguments=hsm.arguments(folder / "module.so"))
    refused_start(other, "vmm-keystore: somebody else than root could change the pkcs#11 module\n")
    hsm.configuration.rename(hsm.folder / "away")
    refused_start(token_vault, "vmm-keystore: the pkcs#11 module does not start\nhint: its configuration must be there")
    (hsm.folder / "away").rename(hsm.configuration)
    token_vault.start()
    assert sign(token_vault) == lib.VKS_STATUS_OK


@only_root
@pytest.mark.parametrize(
    ("trouble", "said", "logins"),
    [
        ("final try", "one more wrong pin locks the token, so it was not asked", 0),
        ("locked", "the token's user pin is locked", 0),
        ("locks", "the token's user pin is locked", 1),
        ("does not start", "the pkcs#11 module does not start", 0),
        ("crashes", "the pkcs#11 module crashed: aborted", 1),
        ("ends", "the pkcs#11 module ended the program that it was loaded into", 1),
        ("short", "the pkcs#11 module gave an answer that makes no sense", 1),
        ("endless slots", "the pkcs#11 module gave an answer that makes no sense", 0),
        ("endless objects", "the pkcs#11 module gave an answer that makes no sense", 1),
    ],
)
def test_trouble(shim_vault: Keystored, hsm: SoftwareHsm, trouble: str, said: str, logins: int) -> None:
    """With the token or its module: each is told apart, for a start as for a change, and nothing is lost."""
    hsm.cause(trouble)
    before = hsm.logins()
    assert refused_change(shim_vault)[0] == f"vmm-keystore: {said}"
    assert hsm.logins() == before + logins
    shim_vault.stop()
    refused_start(shim_vault, f"vmm-keystore: {said}\n")
    hsm.cause("")
    shim_vault.start()
    assert sign(shim_vault) == lib.VKS_STATUS_OK


@only_root
def test_mac_that_is_never_the_same(shim_vault: Keystored, hsm: SoftwareHsm) -> None:
    """Nothing is sealed to what would not open again."""
    hsm.cause("unsteady")
    assert refused_change(shim_vault)[0] == "vmm-keystore: the token computes two macs of the same bytes"
    hsm.cause("")


@only_root
def test_module_that_hangs_costs_a_change_only(shim_vault: Keystored, hsm: SoftwareHsm) -> None:
    """It is ended after a while; guests, and what needs no token, go on meanwhile. How it runs is looked at then."""
    hsm.cause("hangs")
    started = time.monotonic()
    seen: list[Seen] = []

    def look() -> None:
        wait_for((hsm.folder / "hanging").exists)
        seen.extend(look_at(child.pid) for child in descendants(shim_vault.pid) if child.role == PROGRAM)

    with ring_guest(shim_vault.folder / "g.sock") as guest:
        watcher = threading.Thread(target=look)
        watcher.start()
        said = shim_vault.cli("root", "change", "hsm", ok=False).stderr.splitlines()
        watcher.join()
        assert said == ["vmm-keystore: the token did not answer within 30 s", MODULE_HINT]
        assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
    assert 30 <= time.monotonic() - started < 40
    assert [child for child in descendants(shim_vault.pid) if child.role == PROGRAM] == []
    assert [path.name for path in shim_vault.state_dir.glob("kek*")] == ["kek"]
    hsm.cause("")
    (found,) = seen
    for line in (r"CapEff:\t0+$", r"CapPrm:\t0+$", r"CapBnd:\t0+$", r"NoNewPrivs:\t1$", r"Max core file size +0 +0 "):
        assert re.search(line, found.status, re.MULTILINE), line
    assert found.variables == set(hsm.environment)
    assert not [path for path in found.files if str(shim_vault.state_dir) in path or "socket" in path]

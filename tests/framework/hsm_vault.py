# SPDX-License-Identifier: Apache-2.0
"""A real keystored whose keys a token of a software HSM opens, and what it says when that does not do it."""

from pathlib import Path

import pytest

from framework.keystored import Keystored
from framework.ring_guest import ring_guest
from framework.software_hsm import MODULE, SoftwareHsm
from vmm_keystore._vks import lib


def keystored(hsm: SoftwareHsm, module: Path = MODULE, *others: str) -> Keystored:
    """One that is told of the token."""
    return Keystored(program=hsm.program, arguments=hsm.arguments(module, *others))


def with_keys(vault: Keystored) -> Keystored:
    """The same one, with a guest that may sign."""
    vault.add_guest("g")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("g", "key", ["sign"])
    return vault


def seal(vault: Keystored) -> None:
    """Have the token open its keys from now on."""
    said = vault.cli("root", "change", "hsm").stdout
    assert said.startswith("1 key versions sealed anew; opened by the file and a pkcs#11 token\n")


def sign(vault: Keystored) -> int:
    """Status of the guest's signature: its key was opened."""
    with ring_guest(vault.folder / "g.sock") as guest:
        return guest.sign("key", b"m").status


def refused_start(vault: Keystored, said: str) -> None:
    """Start it in vain; what an earlier start said does not count."""
    before = len(vault.log)
    with pytest.raises(AssertionError, match="keystored did not start"):
        vault.start()
    assert said in "".join(vault.log[before:])


def refused_change(vault: Keystored) -> list[str]:
    """Change the root of trust in vain; what is said, and that nothing was changed."""
    before = (vault.state_dir / "kek").read_bytes()
    said = vault.cli("root", "change", "hsm", ok=False).stderr.splitlines()
    assert [path.name for path in vault.state_dir.glob("kek*")] == ["kek"]
    assert (vault.state_dir / "kek").read_bytes() == before
    assert sign(vault) == lib.VKS_STATUS_OK
    return said

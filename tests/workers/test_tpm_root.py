# SPDX-License-Identifier: Apache-2.0
"""A TPM opens the keys: at each start, for each custodian; another one, or none, opens nothing."""

import os
import signal
from collections.abc import Iterator

import pytest
from framework.keystored import Keystored
from framework.ring_guest import ring_guest
from framework.software_tpm import SoftwareTpm
from workers.test_root_of_trust import kill_custodian

from vmm_keystore._vks import lib

CLEARED = "vmm-keystore: this tpm did not seal the key encryption key, or was cleared since\n"


@pytest.fixture
def tpm() -> Iterator[SoftwareTpm]:
    with SoftwareTpm() as running:
        yield running


@pytest.fixture
def vault(tpm: SoftwareTpm) -> Iterator[Keystored]:
    """One whose keys this TPM opens."""
    with Keystored(arguments=("--tpm", str(tpm.socket))) as keystored:
        keystored.add_guest("g")
        keystored.api.generate("key", "ec-p256")
        keystored.api.grant("g", "key", ["sign"])
        said = keystored.cli("root", "change", "tpm").stdout
        assert said.startswith("1 key versions sealed anew; opened by the file and this host's tpm\n")
        yield keystored


def sign(vault: Keystored) -> int:
    with ring_guest(vault.folder / "g.sock") as guest:
        return guest.sign("key", b"m").status


def test_each_start_is_opened(vault: Keystored) -> None:
    """Without anybody there; and the custodian's as well."""
    assert vault.facts("root", "show")["kind"] == "tpm"
    kill_custodian(vault)
    vault.api.post("/keys/key/rotate")
    vault.kill_all()
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK
    vault.cli("root", "change", "file")
    vault.stop()
    with Keystored(vault.folder) as without:
        assert sign(without) == lib.VKS_STATUS_OK
    vault.start()


def test_another_tpm_opens_nothing(vault: Keystored, tpm: SoftwareTpm) -> None:
    """Nor does keystored start without one, or with what is none; the keys are there when the right one is back."""
    vault.stop()
    for path in tpm.folder.glob("*.permall"):
        seeds = path.read_bytes()
        tpm.renew()
        with pytest.raises(AssertionError, match=CLEARED):
            vault.start()
        tpm.stop()
        path.write_bytes(seeds)
    for options, said in (
        ((), "vmm-keystore: the kek is sealed to a tpm, and there is none\nhint: serve --tpm PATH says where it is\n"),
        (("--tpm", "/none"), "vmm-keystore: cannot open the tpm /none: no such file or directory\n"),
        (("--tpm", "/dev/null"), "vmm-keystore: the tpm does not answer as a tpm\nhint: it must be a TPM 2.0"),
    ):
        with pytest.raises(AssertionError, match=said):
            Keystored(vault.folder, arguments=options).start()
    tpm.start()
    vault.start()
    assert sign(vault) == lib.VKS_STATUS_OK


def test_tpm_that_is_silent_costs_a_change_only(vault: Keystored, tpm: SoftwareTpm) -> None:
    """It is refused in the end; guests, and what needs no TPM, go on meanwhile."""
    assert tpm.pid
    os.kill(tpm.pid, signal.SIGSTOP)
    try:
        with ring_guest(vault.folder / "g.sock") as guest:
            said = vault.cli("root", "change", "tpm", ok=False).stderr
            assert said == "vmm-keystore: the tpm did not answer within 30 s\n"
            assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
        vault.api.generate("other", "aes-256")
    finally:
        os.kill(tpm.pid, signal.SIGCONT)
    assert [path.name for path in vault.state_dir.glob("kek*")] == ["kek"]


def test_without_a_tpm() -> None:
    """What a person reads."""
    with Keystored() as keystored:
        assert keystored.cli("root", "change", "tpm", ok=False).stderr.splitlines() == [
            "vmm-keystore: keystored was started without a tpm",
            "hint: serve --tpm PATH says where it is",
        ]

# SPDX-License-Identifier: Apache-2.0
"""The PIN of a token that opens the keys: tried once, and seen by nobody."""

import os
import subprocess
from pathlib import Path

from framework.hsm_vault import refused_change, seal, sign
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.processes import descendants
from framework.secret_forms import secret_bytes
from framework.secret_search import SecretSearch
from framework.software_hsm import SoftwareHsm, only_root
from workers.test_root_of_trust import custodian_pid, kill_custodian

from vmm_keystore._vks import lib

WRONG_PIN = """\
vmm-keystore: this is not the token's pin
hint: put the right one into its file; this one is not tried again, each wrong try counts
"""


@only_root
def test_wrong_pin_is_tried_once(shim_vault: Keystored, hsm: SoftwareHsm, shim: Path) -> None:
    """By a start, which ends with a status that the unit knows; and by a custodian, however often it is restarted."""
    shim_vault.stop()
    before, right = hsm.logins(), hsm.pin
    hsm.write_pin("1234567")
    folders = ("--state-dir", str(shim_vault.state_dir), "--runtime-dir", str(shim_vault.runtime_dir))
    command = [*hsm.program, "serve", *folders, *hsm.arguments(shim)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (4, WRONG_PIN)
    assert hsm.logins() == before + 1
    hsm.write_pin(right)
    shim_vault.start()
    hsm.change_pin("another-pin-0123456")
    before = hsm.logins()
    os.kill(custodian_pid(shim_vault), 9)
    failed = "vks-custodian could not be restarted: this is not the token's pin"
    wait_for(lambda: shim_vault.log_text.count(failed) > 3)
    assert hsm.logins() == before + 1
    hsm.write_pin(hsm.pin)
    wait_for(lambda: "vks-custodian restarted" in shim_vault.log_text)
    assert hsm.logins() == before + 2
    assert sign(shim_vault) == lib.VKS_STATUS_OK


@only_root
def test_pin_that_cannot_be_one(shim_vault: Keystored, hsm: SoftwareHsm) -> None:
    """The token is not even asked."""
    before = hsm.logins()
    for pin in ("", "x", "x" * 300):
        hsm.write_pin(pin)
        assert refused_change(shim_vault)[0].startswith(
            "vmm-keystore: what is in the pin's file cannot be this token's pin"
        )
    assert hsm.logins() == before
    hsm.write_pin(hsm.pin + "\r\nnot the pin")
    seal(shim_vault)
    hsm.write_pin(hsm.pin)


@only_root
def test_pin_is_in_no_python_process(token_vault: Keystored, hsm: SoftwareHsm) -> None:
    """Nor in any other of ours, in arguments, environments or the log; what else stands in the file is the control."""
    kill_custodian(token_vault)
    seal(token_vault)
    pids = [token_vault.pid, *(child.pid for child in descendants(token_vault.pid))]
    known = secret_bytes("pin", hsm.pin.encode())
    planted = secret_bytes("control", str(hsm.pin_file).encode())
    search = SecretSearch([known, planted])
    reports = [search.in_process(pid) for pid in pids]
    assert len(reports) >= 4
    assert [hit for report in reports for hit in report.of([known])] == []
    assert reports[0].of([planted])
    for pid in pids:
        for name in ("cmdline", "environ"):
            assert hsm.pin.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert str(hsm.pin_file).encode() in Path(f"/proc/{token_vault.pid}/cmdline").read_bytes()
    assert hsm.pin not in token_vault.log_text
    stored = [path for path in token_vault.state_dir.rglob("*") if path.is_file()]
    assert not any(hsm.pin.encode() in path.read_bytes() for path in stored)

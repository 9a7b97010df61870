# SPDX-License-Identifier: Apache-2.0
"""A token under the unit that our command prints: root of trust and keys, the PIN as systemd's credential."""

import shlex
from pathlib import Path

import pytest
from framework.checked_load import KEYS
from framework.patience import wait_for
from framework.software_hsm import MODULE
from framework.systemd_machine import SystemdMachine
from framework.systemd_service import SOCKET, UNIT, UNITS, USER, Service, loaded, put_units

pytestmark = pytest.mark.timeout(240)

PIN_FILE, CONFIGURATION, TOKENS = Path("/etc/token.pin"), Path("/etc/token.conf"), Path("/var/lib/tokens")
PIN = "a pin of 16 bytes"


@pytest.fixture
def service(machine: SystemdMachine) -> Service:
    """One that is told of a token, as README says; the PIN's file is root's alone."""
    put_units(machine)
    machine.run("install", "-d", "-o", USER, "-m", "700", TOKENS)
    machine.write(CONFIGURATION, f"directories.tokendir = {TOKENS}\n")
    machine.write(PIN_FILE, PIN + "\n")
    machine.run("chmod", "600", PIN_FILE)
    make = ["softhsm2-util", "--init-token", "--free", "--label", "vault", "--so-pin", "12345678", "--pin", PIN]
    machine.run("env", f"SOFTHSM2_CONF={CONFIGURATION}", "setpriv", "--reuid", USER, "--clear-groups", *make)
    unit = machine.run("cat", UNITS / UNIT).stdout
    [start] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    options = ["--hsm-module", MODULE, "--hsm-pin", "%d/hsm-pin", "--hsm-env", "SOFTHSM2_CONF"]
    machine.run("mkdir", "-p", UNITS / f"{UNIT}.d")
    machine.write(
        UNITS / f"{UNIT}.d" / "token.conf",
        "[Service]\n"
        f"LoadCredential=hsm-pin:{PIN_FILE}\n"
        f"Environment=SOFTHSM2_CONF={CONFIGURATION}\n"
        f"ExecStart=\n{start} {shlex.join(map(str, options))}\n",
    )
    machine.run("systemctl", "daemon-reload")
    service = Service(machine)
    service.systemctl("start")
    return service


def test_token_under_the_unit(service: Service) -> None:
    """It opens the keys at each start, and signs for a guest, every signature checked; no line of the unit prevents it."""
    service.ask("root", "change", "hsm")
    service.ask("guest", "add", "g", "--socket", SOCKET)
    for label, key_type in KEYS.items():
        place = () if key_type == "ed25519" else ("--in-token",)
        service.ask("key", "generate", label, "--type", key_type, *place)
        service.ask("grant", "add", "g", label, "--ops", "sign")
    assert service.ask("status")["token"]["open"]
    main = service.main_pid
    service.systemctl("restart")
    service.wait_for_another(main)
    assert service.ask("root", "show")["token"]["label"] == "vault"
    wait_for(lambda: service.ask("status")["token"]["open"])
    with loaded(service) as guest:
        guest.wait_for_more()
        assert guest.finish() > 0

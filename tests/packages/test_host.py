# SPDX-License-Identifier: Apache-2.0
"""The host's package on a fresh Debian with a systemd: it works as installed, and never takes keys away."""

import json
from pathlib import Path
from typing import Any

from framework.patience import wait_for
from framework.systemd_machine import SystemdMachine
from packages.conftest import apt, install

STATE = "/var/lib/vmm-keystore"
PROGRAM_SOCKETS = ("vmm-keystore-zygote.socket", "vmm-keystore-custodian.socket", "vmm-keystore-handler.socket")


def ask(machine: SystemdMachine, *words: str) -> Any:
    """One command as an administrator types it: nothing says where keystored is."""
    said = machine.run("vmm-keystore", *words, "--json").stdout
    return json.loads(said) if said else None


def main_pid(machine: SystemdMachine) -> int:
    """The service's process inside; 0 when it is not ready."""
    facts = machine.facts("vmm-keystore.service", "ActiveState", "MainPID")
    return int(facts["MainPID"]) if facts["ActiveState"] == "active" else 0


def labels(machine: SystemdMachine) -> set[str]:
    """The keys there are."""
    return {key["label"] for key in ask(machine, "key", "list")}


def test_works_as_installed(host: SystemdMachine, debs: Path) -> None:
    """Guest, key, grant and status by the installed command, with the user, folders and units of the package."""
    install(host, debs, "vmm-keystore")
    assert main_pid(host)
    for unit in ("vmm-keystore.service", "vmm-keystore.socket", *PROGRAM_SOCKETS):
        assert host.facts(unit, "UnitFileState")["UnitFileState"] == "enabled"
    ask(host, "guest", "add", "web1", "--socket", "/run/vmm-keystore/web1.sock")
    ask(host, "key", "generate", "tls-web", "--type", "ec-p256")
    ask(host, "grant", "add", "web1", "tls-web", "--ops", "sign,verify")
    status = ask(host, "status")
    assert status["runs_as"].startswith("user vmm-keystore ")
    assert "own user" in status["custodian"]["sandbox"]
    assert "BEGIN PUBLIC KEY" in host.run("vmm-keystore", "key", "public", "tls-web").stdout
    ask(host, "audit", "verify")
    for path, expected in {STATE: "700 vmm-keystore", "/run/vmm-keystore": "755 vmm-keystore"}.items():
        assert host.run("stat", "-c", "%a %U", path).stdout.strip() == expected
    assert host.run("stat", "-c", "%a %U", "/run/vmm-keystore/control.sock").stdout.strip() == "600 vmm-keystore"


def test_managers_of_back_ends_find_the_device(host: SystemdMachine, debs: Path) -> None:
    """The descriptor is where they look, and names a program that says what it does."""
    install(host, debs, "vmm-keystore")
    descriptor = json.loads(host.run("cat", "/usr/share/qemu/vhost-user/50-vmm-keystore.json").stdout)
    assert (descriptor["type"], descriptor["binary"]) == ("crypto", "/usr/bin/vhost-user-keystore")
    assert json.loads(host.run(descriptor["binary"], "--print-capabilities").stdout) == {"type": "crypto"}
    refused = host.run(descriptor["binary"], "--socket-path=/run/vmm-keystore/nobodys.sock", ok=False)
    assert "no guest has the socket" in refused.stdout + refused.stderr


def test_control_socket_is_there_before_keystored(host: SystemdMachine, debs: Path) -> None:
    """Whoever asks starts it, by what the package installed."""
    install(host, debs, "vmm-keystore")
    host.run("systemctl", "stop", "vmm-keystore.service")
    assert not main_pid(host)
    assert ask(host, "status")["runs_as"].startswith("user vmm-keystore ")
    assert main_pid(host)


def test_event_handlers(host: SystemdMachine, debs: Path) -> None:
    """A file that names a program and one more word for the service: the rest is installed."""
    install(host, debs, "vmm-keystore")
    host.write(Path("/etc/handlers.toml"), '[handlers.pager]\nexec = "/usr/bin/id"\n')
    unit = host.run("systemctl", "cat", "vmm-keystore.service").stdout
    (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    host.run("mkdir", "-p", "/etc/systemd/system/vmm-keystore.service.d")
    edited = f"[Service]\nExecStart=\n{start} --event-handlers /etc/handlers.toml\n"
    host.write(Path("/etc/systemd/system/vmm-keystore.service.d/handlers.conf"), edited)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "vmm-keystore.service")
    assert ask(host, "events", "handler", "test", "pager")["delivered"]
    host.run("systemctl", "revert", "vmm-keystore.service")
    host.run("systemctl", "restart", "vmm-keystore.service")


def test_upgrade_restarts_it(host: SystemdMachine, debs: Path) -> None:
    """By one restart, over which guests keep their devices (``workers/test_systemd.py``); keys are what they were."""
    install(host, debs, "vmm-keystore")
    ask(host, "key", "generate", "before-the-upgrade", "--type", "ed25519")
    before = main_pid(host)
    install(host, debs, "vmm-keystore", again=True)
    wait_for(lambda: main_pid(host) not in {0, before})
    assert "before-the-upgrade" in labels(host)
    for unit in ("vmm-keystore.socket", *PROGRAM_SOCKETS):
        assert host.facts(unit, "ActiveState")["ActiveState"] == "active"
    assert "own user" in ask(host, "status")["custodian"]["sandbox"]


def test_keys_outlive_removal_and_purge(host: SystemdMachine, debs: Path) -> None:
    """Neither touches the state folder; purge says that it is there, and whoever installs anew has the keys."""
    install(host, debs, "vmm-keystore")
    ask(host, "key", "generate", "for-ever", "--type", "aes-256")
    for word in ("remove", "purge"):
        said = apt(host, word, "vmm-keystore")
        for name in ("keystore.db", "kek", "audit"):
            host.run("test", "-e", f"{STATE}/{name}")
        assert (f"rm -r {STATE}" in said) == (word == "purge")
    assert host.run("test", "-e", "/run/vmm-keystore/control.sock", ok=False).returncode
    assert not host.run("find", "/run/vmm-keystore-programs", "-type", "s", ok=False).stdout
    assert not host.processes("vmm-keystore*")
    assert host.run("test", "-e", "/usr/lib/vmm-keystore", ok=False).returncode
    install(host, debs, "vmm-keystore")
    assert "for-ever" in labels(host)

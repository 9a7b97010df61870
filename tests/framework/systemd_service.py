# SPDX-License-Identifier: Apache-2.0
"""keystored as a service of a ``SystemdMachine`` on this host's files, by the units that our command prints."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from framework.checked_load import KEYS
from framework.keystored import PROGRAM
from framework.patience import wait_for
from framework.processes import status_of
from framework.systemd_machine import SystemdMachine

UNIT = "vmm-keystore.service"
UNITS = Path("/etc/systemd/system")
STATE_DIR = Path("/var/lib/vmm-keystore of a test")
PROGRAM_UNITS = "vmm-keystore-*@*.service"
"""A service for each connection to the socket of a program."""
SOCKET = Path("/run/vmm-keystore/g.sock")
USER = "vmm-keystore"
PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = [folder for folder in (PROJECT, Path(sys.prefix)) if folder.is_dir()]
"""Our programs."""


class Service:
    """keystored as a service of a machine."""

    def __init__(self, machine: SystemdMachine) -> None:
        self.machine = machine

    def ask(self, *arguments: str | Path) -> Any:
        """One command of ours, inside."""
        said = self.machine.run(PROGRAM, *arguments, "--state-dir", STATE_DIR, "--json").stdout
        return json.loads(said) if said else None

    def systemctl(self, *arguments: str) -> None:
        """One command of systemd's."""
        self.machine.run("systemctl", *arguments, UNIT)

    @property
    def main_pid(self) -> int:
        """Keystored as this host numbers it; 0 when it is not ready."""
        facts = self.machine.facts(UNIT, "ActiveState", "MainPID")
        if facts["ActiveState"] != "active":
            return 0
        return self._here(int(facts["MainPID"]))

    def wait_for_another(self, main_pid: int) -> None:
        """Wait until another process than this is the service, and ready."""
        wait_for(lambda: self.main_pid not in {0, main_pid})

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root with keystored's view of files and networks."""
        enter = ["nsenter", "-t", str(self.main_pid), "-m", "-n", "-p", "--", *command]
        return subprocess.run(enter, capture_output=True, text=True, check=False)

    def exposure(self, unit: Path = UNITS / UNIT) -> float:
        """What systemd says about how much a unit leaves within reach: 0 to 10."""
        command = ("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
        return float(self.machine.run(*command, ok=False).stdout.rsplit(": ", 1)[1].split()[0])

    @property
    def worker_pid(self) -> int:
        """The guest's worker as this host numbers it."""
        return self._here(int(self.ask("guest", "show", "g")["worker"]["pid"] or 0))

    @property
    def processes(self) -> set[int]:
        """All of the service, and of those that it has started."""
        return self.machine.processes(UNIT) | self.machine.processes(PROGRAM_UNITS)

    def program_pid(self, kind: str) -> int:
        """A program as this host numbers it; 0 while there is none, or more than one."""
        found = [pid for pid in self.machine.processes(f"vmm-keystore-{kind}@*.service") if is_program(pid, kind)]
        return found[0] if len(found) == 1 else 0

    def wait_for_another_program(self, kind: str, pid: int) -> None:
        """Wait until another process than this is the program."""
        wait_for(lambda: self.program_pid(kind) not in {0, pid})

    def _here(self, pid: int) -> int:
        for found in self.processes:
            with contextlib.suppress(OSError):  # it ends
                if int(status_of(found)["NSpid"].split()[-1]) == pid:
                    return found
        return 0


def start_service(machine: SystemdMachine, socket: Path = SOCKET) -> Service:
    """Start what our command prints, and let a guest sign."""
    put_units(machine)
    service = Service(machine)
    service.systemctl("start")
    service.ask("guest", "add", "g", "--socket", socket)
    for label, key_type in KEYS.items():
        service.ask("key", "generate", label, "--type", key_type)
        service.ask("grant", "add", "g", label, "--ops", "sign")
    return service


class Loaded:
    """A guest at work inside, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._line() == "ready", "it did not start"

    def wait_for_more(self) -> None:
        """Wait until it got more answers."""
        assert self._process.stdin is not None
        self._process.stdin.write("more\n")
        self._process.stdin.flush()
        assert self._line().isdigit(), "a request was lost, or answered wrong"

    def finish(self) -> int:
        """Stop; how many requests were answered, every one right."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        done, count = self._line().split()
        assert done == "done"
        return int(count)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def loaded(service: Service, socket: Path = SOCKET) -> Iterator[Loaded]:
    """Run a guest until the end of the block."""
    command = service.machine.command(
        "env", f"PYTHONPATH={PROJECT / 'tests'}", sys.executable, "-P", "-m", "framework.checked_load", socket
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Loaded(process)
        finally:
            process.kill()


def put(machine: SystemdMachine, kind: str, path: Path) -> None:
    """Write what our command prints to where it belongs."""
    machine.run("mkdir", "-p", path.parent)
    machine.write(path, machine.run(PROGRAM, "systemd-unit", kind, "--state-dir", STATE_DIR).stdout)


def put_units(machine: SystemdMachine) -> None:
    """Write what a service needs, and make its user."""
    put(machine, "sysusers", Path("/etc/sysusers.d/vmm-keystore.conf"))
    machine.run("systemd-sysusers")
    # It must be able to enter where Python is, which on this host may be somebody's home.
    above = {*Path(sys.executable).resolve().parents, *PROJECT.parents}
    machine.run("chmod", "o+x", *sorted(above))
    put(machine, "service", UNITS / UNIT)
    for kind in ("zygote", "custodian", "handler"):
        put(machine, kind, UNITS / f"vmm-keystore-{kind}@.service")
        put(machine, f"{kind}-socket", UNITS / f"vmm-keystore-{kind}.socket")
    machine.run("systemctl", "daemon-reload")


def is_program(pid: int, kind: str) -> bool:
    """Whether it is the program itself, and none of its workers."""
    with contextlib.suppress(OSError):  # it ends
        return status_of(pid)["Name"] == f"vks-{kind}"
    return False

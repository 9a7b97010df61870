# SPDX-License-Identifier: Apache-2.0
"""The programs with rights, under a real systemd: for keystored's user alone, and nothing is lost with the two that stay."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from framework.patience import wait_for
from framework.processes import kill, status_of
from framework.systemd_machine import SystemdMachine
from framework.systemd_service import PROGRAM_UNITS, UNITS, USER, Service, loaded, start_service

pytestmark = pytest.mark.timeout(240)

KINDS = ("zygote", "custodian")
ALL_KINDS = (*KINDS, "handler")
SOCKETS = Path("/run/vmm-keystore-programs")
CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
    other.settimeout(10)
    try:
        other.connect(sys.argv[1])
        print(len(other.recv(1000)))
    except OSError as error:
        print(type(error).__name__)
"""
LOOK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for pid in map(int, sys.argv[1:]):
    for name in ("mem", "environ", "maps", "fd/3", "syscall"):
        try:
            os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))
            print(pid, name)
        except PermissionError:
            pass
    if libc.ptrace(16, pid, 0, 0) == 0:
        print(pid, "ptrace")
"""


@pytest.fixture
def service(machine: SystemdMachine) -> Service:
    """The units as our command prints them, started, with a guest that may sign."""
    return start_service(machine)


def killed(service: Service, kind: str) -> None:
    """SIGKILL of the program."""
    kill(service.program_pid(kind))


def stopped(service: Service, kind: str) -> None:
    """Its service is stopped by an administrator."""
    service.machine.run("systemctl", "stop", f"vmm-keystore-{kind}@*.service")


@pytest.mark.parametrize("end", [killed, stopped])
def test_programs_are_started_anew(service: Service, end: Callable[[Service, str], None]) -> None:
    """With the rights of the first ones; guests' workers go on meanwhile, and what is made afterwards is as it was."""
    with loaded(service) as guest:
        worker = service.worker_pid
        for kind in KINDS:
            before = service.program_pid(kind)
            end(service, kind)
            service.wait_for_another_program(kind, before)
            guest.wait_for_more()
        assert service.worker_pid == worker
        wait_for(lambda: service.ask("status")["custodian"]["sandbox"].startswith("own user"))
        service.ask("key", "generate", "after", "--type", "ed25519")
        kill(worker)
        wait_for(lambda: service.worker_pid not in {0, worker})
        guest.wait_for_more()
        # The standby was forked before; this one was not.
        second = service.worker_pid
        kill(second)
        wait_for(lambda: service.worker_pid not in {0, worker, second})
        assert service.ask("guest", "show", "g")["worker"]["sandbox"].startswith("own user")
        assert guest.finish() > 0
    service.ask("audit", "verify")


def test_nothing_is_left_of_programs_that_ended(service: Service) -> None:
    """One service of each kind, however often keystored or a program dies; none after a stop."""
    for _ in range(2):
        main = service.main_pid
        kill(main)
        service.wait_for_another(main)
        for kind in KINDS:
            before = service.program_pid(kind)
            killed(service, kind)
            service.wait_for_another_program(kind, before)
    wait_for(lambda: units(service.machine) == 2)
    service.systemctl("stop")
    wait_for(lambda: units(service.machine) == 0)


def units(machine: SystemdMachine) -> int:
    """Services of programs that systemd knows of, failed ones too."""
    listed = machine.run("systemctl", "list-units", "--all", "--no-legend", "--plain", PROGRAM_UNITS).stdout
    return len(listed.splitlines())


def test_other_users_are_refused(service: Service) -> None:
    """By the sockets' mode; and by the programs themselves, whoever may open the socket, root included."""
    for kind in ALL_KINDS:
        path = SOCKETS / f"vks-{kind}.sock"
        assert service.machine.run("stat", "-c", "%a %U", path, path.parent).stdout.split() == [
            "600",
            USER,
            "755",
            "root",
        ]
        assert connect(service.machine, "nobody", path) == "PermissionError"
        service.machine.run("chmod", "666", path)
        for user in ("nobody", "root"):
            assert connect(service.machine, user, path) == "0"
        assert int(connect(service.machine, USER, path)) > 0


def connect(machine: SystemdMachine, user: str, path: Path) -> str:
    """What *user* is told at a socket: the bytes of the greeting, or an error."""
    return machine.run(*as_user(user), sys.executable, "-c", CONNECT, path).stdout.strip()


def as_user(user: str) -> list[str]:
    """A command's beginning that has it run as *user*, with no right."""
    return ["setpriv", "--reuid", user, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]


def test_keystored_cannot_look_into_them(service: Service) -> None:
    """Nor into a worker: its user may end them, and that is all."""
    with loaded(service) as guest:
        guest.wait_for_more()
        pids = [service.program_pid(kind) for kind in KINDS] + [service.worker_pid]
        users = [set(status_of(pid)["Uid"].split()[:2]) for pid in [service.main_pid, *pids]]
        assert len(set.union(*users)) == len(users)
        inside = [status_of(pid)["NSpid"].split()[-1] for pid in pids]
        assert service.machine.run(*as_user(USER), sys.executable, "-c", LOOK, *inside).stdout == ""
        service.machine.run(*as_user(USER), "sh", "-c", 'for pid; do kill -0 "$pid" || exit 1; done', "sh", *inside)
        guest.finish()


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_exposure(service: Service, kind: str) -> None:
    """What systemd says about a unit that has rights to give away; an operator's program may need a network as well."""
    unit = UNITS / f"vmm-keystore-{kind}@.service"
    exposure = service.exposure(unit)
    print(f"\n  systemd-analyze security: {exposure}")
    assert exposure <= (2.5 if kind == "handler" else 2.0)

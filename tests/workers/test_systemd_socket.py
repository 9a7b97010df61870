# SPDX-License-Identifier: Apache-2.0
"""The control socket's unit, under a real systemd: it is there before keystored, and over its restarts."""

import subprocess
import sys
from pathlib import Path

import pytest
from framework.keystored import PROGRAM
from framework.patience import wait_for
from framework.processes import kill
from framework.systemd_machine import SystemdMachine
from framework.systemd_service import STATE_DIR, UNIT, UNITS, USER, Service, put, put_units

pytestmark = pytest.mark.timeout(240)

SOCKET_UNIT = "vmm-keystore.socket"
CONTROL = STATE_DIR / "control.sock"
ASK_FOR_EVER = """
import socket, sys, threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set())).start()
count = 0
while not ended.is_set():
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(sys.argv[1])
        asking.sendall(b"GET /v1/status HTTP/1.1\\r\\nhost: k\\r\\nconnection: close\\r\\n\\r\\n")
        answer = b"".join(iter(lambda: asking.recv(65536), b""))
    if not answer.startswith(b"HTTP/1.1 200 "):
        print("lost:", answer[:200], flush=True)
        break
    count += 1
    if count == 1:
        print("first", flush=True)
print("done", count, flush=True)
"""


@pytest.fixture
def service(machine: SystemdMachine) -> Service:
    """Service and socket as our command prints them, nothing started."""
    put_units(machine)
    put(machine, "tmpfiles", Path("/etc/tmpfiles.d/vmm-keystore.conf"))
    machine.run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/vmm-keystore.conf")
    put(machine, "socket", UNITS / SOCKET_UNIT)
    machine.run("systemctl", "daemon-reload")
    return Service(machine)


def test_whoever_connects_starts_it(service: Service) -> None:
    """The first request waits for keystored and is answered by it; the socket is the same afterwards."""
    service.machine.run("systemctl", "start", SOCKET_UNIT)
    assert not service.processes
    before = service.machine.run("stat", "-c", "%i %U %a", CONTROL).stdout
    status = service.ask("status")
    assert service.main_pid
    assert before.split()[1] == USER
    assert status["runs_as"].startswith(f"user {USER} ")
    service.systemctl("stop")
    assert service.machine.run("stat", "-c", "%i %U %a", CONTROL).stdout == before
    service.ask("key", "generate", "after", "--type", "ed25519")
    assert service.main_pid


def test_service_brings_its_socket(service: Service) -> None:
    """Started alone, it is passed the socket all the same; without the socket's unit it makes one."""
    service.systemctl("start")
    assert service.machine.facts(SOCKET_UNIT, "ActiveState")["ActiveState"] == "active"
    service.ask("status")
    service.machine.run("systemctl", "stop", UNIT, SOCKET_UNIT)
    assert service.machine.run("test", "-e", CONTROL, ok=False).returncode
    service.machine.run("rm", f"/etc/systemd/system/{SOCKET_UNIT}")
    service.machine.run("systemctl", "daemon-reload")
    service.systemctl("start")
    service.ask("status")


def test_no_request_is_lost_over_restarts(service: Service) -> None:
    """One after the other, each is answered, by this keystored or the next."""
    service.systemctl("start")
    command = service.machine.command(sys.executable, "-c", ASK_FOR_EVER, CONTROL)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "first\n"
        for _ in range(3):
            service.systemctl("restart")
        said, _ = asking.communicate()
    assert said.startswith("done "), said


def test_connection_waits_over_a_crash(service: Service) -> None:
    """There is no moment at which nobody listens; what systemd keeps of guests comes beside the socket."""
    service.systemctl("start")
    guest = "/run/vmm-keystore/g.sock"
    service.ask("guest", "add", "g", "--socket", guest)
    before = service.machine.run("stat", "-c", "%i", guest).stdout
    main = service.main_pid
    kill(main)
    assert [row["name"] for row in service.ask("guest", "list")] == ["g"]
    wait_for(lambda: service.main_pid not in {0, main})
    assert service.machine.run("stat", "-c", "%i", guest).stdout == before


def test_start_leaves_owners_alone(service: Service) -> None:
    """Folders are as the service would make them: it gives nothing in them to anybody else, such as a guest's socket."""
    path = "/run/vmm-keystore/a-socket"
    service.machine.run("install", "-o", USER, "-g", "daemon", "/dev/null", path)
    service.systemctl("start")
    assert service.machine.run("stat", "-c", "%U %G", path).stdout.split() == [USER, "daemon"]


def test_socket_elsewhere_is_refused(service: Service) -> None:
    """Two units that disagree: nobody is left waiting at a socket that keystored does not know of."""
    unit = UNITS / SOCKET_UNIT
    text = service.machine.run(
        PROGRAM, "systemd-unit", "socket", "--state-dir", STATE_DIR, "--control-socket", "/run/elsewhere.sock"
    ).stdout
    service.machine.write(unit, text)
    service.machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
    service.machine.write(Path(f"/etc/systemd/system/{UNIT}.d/once.conf"), "[Service]\nRestart=no\n")
    service.machine.run("systemctl", "daemon-reload")
    assert service.machine.run("systemctl", "start", UNIT, ok=False).returncode
    assert service.machine.facts(UNIT, "Result")["Result"] == "exit-code"

# SPDX-License-Identifier: Apache-2.0
"""Operators' programs and webhooks for events, under a real systemd: their programs are no part of keystored's service.

systemd starts one more service for each delivery; what keystored may do is the same with and without them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from events.conftest import soon
from framework.event_program import EventProgram
from framework.event_server import EventServer
from framework.keystored import PROGRAM
from framework.patience import wait_for
from framework.processes import kill
from framework.systemd_machine import SystemdMachine, has_control_groups
from framework.systemd_service import FOLDERS, SOCKET, STATE_DIR, UNIT, UNITS, USER, Service, put_units

from vmm_keystore._vks import lib

pytestmark = pytest.mark.timeout(240)

HANDLER_UNITS = "vmm-keystore-handler@*.service"
PROGRAM_SOCKETS = Path("/run/vmm-keystore-programs")
CONFINED = f"""#!/bin/sh
cat >/dev/null
test -e /etc/passwd && test ! -e '{STATE_DIR}/kek' && ! ls {SOCKET.parent} 2>/dev/null || exit 1
touch /tmp/of-its-own || exit 2
for folder in /etc /usr /var /root; do touch $folder/a-file 2>/dev/null && exit 3; done
exit 0
"""


@pytest.fixture
def program() -> Iterator[EventProgram]:
    """A program where a service with a /tmp of its own sees it."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a systemd")
    with EventProgram(Path("/srv")) as made:
        yield made


@pytest.fixture
def service(program: EventProgram) -> Iterator[Service]:
    """The units as they are printed for this program, which may write to its folder as an operator would allow it."""
    if not has_control_groups():
        pytest.skip("no control groups of version 2 are mounted")
    with SystemdMachine([*FOLDERS, program.folder]) as machine:
        put_units(machine)
        drop_in(machine, "vmm-keystore-handler@.service", f"ReadWritePaths={program.folder}")
        yield started(machine, program.file)


def started(machine: SystemdMachine, handlers: Path) -> Service:
    """Start keystored with a file of handlers."""
    printed = (PROGRAM, "systemd-unit", "--state-dir", STATE_DIR, "--event-handlers", handlers)
    machine.write(UNITS / UNIT, machine.run(*printed).stdout)
    machine.run("systemctl", "daemon-reload")
    service = Service(machine)
    service.systemctl("start")
    return service


def drop_in(machine: SystemdMachine, unit: str, *lines: str) -> None:
    """What ``systemctl edit`` is used for."""
    folder = UNITS / f"{unit}.d"
    machine.run("mkdir", "-p", folder)
    machine.write(folder / "edited.conf", "\n".join(("[Service]", *lines, "")))
    machine.run("systemctl", "daemon-reload")


def make_event(service: Service) -> None:
    """Have something to tell of."""
    service.ask("guest", "add", "g", "--socket", SOCKET)
    service.ask("key", "generate", "key", "--type", "ed25519")
    service.ask("grant", "add", "g", "key", "--ops", "sign", "--not-after", soon())


def ended(service: Service, told: dict[str, Any]) -> bool:
    """Whether there is no service of a program any more, and nothing of what the program started."""
    pids = [told["pid"], *told["children"]]
    gone = service.machine.run(
        "sh", "-c", 'for pid; do test ! -e "/proc/$pid" || exit 1; done', "sh", *map(str, pids), ok=False
    )
    return gone.returncode == 0 and not service.machine.processes(HANDLER_UNITS)


def test_as_printed(machine: SystemdMachine) -> None:
    """Programs are run, confined by their own service; webhooks take a network, which keystored's unit has to be given."""
    put_units(machine)
    machine.write(Path("/usr/local/bin/handler"), CONFINED)
    machine.run("chmod", "755", "/usr/local/bin/handler")
    with EventServer() as server:
        handlers = f"""[handlers.pager]
exec = "/usr/local/bin/handler"
[handlers.chat]
webhook = "http://127.0.0.1:{server.port}/"
"""
        machine.write(Path("/etc/handlers.toml"), handlers)
        service = started(machine, Path("/etc/handlers.toml"))
        assert service.ask("events", "handler", "test", "pager")["delivered"]
        command = (PROGRAM, "events", "handler", "test", "chat", "--state-dir", STATE_DIR)
        assert "cannot be reached" in machine.run(*command, ok=False).stderr
        drop_in(machine, UNIT, "PrivateNetwork=no", "IPAddressDeny=", "RestrictAddressFamilies=AF_INET AF_INET6")
        service.systemctl("restart")
        machine.run(*command)
        assert [request["event"]["kind"] for request in server.requests] == ["test"]
        # Nobody has to give the programs one.
        machine.write(Path("/usr/local/bin/handler"), f"#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{server.port}\n")
        assert service.ask("events", "handler", "test", "pager")["delivered"]


def test_keystored_is_as_confined_as_without(service: Service) -> None:
    """What systemd says about the unit that is printed for handlers."""
    exposure = service.exposure()
    print(f"\n  systemd-analyze security: {exposure}")
    assert exposure <= 1.5
    assert service.ask("events", "handler", "test", "pager")["delivered"]


def test_user_of_its_own(service: Service, program: EventProgram) -> None:
    """No right, no group, and nothing of keystored's within reach."""
    folders = [str(STATE_DIR), str(SOCKET.parent), str(PROGRAM_SOCKETS)]
    sockets = [str(STATE_DIR / "control.sock"), str(SOCKET), str(PROGRAM_SOCKETS / "vks-custodian.sock")]
    service.ask("guest", "add", "g", "--socket", SOCKET)
    program.obey(look=[*folders, str(STATE_DIR / "kek")], connect=sockets)
    assert service.ask("events", "handler", "test", "pager")["delivered"]
    (told,) = program.told("test")
    assert told["uid"] >= lib.VKS_USER_FIRST
    assert (told["groups"], told["fds"], told["cwd"], told["mask"]) == ([], [0, 1, 2], "/", [])
    assert set(told["seen"].values()) == {"PermissionError"}
    status = told["status"]
    assert not any(int(status[name], 16) for name in ("CapBnd", "CapPrm", "CapInh", "CapEff", "CapAmb"))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert set(status["Uid"].split() + status["Gid"].split()) == {str(told["uid"])}
    assert set(told["environment"]) - {"LC_CTYPE"} == {
        "PATH",
        "LANG",
        "HOME",
        "VMM_KEYSTORE_EVENT_ID",
        "VMM_KEYSTORE_EVENT_KIND",
    }


def test_what_it_leaves_running_is_killed(service: Service, program: EventProgram) -> None:
    """Whatever group and session it went to, and whatever signals it ignores."""
    program.obey(children=1, daemon=True)
    assert service.ask("events", "handler", "test", "pager")["delivered"]
    (told,) = program.told("test")
    assert len(told["children"]) == 2
    wait_for(lambda: ended(service, told))


def test_its_time_is_up(service: Service, program: EventProgram) -> None:
    """The reason is the same as where keystored runs it itself, and nothing goes on."""
    program.configure({"pager": {"exec": str(program.path), "timeout_s": 2}})
    service.systemctl("restart")
    program.obey(sleep_s=1000, children=1, daemon=True, say="still at it")
    command = (PROGRAM, "events", "handler", "test", "pager", "--state-dir", STATE_DIR)
    tried = service.machine.run(*command, ok=False)
    assert tried.stderr.endswith(" a test: it did not end within 2 s and was killed: still at it\n")
    (told,) = program.told("test")
    wait_for(lambda: ended(service, told))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_end_of_keystored_is_its_end(service: Service, program: EventProgram, end: str) -> None:
    """The next keystored gives the same event once more, as the same attempt."""
    program.obey(sleep_s=1000, children=1, daemon=True)
    make_event(service)
    (told,) = wait_for(program.told)
    assert not ended(service, told)
    if end == "kill":
        program.obey()
        kill(service.main_pid)
    else:
        service.systemctl("stop")
    wait_for(lambda: ended(service, told))
    program.obey()
    service.systemctl("start")
    (event,) = wait_for(lambda: service.main_pid and service.ask("events", "list", "--state", "delivered"))
    assert [line["event"] for line in program.told()] == [told["event"]] * 2
    assert event["deliveries"][0]["attempts"] == 1


def test_without_its_socket(service: Service, program: EventProgram) -> None:
    """The reason says where nobody starts it; the event is not lost."""
    socket_unit = "vmm-keystore-handler.socket"
    service.machine.run("systemctl", "stop", socket_unit)
    command = (PROGRAM, "events", "handler", "test", "pager", "--state-dir", STATE_DIR)
    tried = service.machine.run(*command, ok=False)
    path = PROGRAM_SOCKETS / "vks-handler.sock"
    assert f"cannot start it: systemd does not start vks-handler at {path}: no such file" in tried.stderr
    make_event(service)
    wait_for(lambda: service.ask("events", "list")[0]["deliveries"][0]["attempts"] > 1)
    service.machine.run("systemctl", "start", socket_unit)
    wait_for(lambda: service.ask("events", "list", "--state", "delivered"))
    assert len(program.told()) == 1


def test_without_a_right_nothing_is_run(service: Service, program: EventProgram) -> None:
    """A service that is edited into keystored's user runs no program as that."""
    drop_in(service.machine, "vmm-keystore-handler@.service", "AmbientCapabilities=")
    command = (PROGRAM, "events", "handler", "test", "pager", "--state-dir", STATE_DIR)
    tried = service.machine.run(*command, ok=False)
    assert "exit status 125: cannot become a user of its own: Operation not permitted" in tried.stderr
    assert program.told() == []
    assert service.machine.run("id", "-u", USER).stdout.strip() != "0"

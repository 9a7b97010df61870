# SPDX-License-Identifier: Apache-2.0
"""Programs as handlers: what they are given, what they cannot see, and how they end."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from events.conftest import make_event
from framework.event_program import EventProgram
from framework.keystored import PROGRAM, Keystored
from framework.patience import wait_for
from framework.program_sockets import program_sockets
from workers.test_deaths import alive

from vmm_keystore.service.delivery import REASON_LETTERS_MAX

USER = "nobody"


@pytest.fixture(params=["by hand", "by systemd"])
def vault(program: EventProgram, request: pytest.FixtureRequest) -> Iterator[Keystored]:
    """Run keystored, which starts its programs itself, or has them started at sockets as systemd does."""
    with ExitStack() as stack:
        arguments = program.arguments
        if request.param == "by systemd":
            if os.geteuid() != 0:
                pytest.skip("only root can give programs the rights that they have there")
            folder = stack.enter_context(program_sockets("zygote", "custodian", "handler"))
            arguments += ("--program-sockets", str(folder))
        yield stack.enter_context(Keystored(arguments=arguments))


@pytest.fixture
def lesser_vault(program: EventProgram) -> Iterator[Keystored]:
    """Run a keystored that root started and that became ``USER``: its handlers have its user."""
    daemon = Keystored(program=(str(PROGRAM),), arguments=("--user", USER, *program.arguments))
    daemon.folder.chmod(0o755)
    with daemon:
        yield daemon


def test_what_a_program_is_given(program: EventProgram, vault: Keystored) -> None:
    """The event on its input; an environment of its own; nothing else of keystored's."""
    make_event(vault)
    (told,) = wait_for(program.told)
    (listed,) = wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    assert told["event"] == {name: listed[name] for name in ("id", "kind", "subject", "facts", "text")} | {
        "time": listed["time"]
    }
    assert told["event"]["subject"] == {"guest": "web1", "key": "key-web1"}
    assert told["fds"] == [0, 1, 2]
    assert (told["arguments"], told["cwd"], told["mask"], told["groups"]) == ([], "/", [], [])
    environment = {name: value for name, value in told["environment"].items() if name != "LC_CTYPE"}
    assert environment == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/",
        "VMM_KEYSTORE_EVENT_ID": listed["id"],
        "VMM_KEYSTORE_EVENT_KIND": "grant-expiry-near",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_keystored_is_out_of_sight(program: EventProgram, vault: Keystored) -> None:
    """Neither its folders nor its sockets: by a user of its own."""
    told = look_around(program, vault)
    assert told["uid"] != Path(f"/proc/{vault.pid}").stat().st_uid
    assert not any(int(told["status"][name], 16) for name in ("CapBnd", "CapPrm", "CapInh", "CapEff", "CapAmb"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_keystored_is_hidden_where_it_is_the_same_user(program: EventProgram, lesser_vault: Keystored) -> None:
    """A keystored that became a user has no other one to give."""
    told = look_around(program, lesser_vault)
    assert told["uid"] == lesser_vault.state_dir.stat().st_uid
    assert not any(int(told["status"][name], 16) for name in ("CapPrm", "CapInh", "CapEff", "CapAmb"))


def look_around(program: EventProgram, vault: Keystored) -> dict[str, Any]:
    """What the program told; it could reach nothing of keystored's."""
    sockets = vault.folder / "sockets"
    sockets.mkdir(mode=0o777)
    sockets.chmod(0o777)
    guest = sockets / "vm.sock"
    vault.api.post("/guests", {"name": "vm", "socket": str(guest)})
    folders = [str(vault.state_dir), str(vault.runtime_dir)]
    files = [str(vault.state_dir / "kek"), str(vault.state_dir / "keystore.db")]
    connect = [str(vault.control_socket), str(guest), str(vault.runtime_dir / "holder.sock")]
    program.obey(look=[*folders, *files], connect=connect)
    assert vault.facts("events", "handler", "test", "pager") == {"handler": "pager", "delivered": True, "reason": ""}
    (told,) = program.told("test")
    seen = told["seen"]
    assert all(seen[path] in ([], "PermissionError") for path in folders), seen
    assert all(seen[path] in {"FileNotFoundError", "PermissionError"} for path in files), seen
    assert all(seen[path] in {"FileNotFoundError", "PermissionError", "ConnectionRefusedError"} for path in connect)
    return told


def test_failure_is_tried_again_and_then_dead(program: EventProgram, vault: Keystored) -> None:
    """What the program said is the reason; after the last attempt nothing more happens until somebody says so."""
    vault.stop()
    program.configure({"pager": {"exec": str(program.path), "retry_s": 0.01, "attempts": 3}})
    program.obey(status=3, say="no\nnetwork \x1b[31m")
    vault.start()
    make_event(vault)
    (event,) = wait_for(lambda: vault.facts("events", "list", "--state", "dead"))
    (delivery,) = event["deliveries"]
    assert (delivery["handler"], delivery["attempts"], delivery["due"]) == ("pager", 3, None)
    assert delivery["reason"] == r"exit status 3: no network \x1b[31m"
    assert len({line["event"]["id"] for line in program.told()}) == 1
    assert len(program.told()) == 3
    assert "given up" in vault.log_text
    program.obey()
    assert vault.cli("events", "retry", "--all").stdout == "1 event is delivered anew\n"
    wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    assert program.told()[-1]["event"] == program.told()[0]["event"]
    assert len(program.told()) == 4


def test_its_time_is_up(program: EventProgram, vault: Keystored) -> None:
    """It is killed with the group it is in, and what it said until then is kept."""
    vault.stop()
    program.configure({"pager": {"exec": str(program.path), "timeout_s": 1.5, "attempts": 1}})
    program.obey(sleep_s=1000, children=1, say="still at it")
    vault.start()
    make_event(vault)
    (event,) = wait_for(lambda: vault.facts("events", "list", "--state", "dead"))
    assert event["deliveries"][0]["reason"] == "it did not end within 1.5 s and was killed: still at it"
    (told,) = program.told()
    wait_for(lambda: not group_members(told["pid"]))


def test_what_it_leaves_running_is_killed(program: EventProgram, vault: Keystored) -> None:
    """A child with the program's output open ends with it, and does not keep the next event waiting."""
    program.obey(children=2)
    make_event(vault, "web1")
    make_event(vault, "web2")
    wait_for(lambda: len(vault.facts("events", "list", "--state", "delivered")) == 2)
    assert [len(told["children"]) for told in program.told()] == [2, 2]
    wait_for(lambda: not any(group_members(told["pid"]) for told in program.told()))


def test_much_output_is_cut(program: EventProgram, vault: Keystored) -> None:
    """A program may say what it likes, a megabyte even: it is read, and its beginning kept."""
    program.obey(status=1, say="x" * (1 << 20))
    outcome = vault.cli("events", "handler", "test", "pager", ok=False)
    assert outcome.status == 1
    reason = outcome.stderr.strip().rpartition("a test: ")[2]
    assert reason.startswith("exit status 1: xxx")
    assert len(reason) == REASON_LETTERS_MAX + 1


def test_a_program_that_is_gone(program: EventProgram, vault: Keystored) -> None:
    """The reason says so."""
    program.path.unlink()
    outcome = vault.cli("events", "handler", "test", "pager", ok=False)
    assert outcome.stderr == (
        "vmm-keystore: event handler pager did not take a test: "
        f"exit status 126: {program.path}: No such file or directory\n"
    )


def test_stop_does_not_wait_for_a_program(program: EventProgram, vault: Keystored) -> None:
    """It is killed, and the event delivered by the next keystored."""
    program.obey(sleep_s=1000)
    make_event(vault)
    (first,) = wait_for(program.told)
    vault.stop()
    assert not alive(first["pid"])
    program.obey()
    vault.start()
    wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    assert [line["event"] for line in program.told()] == [first["event"]] * 2


def group_members(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] not in {"Z", "X"}:
                found.append(int(entry.name))
    return found

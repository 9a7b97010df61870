# SPDX-License-Identifier: Apache-2.0
"""One small privileged spawner at most: keystored gives up what root started it with, and loses no promise by it."""

import contextlib
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework.awake import awaken
from framework.keystored import PROGRAM, Keystored
from framework.processes import status_of
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

USER = "nobody"
UID = pwd.getpwnam(USER).pw_uid
QEMU_UID, OTHER_UID = 54321, 54322
ROOT_KEEPS = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8
SPAWNER_KEEPS = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8
CONNECT = """
import os, socket, sys
os.setgroups([])
os.setresuid(*[int(sys.argv[1])] * 3)
with socket.socket(socket.AF_UNIX) as front_end:
    front_end.connect(sys.argv[2])
    front_end.settimeout(10)
    front_end.sendall(bytes.fromhex("010000000100000000000000"))
    print(len(front_end.recv(20)))
"""


def capabilities(pid: int) -> dict[str, int]:
    return {name: int(value, 16) for name, value in status_of(pid).items() if name.startswith("Cap")}


def programs_of(pid: int) -> dict[str, int]:
    """The programs that a keystored started, by name."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {status_of(int(child))["Name"]: int(child) for child in children}


def descriptors_of(pid: int) -> list[str]:
    """What each descriptor of a process is, without the numbers of sockets."""
    folder = Path(f"/proc/{pid}/fd")
    ordered = sorted(folder.iterdir(), key=lambda path: int(path.name))
    return [re.sub(r":\[\d+\]$", "", str(fd.readlink())) for fd in ordered]


@pytest.fixture
def vault() -> Iterator[Keystored]:
    """Give a keystored that root started and that became ``USER``."""
    in_groups = ("setpriv", "--groups", "4,24")
    daemon = Keystored(program=(*in_groups, str(PROGRAM)), arguments=("--user", USER))
    daemon.folder.chmod(0o755)
    (daemon.folder / "sockets").mkdir()
    os.chown(daemon.folder / "sockets", UID, -1)
    with daemon:
        yield daemon


def add_guest(vault: Keystored, name: str, owner_uid: int | None = None) -> Path:
    path = vault.folder / "sockets" / name
    vault.api.post("/guests", {"name": name, "socket": str(path), "owner_uid": owner_uid})
    return path


def test_keystored_has_no_right_left(vault: Keystored) -> None:
    """Another user for each process but the holder; only the spawner has capabilities, and only those to make a child another user's."""
    add_guest(vault, "vm1")
    awaken(vault, "vm1")
    worker = vault.api.get("/guests/vm1")["worker"]
    programs = programs_of(vault.pid)
    ours = [vault.pid, worker["pid"], *programs.values()]
    assert set(programs) == {"vks-custodian", "vks-zygote", "vks-holder"}
    users = [status_of(pid)["Uid"].split()[:2] for pid in ours]
    assert users[0] == [str(UID)] * 2
    # The holder has nothing that keystored has not: it is the same user.
    assert status_of(programs["vks-holder"])["Uid"].split()[:2] == users[0]
    assert len({user for pair in users for user in pair}) == len(ours) - 1
    for pid in ours:
        status = status_of(pid)
        assert (status["Groups"], status["NoNewPrivs"]) == ("", "1")
        assert "0" not in status["Uid"].split()
        keeps = SPAWNER_KEEPS if pid == programs["vks-zygote"] else 0
        assert {"CapBnd": keeps, "CapPrm": keeps, "CapInh": 0, "CapAmb": 0}.items() <= capabilities(pid).items()
    assert vault.api.get("/status")["runs_as"] == f"user {USER} (uid {UID}), no capabilities"
    assert worker["sandbox"].startswith(f"own user {users[1][0]}, ")
    for path in (vault.state_dir, vault.control_socket, vault.state_dir / "kek", vault.runtime_dir):
        assert path.stat().st_uid == UID


def test_programs_inherit_no_descriptor(vault: Keystored) -> None:
    """Each has what it was given, whatever keystored or the spawner has open: counted, and named by kind."""
    add_guest(vault, "vm1")
    awaken(vault, "vm1")
    programs = programs_of(vault.pid)
    stdio = ["/dev/null", "/dev/null", "pipe"]
    assert descriptors_of(programs["vks-zygote"]) == [*stdio, "socket", "anon_inode:[signalfd]"]
    # Listening, keystored's connection, the guest's socket, its worker's control socket.
    assert descriptors_of(programs["vks-holder"]) == [*["/dev/null"] * 3, *["socket"] * 4]
    custodian = descriptors_of(programs["vks-custodian"])
    # Its control socket, and a channel for each worker.
    assert custodian[0] == "/dev/null"
    assert set(custodian[3:]) == {"socket"}
    assert len(custodian) == 5
    worker = descriptors_of(vault.api.get("/guests/vm1")["worker"]["pid"])
    assert worker[:3] == ["/dev/null"] * 3
    assert sorted(worker[3:]) == ["anon_inode:[eventfd]", "anon_inode:[eventfd]", "socket", "socket"]


def test_the_next_one_takes_over(vault: Keystored) -> None:
    """It starts as root once more and becomes the same user: a front-end's session is carried on, the right kept."""
    path = add_guest(vault, "vm1")
    vault.api.generate("k", "ed25519")
    vault.api.grant("vm1", "k", ["sign"])
    with ring_guest(path) as guest:
        key_id = guest.key_id("k")
        first = vault.api.get("/guests/vm1")["worker"]["pid"]
        for end in (vault.kill, vault.hand_over):
            end()
            assert guest.sign(key_id, b"m").status == lib.VKS_STATUS_OK
            vault.start()
            assert guest.sign(key_id, b"m").status == lib.VKS_STATUS_OK
            second = vault.api.get("/guests/vm1")["worker"]
            assert second["pid"] != first
            assert second["sandbox"].startswith("own user ")
            assert not Path(f"/proc/{first}").exists() or status_of(first)["State"].startswith("Z")
            first = second["pid"]


def test_a_worker_that_hangs_is_killed(vault: Keystored) -> None:
    """Promise P6 needs the right to kill a process that is another user's."""
    add_guest(vault, "vm1")
    vault.api.generate("k", "aes-256")
    vault.api.grant("vm1", "k", ["encrypt"])
    pid = awaken(vault, "vm1")
    os.kill(pid, signal.SIGSTOP)
    [applied] = vault.api.revoke("vm1", "k")["applied"]
    assert (applied["guest"], applied["outcome"]) == ("vm1", "worker-killed")
    assert not Path(f"/proc/{pid}").exists() or status_of(pid)["State"].startswith("Z")


def test_owner_of_a_guest_is_let_in(vault: Keystored) -> None:
    """A socket that cannot be given away admits its owner; nobody else, even by a file mode that was widened."""
    path = add_guest(vault, "vm1", QEMU_UID)

    def connect(uid: int) -> str:
        command = [sys.executable, "-I", "-c", CONNECT, str(uid), str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.strip()

    assert connect(QEMU_UID) == "20"
    assert connect(OTHER_UID) == ""
    path.chmod(0o666)
    assert connect(OTHER_UID) in {"", "0"}
    assert connect(QEMU_UID) == "20"


def test_loss_of_the_spawner_is_said(vault: Keystored) -> None:
    """Its successor has no rights: workers serve as keystored's user, which log and ``guest show`` tell."""
    add_guest(vault, "vm1")
    awaken(vault, "vm1")
    zygote = programs_of(vault.pid)["vks-zygote"]
    os.kill(zygote, signal.SIGKILL)
    add_guest(vault, "vm2")
    awaken(vault, "vm2")
    worker = vault.api.get("/guests/vm2")["worker"]
    assert worker["sandbox"].startswith(f"shares user {UID} with others, ")
    assert capabilities(worker["pid"])["CapPrm"] == 0
    assert "own user" in vault.api.get("/guests/vm1")["worker"]["sandbox"]
    assert "new workers are no users of their own, but keystored's; hint: restart keystored" in vault.log_text


def test_root_without_a_user_keeps_five_capabilities() -> None:
    """Never silently: the log says so with a hint, and ``status`` names them."""
    with contextlib.suppress(KeyError):
        pwd.getpwnam("vmm-keystore")
        pytest.skip("this machine has the user")
    with Keystored() as daemon:
        found = capabilities(daemon.pid)
        assert {found["CapPrm"], found["CapEff"], found["CapBnd"]} == {ROOT_KEEPS & found["CapPrm"]}
        assert (found["CapInh"], found["CapAmb"]) == (0, 0)
        assert status_of(daemon.pid)["NoNewPrivs"] == "1"
        path = daemon.folder / "vm1.sock"
        daemon.api.post("/guests", {"name": "vm1", "socket": str(path), "owner_uid": QEMU_UID})
        assert path.stat().st_uid == QEMU_UID
        assert daemon.api.get("/status")["runs_as"] == (
            "user root (uid 0), capabilities chown kill setgid setuid setpcap"
        )
        assert "hint: useradd --system" in daemon.log_text


def test_started_by_a_user_it_stays_that_user() -> None:
    """It makes its own folders, and its programs share its user, as it says."""
    as_user = ("setpriv", "--reuid", str(OTHER_UID), "--clear-groups")
    daemon = Keystored(program=(*as_user, str(PROGRAM)))
    os.chown(daemon.folder, OTHER_UID, -1)
    with daemon:
        assert daemon.api.get("/status")["runs_as"] == f"uid {OTHER_UID}, no capabilities"
        daemon.add_guest("vm1")
        awaken(daemon, "vm1")
        assert daemon.api.get("/guests/vm1")["worker"]["sandbox"].startswith(f"shares user {OTHER_UID} with others, ")


@pytest.mark.parametrize("kind", ["no such user", "state of another", "closed folder", "not root"])
def test_who_cannot_be_is_refused(tmp_path: Path, kind: str) -> None:
    """One line with the cause, one with a hint, and nothing left running."""
    state, user = tmp_path / "state", USER
    prefix: list[str] = []
    if kind == "no such user":
        user, expected = "no-such-user", ("there is no user 'no-such-user'", "useradd")
    elif kind == "state of another":
        state.mkdir(mode=0o700)
        expected = (f"{state} belongs to uid 0, not to user '{USER}'", f"chown -R {USER}")
    elif kind == "closed folder":
        tmp_path.chmod(0o700)
        expected = (f"user '{USER}' cannot enter {state}", "every folder above it")
    else:
        prefix = ["setpriv", "--reuid", str(OTHER_UID), "--clear-groups"]
        expected = (f"only root can become user '{USER}'", "start it as root")
    command = [*prefix, str(PROGRAM), "serve", "--state-dir", str(state), "--user", user]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert expected[0] in done.stderr
    assert expected[1] in done.stderr
    assert "Traceback" not in done.stderr


def test_control_is_for_root_and_the_daemons_user(vault: Keystored) -> None:
    """Both may ask; anybody else does not even reach the socket."""
    assert vault.api.get("/status")["pid"] == vault.pid
    stranger = (
        "import os, socket, sys\nos.setgroups([])\nos.setresuid(54322, 54322, 54322)\n"
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    )
    command = [sys.executable, "-I", "-c", stranger, str(vault.control_socket)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert "PermissionError" in done.stderr
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(str(vault.control_socket))

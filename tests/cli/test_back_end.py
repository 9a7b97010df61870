# SPDX-License-Identifier: Apache-2.0
"""What ``vhost-user-keystore`` says without a guest: capabilities, descriptor, usage errors; each needs no keystored."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.control_fake import ControlFake
from framework.back_end import BACK_END, BackEnd, run_back_end
from framework.patience import wait_for

CODE = """
import json, sys
from vmm_keystore.cli.back_end import run
status = run(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""
HEAVY = {"asyncio", "cryptography", "fastapi", "http.client", "httpx", "rich.console", "sqlalchemy"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--socket-path=/nowhere"],
        ["--fd=3"],
        ["--fd=3", "--socket-path=/nowhere"],
        ["--frobnicate", "word"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_capabilities_whatever_else_is_given(arguments: list[str]) -> None:
    """The type, which has no features in vhost-user.json, before or behind anything else."""
    for words in (["--print-capabilities", *arguments], [*arguments, "--print-capabilities"]):
        outcome = run_back_end(*words)
        assert (outcome.status, outcome.facts, outcome.stderr) == (0, {"type": "crypto"}, "")


def test_descriptor_names_the_running_program() -> None:
    """All of VhostUserBackend that is required, and nothing that it does not have."""
    descriptor = run_back_end("--print-descriptor").facts
    assert descriptor.keys() == {"description", "type", "binary"}
    assert descriptor["description"]
    assert descriptor["type"] == "crypto"
    assert descriptor["binary"] == str(BACK_END)
    assert json.loads(subprocess.check_output([descriptor["binary"], "--print-capabilities"])) == {"type": "crypto"}


def test_descriptor_of_a_package_names_where_it_will_be() -> None:
    """As ``debian/host/install-files`` asks."""
    descriptor = run_back_end("--print-descriptor", "--binary", "/usr/bin/vhost-user-keystore").facts
    assert descriptor["binary"] == "/usr/bin/vhost-user-keystore"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "missing option '--socket-path'"),
        (["--socket-path"], "option '--socket-path' requires an argument"),
        (["--socket-path=/s", "--fd=3"], "--socket-path and --fd exclude each other"),
        (["--fd=three"], "invalid value for '--fd'"),
        (["--fd=-1"], "invalid value for '--fd'"),
        (["--binary=/b", "--socket-path=/s"], "--binary goes with --print-descriptor"),
        (["--frobnicate"], "no such option: --frobnicate"),
        (["word"], "got unexpected extra argument"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    outcome = run_back_end(*arguments)
    first, second = outcome.stderr.splitlines()
    assert outcome.status == 2
    assert first.startswith(f"vhost-user-keystore: {message}")
    assert second.startswith("hint: ")
    assert not outcome.stdout


def test_a_connected_socket_is_refused_with_the_reason() -> None:
    """Who made it is its peer, and no guest."""
    outcome = run_back_end("--fd=0")
    first, second = outcome.stderr.splitlines()
    assert outcome.status == 1
    assert first.startswith("vhost-user-keystore: --fd cannot be served: ")
    assert "--socket-path" in second


def test_without_keystored_it_fails_early(tmp_path: Path) -> None:
    outcome = run_back_end("--state-dir", str(tmp_path), f"--socket-path={tmp_path}/web.sock")
    assert outcome.status == 3
    assert "keystored is not running" in outcome.stderr
    assert "hint: " in outcome.stderr


def test_it_ends_on_a_signal_while_keystored_does_not_answer(fake: ControlFake) -> None:
    """A manager waits a few seconds, then kills."""
    worker = {"listening": True, "connected": False, "problem": ""}
    fake.answer("GET /v1/guests", {"guests": [{"name": "web", "socket": "/s", "worker": worker}]})
    fake.hang("GET /v1/guests/web")
    with BackEnd(fake.socket, "--socket-path=/s") as back_end:
        wait_for(lambda: len(fake.asked) == 2)
        back_end.send(signal.SIGTERM)
        assert back_end.wait_for_end() == 0
        assert "Traceback" not in back_end.said


def test_help_says_what_it_takes() -> None:
    outcome = run_back_end("--help")
    assert outcome.status == 0
    for word in ("--print-capabilities", "--socket-path", "--fd", "--print-descriptor", "--control-socket", "SIGTERM"):
        assert word in outcome.stdout


def test_it_imports_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, "--print-descriptor"], check=True, capture_output=True, text=True
    )
    status, modules = json.loads(done.stderr)
    assert status == 0
    assert HEAVY.isdisjoint(modules)

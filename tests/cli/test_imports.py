# SPDX-License-Identifier: Apache-2.0
"""What makes commands quick, whatever the machine: each imports what it needs itself, and no other command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli.control_fake import ControlFake

from vmm_keystore.cli.command_tree import COMMANDS, load_command

CODE = """
import json, sys
from vmm_keystore.cli.main import run
status = run(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""
SERVER = {
    *("_cffi_backend", "alembic", "asyncio", "cryptography", "fastapi", "httpx", "sqlalchemy", "uvicorn"),
    *("vmm_keystore.audit", "vmm_keystore.control", "vmm_keystore.daemon", "vmm_keystore.service", "zstandard"),
    *("vmm_keystore.events", "vmm_keystore.store", "vmm_keystore.vhost_user", "vmm_keystore.workers"),
}
FOR_TERMINALS = {"prometheus_client", "rich.console"}
OF_COMMANDS = {f"vmm_keystore.cli.{module}" for module, _ in COMMANDS.values()} - {"vmm_keystore.cli.completion"}


def imported(*arguments: str) -> set[str]:
    """Run one command in a process of its own; the modules that it had in the end."""
    command = [sys.executable, "-P", "-c", CODE, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    status, modules = json.loads(done.stderr)
    assert status == 0, done.stdout
    return set(modules)


def test_the_list_of_commands_imports_no_command() -> None:
    assert imported("--help") & (SERVER | FOR_TERMINALS | OF_COMMANDS | {"http.client", "pydantic"}) == set()


@pytest.mark.parametrize("arguments", [["key", "list"], ["--state-dir", ".", "key", "list", "web*", "--limit", "3"]])
def test_a_command_imports_its_own_needs(fake: ControlFake, arguments: list[str]) -> None:
    others = OF_COMMANDS - {"vmm_keystore.cli.key", "vmm_keystore.cli.proposal"}
    fake.answer("GET /v1/keys?limit=1000", {"keys": []})
    fake.answer("GET /v1/keys?label=web%2A&limit=3", {"keys": []})
    arguments = [str(fake.socket.parent) if word == "." else word for word in arguments]
    assert imported(*arguments) & (SERVER | FOR_TERMINALS | others) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    listed, help_text = COMMANDS[name][1], load_command(name).help
    assert listed == " ".join(help_text.split("\n\n")[0].split())

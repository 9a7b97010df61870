# SPDX-License-Identifier: Apache-2.0
"""The commands by name: what the list of them says, and the module that each is in.

A module is imported when one of its commands is asked for. Its ``app`` holds them: one with a name is a group, what is
in one without stands beside the groups.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

COMMANDS = {
    "serve": ("serve", "Run keystored in the foreground until SIGTERM."),
    "apply": ("apply", "Make guests, roles, keys and grants what a file says, all of it or nothing."),
    "backup": ("backup", "Copy the store as it is now, while keystored goes on."),
    "restore": ("backup", "Make a new state folder (--state-dir) from a backup, before keystored is started on it."),
    "qemu-args": ("qemu_args", "Print the QEMU options for a guest."),
    "status": ("status", "Show the state of keystored."),
    "doctor": ("doctor", "Look at kernel, limits, QEMU and, if it runs, keystored and its workers; say what to do."),
    "metrics": ("metrics", "Print the daemon's figures in Prometheus' text format."),
    "top": ("top", "Show operations as they happen: a second's, by guest, key and operation, the busiest first."),
    "alert-rules": ("alert_rules", "Print alert rules for Prometheus."),
    "systemd-unit": (
        "systemd_unit",
        "Print a systemd unit that runs keystored, as a user without rights, from where this program is installed.",
    ),
    "completion": ("completion", "Print the completion script of a shell."),
    "guest": ("guest", "Guests: one socket per virtual machine."),
    "key": ("key", "Keys and their life cycle."),
    "grant": ("grant", "Grants: guest, key, operations, limits."),
    "role": ("role", "Roles: what is granted to one (grant add @ROLE KEY), each guest that has it may do."),
    "proposal": (
        "proposal",
        "Changes of guarded keys (key guard) that wait until enough administrators have approved.",
    ),
    "root": ("root", "The root of trust: what opens the key encryption key (KEK), under which every key is sealed."),
    "audit": ("audit", "The audit log."),
    "events": (
        "event",
        "Events for operators' handlers (serve --event-handlers): what was delivered, and what could not be.",
    ),
}
"""The texts are those of the modules, up to the first blank line; a test holds the two together."""


class CommandTree(TyperGroup):
    """Lists the commands without their modules; has the one that is asked for, with its own."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find what *args* begin with."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else listed, rest


def load_command(name: str) -> Any:
    """Import one: a TyperCommand, or a TyperGroup of some."""
    module, _ = COMMANDS[name]
    beside = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    beside.add_typer(import_module(f"vmm_keystore.cli.{module}").app)
    return get_group(beside).commands[name]

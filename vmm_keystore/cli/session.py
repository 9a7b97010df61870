# SPDX-License-Identifier: Apache-2.0
"""What every command shares: where keystored is, and whether the answer is wanted as JSON.

``command`` registers a function whose first parameter is a ``Session``; typer sees the options instead, so that they
stand in every command's help and may be given before or behind the command's name.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

if TYPE_CHECKING:
    from vmm_keystore.cli.client import ControlClient

DEFAULT_STATE_DIR = Path("/var/lib/vmm-keystore")
DEFAULT_CONTROL_SOCKET = Path("/run/vmm-keystore/control.sock")
"""Where the Debian package has it: in a folder that every administrator may enter."""
CONTROL_SOCKET_NAME = "control.sock"

P = ParamSpec("P")

ControlSocketOption = Annotated[
    Path | None,
    typer.Option(
        "--control-socket",
        metavar="PATH",
        readable=False,  # whoever connects finds out, and says more than that
        help="Control socket of keystored; else $VMM_KEYSTORE_CONTROL_SOCKET, else control.sock in the state folder; "
        f"where nothing names one, {DEFAULT_CONTROL_SOCKET} comes before the default folder's.",
    ),
]
StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        readable=False,
        help=f"State folder of keystored; else $VMM_KEYSTORE_STATE_DIR, else {DEFAULT_STATE_DIR}.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Place:
    """Where the caller said that keystored is; None where nothing was said."""

    control_socket: Path | None = None
    state_dir: Path | None = None

    def under(self, outer: Place) -> Place:
        """Fill what is missing here from *outer*; one of the two given here hides both of *outer*."""
        return self if self.control_socket or self.state_dir else outer

    def resolve_state_dir(self, environment: Mapping[str, str]) -> Path:
        """Say which state folder is meant."""
        return self.state_dir or Path(environment.get("VMM_KEYSTORE_STATE_DIR") or DEFAULT_STATE_DIR)

    def resolve_control_socket(self, environment: Mapping[str, str]) -> Path:
        """Say which socket to connect to: what was said wins over the environment, the socket over the folder."""
        if self.control_socket:
            return self.control_socket
        named = environment.get("VMM_KEYSTORE_CONTROL_SOCKET")
        if named and not self.state_dir:
            return Path(named)
        folder = self.resolve_state_dir(environment)
        unsaid = not self.state_dir and folder == DEFAULT_STATE_DIR
        if unsaid and os.path.exists(DEFAULT_CONTROL_SOCKET):  # noqa: PTH110 - no error where one may not look
            return DEFAULT_CONTROL_SOCKET
        return folder / CONTROL_SOCKET_NAME


@dataclass(frozen=True)
class Session:
    """One run of one command."""

    place: Place = field(default_factory=Place)
    as_json: bool = False

    @cached_property
    def keystored(self) -> ControlClient:
        """The control API; connects at the first request."""
        from vmm_keystore.cli.client import ControlClient  # noqa: PLC0415  # not needed for help and usage errors

        return ControlClient(self.place.resolve_control_socket(os.environ))

    def done(self, answer: Any, sentence: str) -> None:
        """Tell that a change is in force."""
        if self.as_json:
            from vmm_keystore.cli.output import show_json  # noqa: PLC0415

            show_json(answer)
        else:
            print(sentence)
            for effect in answer.get("applied", ()):
                if effect["outcome"] == "worker-killed":
                    print(
                        f"guest {effect['guest']}: its worker did not confirm in time and was ended, a new one follows"
                    )


def command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[Concatenate[Session, P], None]]:
    """Register a function of a session as command *name* of *app*."""

    def register(function: Callable[Concatenate[Session, P], None]) -> Callable[Concatenate[Session, P], None]:
        app.command(name)(_bind(function))
        return function

    return register


def _bind(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    _, *own = inspect.signature(function, eval_str=True).parameters.values()

    @functools.wraps(function)
    def run(
        *,
        ctx: typer.Context,
        control_socket: Path | None,
        state_dir: Path | None,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        place = Place(control_socket, state_dir).under(ctx.obj or Place())
        function(Session(place, as_json), **arguments)  # type: ignore[call-arg]

    named = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter("as_json", named, default=False, annotation=JsonOption),
        inspect.Parameter("control_socket", named, default=None, annotation=ControlSocketOption),
        inspect.Parameter("state_dir", named, default=None, annotation=StateDirOption),
    ]
    context = inspect.Parameter("ctx", named, annotation=typer.Context)
    parameters = [context, *(parameter.replace(kind=named) for parameter in own), *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run

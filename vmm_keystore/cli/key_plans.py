# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore key rotation`` and ``min-version``: when versions are replaced, and which still do anything."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vmm_keystore.cli.complete import Key
from vmm_keystore.cli.failure import UsageError
from vmm_keystore.cli.session import Session, command
from vmm_keystore.cli.time_option import as_seconds


def register(app: typer.Typer) -> None:
    """Add the commands to those for keys."""
    command(app, "min-version")(key_min_version)
    command(app, "rotation")(key_rotation)


def key_min_version(
    session: Session, label: Key, version: Annotated[int, typer.Argument(metavar="VERSION", min=1)]
) -> None:
    """Cut off the versions before this one: they do nothing any more; a smaller one gives them back."""
    key = session.keystored.post("keys", label, "min-version", body={"version": version})
    session.done(key, f"key {key['label']}: versions before {version} do nothing")


def key_rotation(
    session: Session,
    label: Key,
    *,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="Age of a version at which it is replaced, as 90d.")
    ] = None,
    uses: Annotated[
        int | None,
        typer.Option(
            "--uses",
            metavar="N",
            min=1,
            max=2**53,
            help="How often a version signs, encrypts or makes a MAC before it is replaced, within some seconds.",
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="By hand only.")] = False,
) -> None:
    """Have a key rotated whenever its current version has an age or so many uses, or by hand only.

    What is not given is off.
    """
    if (every is None and uses is None) == (not off):
        raise UsageError("--every, --uses or both are needed, or --off", f"key rotation {label} --every 90d")
    body = {"every_s": as_seconds(every) if every else None, "after_uses": uses}
    key = session.keystored.post("keys", label, "rotation", body=body)
    when = [f"every {every}"] * (every is not None) + [f"after {uses} uses"] * (uses is not None)
    session.done(key, f"key {key['label']} is rotated " + (" or ".join(when) or "by hand only"))


def rotated_words(key: dict[str, Any]) -> str:
    """When a key is rotated, in words."""
    when = [f"every {key['rotate_every_s']} s"] if key["rotate_every_s"] else []
    when += [f"after {key['rotate_after_uses']} uses"] if key["rotate_after_uses"] else []
    return " or ".join(when) or "by hand"

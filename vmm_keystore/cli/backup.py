# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore backup`` and ``restore``: the store in one file, and back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated

import typer

from vmm_keystore.cli.failure import CommandError
from vmm_keystore.cli.hsm_options import HsmEnvironment, HsmModule, HsmPin, hsm_place
from vmm_keystore.cli.output import moment, show_json
from vmm_keystore.cli.progress import FileProgress
from vmm_keystore.cli.session import Place, Session, command

app = typer.Typer()


@command(app, "backup")
def backup(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; - writes to standard output.")],
) -> None:
    """Copy the store as it is now, while keystored goes on.

    Keys are in it as the store has them, sealed; labels, guests and grants can be read by whoever has the file. The
    key encryption key (the file kek in the state folder) is not in it and has to be kept elsewhere.
    """
    with FileProgress() as progress:
        if str(file) == "-":
            session.keystored.fetch(sys.stdout.buffer, progress, "backup")
            sys.stdout.buffer.flush()
            return
        with new_file(file) as target:
            size = session.keystored.fetch(target, progress, "backup")
    session.done({"file": str(file), "bytes": size}, f"{file}: {size} bytes; keep kek elsewhere, it is not in there")


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that was not there, ours alone, durable when the block is left and gone when it raises."""
    try:
        target = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
    except FileExistsError as error:
        raise CommandError(f"{path} exists", "name a new file: a backup never overwrites another") from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    try:
        with target:
            yield target
            target.flush()
            os.fsync(target.fileno())
    except BaseException as error:
        path.unlink()
        if isinstance(error, OSError):
            raise CommandError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
        raise


@command(app, "restore")
def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What vmm-keystore backup made.")],
    root_key: Annotated[
        Path | None,
        typer.Option("--root-key", metavar="FILE", help="The key encryption key: copied to kek in the state folder."),
    ] = None,
    root_secret: Annotated[
        Path | None,
        typer.Option(
            "--root-secret",
            metavar="FILE",
            help="Passphrase or credential that opens it, where it takes one; else a passphrase is asked for.",
        ),
    ] = None,
    *,
    hsm_module: HsmModule = None,
    hsm_pin: HsmPin = None,
    hsm_env: HsmEnvironment = None,
) -> None:
    """Make a new state folder (--state-dir) from a backup, before keystored is started on it.

    The folder must not be there, or hold nothing but kek; a kek that does not open the backup is refused. Keys
    for AES or ChaCha20-Poly1305 that could encrypt only decrypt afterwards, until they are rotated: the backup does not
    know which nonces were used after it. Those that were suspended or not active yet stay out of use.
    """
    hsm = hsm_place(hsm_module, None, hsm_pin, hsm_env)
    from vmm_keystore.restore import OpenedBy  # noqa: PLC0415  # the store, for this command only
    from vmm_keystore.restore import restore as restore_state  # noqa: PLC0415  # the store, for this command only

    state_dir = (session.place.state_dir or Place().resolve_state_dir(os.environ)).absolute()
    with FileProgress() as progress:
        restored = restore_state(file, state_dir, progress, root_key, OpenedBy(root_secret, hsm))
    if session.as_json:
        show_json({"state_dir": str(state_dir), **asdict(restored)})
        return
    print(f"{state_dir}: {restored.keys} keys and {restored.guests} guests as of {_time(restored.created_s)}")
    if restored.to_rotate:
        print("these do not encrypt until they are rotated (vmm-keystore key rotate):")
        for label in restored.to_rotate:
            print(f"  {label}")
    if restored.suspended:
        print("these stay out of use and cannot be activated (key deactivate lets them decrypt, key rotate encrypt):")
        for label in restored.suspended:
            print(f"  {label}")
    if not restored.has_root_key:
        print(f"next: put the key encryption key back, as {state_dir / 'kek'} with mode 0600")


def _time(seconds: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return moment(datetime.fromtimestamp(seconds, UTC).isoformat())

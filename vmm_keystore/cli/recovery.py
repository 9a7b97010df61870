# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore root export-recovery`` and ``root recover``: the KEK in shares, and back."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from vmm_keystore.audit.segments import sync_directory
from vmm_keystore.cli.failure import CommandError, UsageError
from vmm_keystore.cli.output import show_json
from vmm_keystore.cli.session import Session, command
from vmm_keystore.workers.recovery import (
    SHARES_MAX,
    THRESHOLD_MIN,
    SecretProgramError,
    combine_shares,
    split_kek,
)

T = TypeVar("T")

O_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "export-recovery")(export_recovery)
    command(app, "recover")(recover)


def export_recovery(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Gets a file for each share; is made if need be.")],
    threshold: Annotated[
        int, typer.Option("--threshold", "-m", metavar="M", help="Shares that it takes to open the vault.")
    ] = 2,
    shares: Annotated[int, typer.Option("--shares", "-n", metavar="N", help="Shares to make, at most 16.")] = 3,
) -> None:
    """Split the key encryption key into N shares of which any M give it back; fewer say nothing about it.

    For the day when the KEK file, or what opens it, is lost: with M shares and a backup, root recover and restore make
    a vault again on any machine. Print each share or put it on a medium of its own, give it to somebody else, and remove
    the files. After root change they open backups from before only: make new ones. Only root and keystored's own user
    may.
    """
    if not THRESHOLD_MIN <= threshold <= shares <= SHARES_MAX:
        raise UsageError(
            f"shares of {threshold} of {shares} cannot be made", f"{THRESHOLD_MIN} <= M <= N <= {SHARES_MAX}"
        )
    paths = [folder / f"share-{number}-of-{shares}" for number in range(1, shares + 1)]
    kek = ""

    def export(offer_id: str, public_key: str) -> bytes:
        nonlocal kek
        answer = session.keystored.post(
            "root", "export-recovery", body={"offer_id": offer_id, "public_key": public_key}
        )
        kek = answer["kek"]
        return base64.b64decode(answer["wrapped"])

    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _cannot("make", folder, error) from error
    with _new_files(paths) as fds:
        _run(lambda: split_kek(threshold, fds, export))
    session.done(
        {"kek": kek, "threshold": threshold, "files": [str(path) for path in paths]},
        "\n".join(map(str, paths)) + f"\nany {threshold} of these give the kek {kek}; "
        "keep them apart, and not on this machine",
    )


def recover(
    session: Session,
    shares: Annotated[list[Path], typer.Argument(metavar="SHARE...", help="Files with a share each.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The KEK file to make.")],
) -> None:
    """Make a KEK file of shares, for restore --root-key; needs no keystored.

    Whoever has this file and a backup has the keys: after the restore, root change makes another KEK.
    """
    if len(shares) > SHARES_MAX:
        raise UsageError(f"{len(shares)} shares are more than there can be", f"at most {SHARES_MAX}")
    with ExitStack() as stack:
        fds = [stack.enter_context(_reading(path)) for path in shares]
        (kek_fd,) = stack.enter_context(_new_files([to]))
        kek = _run(lambda: combine_shares(kek_fd, fds), shares)
    if session.as_json:
        show_json({"kek": kek, "file": str(to)})
    else:
        print(f"{to}: the kek {kek}\nnext: vmm-keystore restore BACKUP --root-key {to}; then remove {to}")


@contextmanager
def _new_files(paths: Sequence[Path]) -> Iterator[list[int]]:
    """Files that were not there, of this user alone; gone when the block raises."""
    made: list[tuple[Path, int]] = []
    try:
        for path in paths:
            try:
                made.append((path, os.open(path, O_NEW, 0o600)))
            except FileExistsError as error:
                raise CommandError(f"{path} exists", "name another place: nothing is overwritten") from error
            except OSError as error:
                raise _cannot("write", path, error) from error
        yield [fd for _, fd in made]
        for folder in {path.parent for path in paths}:
            sync_directory(folder)
    except BaseException:
        for path, _ in made:
            path.unlink(missing_ok=True)
        raise
    finally:
        for _, fd in made:
            os.close(fd)


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot("read", path, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _run(work: Callable[[], T], shares: Sequence[Path] = ()) -> T:
    try:
        return work()
    except SecretProgramError as error:
        message = error.message
        for number, path in enumerate(shares, 1):
            message = message.replace(f"share file {number} ", f"{path} ")
        raise CommandError(message, error.hint) from error


def _cannot(what: str, path: Path, error: OSError) -> CommandError:
    return CommandError(f"cannot {what} {path}: {(error.strerror or str(error)).lower()}")

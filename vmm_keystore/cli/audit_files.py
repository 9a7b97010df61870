# SPDX-License-Identifier: Apache-2.0
"""Audit commands that read the files themselves: on the auditor's machine there is no keystored to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vmm_keystore.audit.line import Link
from vmm_keystore.audit.note import NOTE_BYTES_MAX, AuditPublicKey
from vmm_keystore.audit.report import count_uses
from vmm_keystore.audit.selection import Selection
from vmm_keystore.audit.verify import verify_chain
from vmm_keystore.cli.failure import CommandError, UsageError
from vmm_keystore.cli.progress import FileProgress
from vmm_keystore.errors import AuditNoteError, KeystoreError


def verify_files(folder: Path, public_key: Path | None, checkpoints: Sequence[Path]) -> dict[str, Any]:
    """Check a folder; the findings as the control API gives them.

    Raises:
        UsageError: what was named is not what it should be.
        CommandError: a kept checkpoint is not of this key.
    """
    _check_folder(folder)
    if checkpoints and public_key is None:
        raise UsageError("a checkpoint is worth nothing without the key it was signed with", "add --public-key FILE")
    key = None if public_key is None else _read_key(public_key)
    kept = [] if key is None else [_read_checkpoint(path, key) for path in checkpoints]
    with FileProgress() as progress:
        report = verify_chain(folder, key=key, kept=kept, progress=progress)
    return {"ok": report.ok, **asdict(report)}


def report_files(folder: Path, names: Sequence[str], since: str | None, until: str | None) -> list[dict[str, Any]]:
    """Count uses by *names*.

    Raises:
        UsageError: there is no such folder or name.
    """
    _check_folder(folder)
    with FileProgress() as progress:
        return count_uses(folder, names, Selection(since=since or "", until=until or ""), progress)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name the folder audit in keystored's state folder, or a copy")


def _read_key(path: Path) -> AuditPublicKey:
    try:
        return AuditPublicKey.from_text(_read(path))
    except KeystoreError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error


def _read_checkpoint(path: Path, key: AuditPublicKey) -> Link:
    try:
        return key.open_note(_read(path))
    except AuditNoteError as error:
        raise CommandError(f"{path}: {error.message}", "nothing was checked against it") from error


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(NOTE_BYTES_MAX + 1)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text") from error

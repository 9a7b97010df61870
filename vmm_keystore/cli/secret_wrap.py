# SPDX-License-Identifier: Apache-2.0
"""Secrets of whoever runs a command, on their way to the custodian: only ever as ciphertext."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

from vmm_keystore.cli.failure import CommandError, ExitStatus, UsageError
from vmm_keystore.workers.secret_program import SecretProgramError, wrap_secret


def wrap_key_file(offer: dict[str, str], file: Path, *, key_type: str, form: str, passphrase_file: Path | None) -> str:
    """Wrap the key in *file* for the custodian.

    Args:
        offer: what the control API offered: ``offer_id`` and ``public_key`` in hex.
        file: the key.
        key_type: name of the key type, or ``auto``.
        form: pem, der, pkcs8, raw or auto.
        passphrase_file: where the passphrase stands; without it the program asks on the terminal.

    Returns:
        The wrapped key in base64.

    Raises:
        CommandError: the program could not read the file as a key; the message is its own.
    """
    options: list[str | Path] = ["--type", key_type, "--format", form]
    return _wrap(offer, [*options, *_passphrase(passphrase_file), "--", file])


def wrap_pkcs12_file(
    offer: dict[str, str], file: Path, *, key_type: str, passphrase_file: Path | None
) -> tuple[str, str]:
    """Wrap the key in a PKCS#12 file, as ``wrap_key_file`` does.

    Returns:
        The wrapped key in base64, and as PEM the certificates that belong to it; empty where there are none.
    """
    # In memory, and not a pipe: nobody reads while the program writes.
    with os.fdopen(os.memfd_create("certificates"), "r+b") as certificates:
        descriptor = certificates.fileno()
        options: list[str | Path] = ["--type", key_type, "--format", "pkcs12", "--certificates-fd", str(descriptor)]
        arguments = [*options, *_passphrase(passphrase_file), "--", file]
        wrapped = _wrap(offer, arguments, pass_fds=[descriptor])
        certificates.seek(0)
        return wrapped, certificates.read().decode("ascii")


def wrap_root_passphrase(offer: dict[str, str], passphrase_file: Path | None, *, new: bool) -> str:
    """Wrap the passphrase of the root of trust, as ``wrap_key_file`` does a key; a new one is asked for twice."""
    return _wrap(offer, ["--new-root-passphrase" if new else "--root-passphrase", *_passphrase(passphrase_file)])


def _passphrase(file: Path | None) -> list[str | Path]:
    return [] if file is None else ["--passphrase-file", file]


def _wrap(offer: dict[str, str], arguments: Sequence[str | Path], pass_fds: Sequence[int] = ()) -> str:
    try:
        wrapped = wrap_secret(offer["offer_id"] + offer["public_key"], arguments, pass_fds=pass_fds)
        return base64.b64encode(wrapped).decode()
    except SecretProgramError as error:
        kind = UsageError if error.status == ExitStatus.USAGE else CommandError
        raise kind(error.message, error.hint) from error

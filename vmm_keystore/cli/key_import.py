# SPDX-License-Identifier: Apache-2.0
"""Runs vks-import, the C program that reads a key file and encrypts it to the custodian's one-time key.

The key and its passphrase exist in that program only; what comes back through the pipe is ciphertext.
"""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from vmm_keystore.cli.failure import CommandError, ExitStatus, UsageError
from vmm_keystore.errors import KeystoreError
from vmm_keystore.workers.programs import program_path


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
    command: list[str | Path] = [program_path("vks-import"), "--offer", offer["offer_id"] + offer["public_key"]]
    command += ["--type", key_type, "--format", form]
    if passphrase_file is not None:
        command += ["--passphrase-file", passphrase_file]
    done = subprocess.run([*command, "--", file], capture_output=True, check=False)
    if done.returncode != 0:
        raise _failure(done.returncode, done.stderr.decode(errors="replace"))
    return base64.b64encode(done.stdout).decode()


def _failure(returncode: int, text: str) -> KeystoreError:
    lines = [line for line in text.splitlines() if line]
    message = next((line for line in lines if not line.startswith("hint: ")), f"vks-import ended with {returncode}")
    hint = next((line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")), "")
    kind = UsageError if returncode == ExitStatus.USAGE else CommandError
    return kind(message.removeprefix("vks-import: "), hint)

# SPDX-License-Identifier: Apache-2.0
"""Keys made outside the vault with openssl and then imported: the demo knows every byte of them and can search for it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from framework.secret_forms import (
    PrivateKey,
    Secret,
    aes_secret,
    hmac_secret,
    private_key_secret,
    secret_bytes,
)


@dataclass(frozen=True)
class KnownKey:
    """A key file, how it is imported, what a grant on it allows, and its secret forms."""

    label: str
    file: Path
    import_options: tuple[str, ...]
    ops: str
    secret: Secret
    raw: bytes = b""


def make_known_keys(folder: Path) -> tuple[list[KnownKey], Secret]:
    """Make one key of each kind in *folder*; also returns the passphrase that protects one of the files."""
    folder.mkdir(mode=0o700)
    passphrase = os.urandom(12).hex()
    passphrase_file = folder / "passphrase"
    passphrase_file.write_text(passphrase + "\n")
    protected = ("-aes256", "-pass", f"file:{passphrase_file}")
    keys = [
        _key_pair(folder, "tls", ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")),
        _key_pair(folder, "login", ("-algorithm", "ED25519", *protected), passphrase=passphrase),
        _key_pair(folder, "release", ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")),
        _raw_key(folder, "disk", "aes-256", "encrypt,decrypt"),
        _raw_key(folder, "token", "hmac-sha256", "mac,mac-verify"),
    ]
    return keys, secret_bytes("passphrase", passphrase.encode())


def _key_pair(folder: Path, label: str, options: tuple[str, ...], passphrase: str | None = None) -> KnownKey:
    file = folder / f"{label}.pem"
    subprocess.run(["openssl", "genpkey", *options, "-out", file], check=True, capture_output=True)
    key = load_pem_private_key(file.read_bytes(), passphrase.encode() if passphrase else None)
    imports = ("--passphrase-file", str(folder / "passphrase")) if passphrase else ()
    return KnownKey(label, file, imports, "sign,verify", private_key_secret(label, cast("PrivateKey", key)))


def _raw_key(folder: Path, label: str, key_type: str, ops: str) -> KnownKey:
    raw = os.urandom(32)
    file = folder / f"{label}.key"
    file.write_bytes(raw)
    secret = aes_secret(label, raw) if key_type.startswith("aes") else hmac_secret(label, raw)
    return KnownKey(label, file, ("--type", key_type, "--format", "raw"), ops, secret, raw)

# SPDX-License-Identifier: Apache-2.0
"""A custodian with an open KEK, and keys of every asymmetric type made by an independent implementation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from custodian.custodian_process import Custodian
from framework.secret_forms import PrivateKey


@pytest.fixture
def custodian(tmp_path: Path) -> Iterator[Custodian]:
    """Started, KEK made."""
    with Custodian() as process:
        assert process.open_root(tmp_path / "kek", create=True) == 0
        yield process


@pytest.fixture(scope="session")
def private_keys() -> dict[str, PrivateKey]:
    """By the name of the key type."""
    return {
        "ec-p256": ec.generate_private_key(ec.SECP256R1()),
        "ec-p384": ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa-2048": rsa.generate_private_key(65537, 2048),
        "rsa-3072": rsa.generate_private_key(65537, 3072),
        "x25519": x25519.X25519PrivateKey.generate(),
    }

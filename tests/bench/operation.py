# SPDX-License-Identifier: Apache-2.0
"""What is measured: an operation by its name in the results, and how a guest asks for it."""

from collections.abc import Iterator
from dataclasses import dataclass

from vmm_keystore._vks import lib

DEPTHS = (1, 8, 32, 128)
IN_FLIGHT_BYTES_MAX = 64 << 20
"""Deeper queues of large requests only measure the memory."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of both the vault and plain libcrypto."""

    name: str
    key_type: str
    grant: str
    op: int
    mechanism: int
    sizes: tuple[int, ...]
    overhead_bytes: int
    """What the output is longer than the input, or its whole length where it does not grow with it."""
    grows: bool = False

    def output_bytes(self, size_bytes: int) -> int:
        """Room for the answer."""
        return self.overhead_bytes + (size_bytes if self.grows else 0)


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table."""

    operation: Operation
    size_bytes: int
    depth: int


SIGN = lib.VKS_OP_SIGN
OPERATIONS = (
    Operation("p256-sign", "ec-p256", "sign", SIGN, lib.VKS_MECHANISM_ECDSA_SHA256, (32,), 64),
    Operation("p384-sign", "ec-p384", "sign", SIGN, lib.VKS_MECHANISM_ECDSA_SHA256, (32,), 96),
    Operation("ed25519-sign", "ed25519", "sign", SIGN, lib.VKS_MECHANISM_ED25519, (32, 16384), 64),
    Operation("rsa2048-sign", "rsa-2048", "sign", SIGN, lib.VKS_MECHANISM_RSA_PKCS1_SHA256, (32,), 256),
    Operation("rsa3072-sign", "rsa-3072", "sign", SIGN, lib.VKS_MECHANISM_RSA_PKCS1_SHA256, (32,), 384),
    Operation(
        "aes256gcm-encrypt",
        "aes-256",
        "encrypt",
        lib.VKS_OP_ENCRYPT,
        lib.VKS_MECHANISM_AES_GCM,
        (64, 1024, 16384, 1 << 20),
        28,
        grows=True,
    ),
    Operation(
        "hmac-sha256",
        "hmac-sha256",
        "mac",
        lib.VKS_OP_MAC,
        lib.VKS_MECHANISM_HMAC_SHA256,
        (64, 1024, 16384, 1 << 20),
        32,
    ),
)


def cells(operation: Operation, size_bytes: int) -> Iterator[Cell]:
    """Every queue depth that makes sense for it."""
    for depth in DEPTHS:
        if depth == 1 or depth * size_bytes <= IN_FLIGHT_BYTES_MAX:
            yield Cell(operation, size_bytes, depth)

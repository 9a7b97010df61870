# SPDX-License-Identifier: Apache-2.0
"""What is measured: an operation by its name in the results, and how a guest asks for it."""

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
    """Operations, as ``--ops`` takes them."""
    op: int
    mechanism: int
    sizes: tuple[int, ...]
    overhead_bytes: int
    """What the output is longer than the input, or its whole length where it does not grow with it."""
    grows: bool = False
    parameter: bytes = b""

    @property
    def function(self) -> str:
        """What a worker calls it when it says which engine serves it."""
        return FUNCTIONS.get(self.name, self.name)

    def output_bytes(self, size_bytes: int) -> int:
        """Room for the answer."""
        return self.overhead_bytes + (size_bytes if self.grows else 0)


FUNCTIONS = {"aes256gcm-encrypt": "aes-gcm", "p256-ecdh": "p256-derive", "x25519-ecdh": "x25519-derive"}
SIGN = lib.VKS_OP_SIGN
# A peer's public key: the base point of P-256 (SP 800-186, 3.2.1.3), and that of X25519 (RFC 7748, 4.1).
P256_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
X25519_POINT = b"\x09" + bytes(31)
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
        "chacha20poly1305-encrypt",
        "chacha20-poly1305",
        "encrypt",
        lib.VKS_OP_ENCRYPT,
        lib.VKS_MECHANISM_CHACHA20_POLY1305,
        (64, 16384),
        28,
        grows=True,
    ),
    Operation(
        "p256-ecdh",
        "ec-p256",
        "derive,release",
        lib.VKS_OP_DERIVE,
        lib.VKS_MECHANISM_ECDH,
        (0,),
        32,
        parameter=P256_POINT,
    ),
    Operation(
        "x25519-ecdh",
        "x25519",
        "derive,release",
        lib.VKS_OP_DERIVE,
        lib.VKS_MECHANISM_ECDH,
        (0,),
        32,
        parameter=X25519_POINT,
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


def depths(size_bytes: int) -> list[int]:
    """Every queue depth that makes sense for requests of this size."""
    return [depth for depth in DEPTHS if depth == 1 or depth * size_bytes <= IN_FLIGHT_BYTES_MAX]

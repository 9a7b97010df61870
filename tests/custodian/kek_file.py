# SPDX-License-Identifier: Apache-2.0
"""KEK files and sealed blobs, written again from root_file.h and seal.h with another library."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEAD = struct.Struct("<19sBIII32s")
LINE = b"vmm-keystore kek 2\n"
SUM_BYTES = 32
SEALED_KEK_BYTES = 48
PASSPHRASE, CREDENTIAL, TPM, HSM = 2, 3, 4, 5


@dataclass(frozen=True)
class SealedKek:
    """The sealed form of the file."""

    kind: int
    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    sealed: bytes
    blob: bytes = b""
    line: bytes = LINE

    @classmethod
    def parse(cls, content: bytes) -> SealedKek:
        """Read a file and check its sum."""
        assert hashlib.sha256(content[:-SUM_BYTES]).digest() == content[-SUM_BYTES:]
        line, kind, memory_kib, passes, lanes, salt = HEAD.unpack_from(content)
        rest = content[HEAD.size : -SUM_BYTES]
        return cls(
            kind, memory_kib, passes, lanes, salt, rest[:SEALED_KEK_BYTES], blob=rest[SEALED_KEK_BYTES:], line=line
        )

    @property
    def head(self) -> bytes:
        """What is authenticated."""
        return HEAD.pack(self.line, self.kind, self.memory_kib, self.passes, self.lanes, self.salt)

    def write(self) -> bytes:
        """The file, with the sum of what it says."""
        content = self.head + self.sealed + self.blob
        return content + hashlib.sha256(content).digest()

    def but(self, **fields: object) -> bytes:
        """The file with some fields changed, and a sum that fits."""
        return replace(self, **fields).write()  # type: ignore[arg-type]

    def open(self, secret: bytes) -> bytes:
        """The KEK."""
        if self.kind == PASSPHRASE:
            stretch = Argon2id(
                salt=self.salt, length=32, iterations=self.passes, lanes=self.lanes, memory_cost=self.memory_kib
            )
            secret = stretch.derive(secret)
        key = HKDF(SHA256(), 32, self.salt, b"vmm-keystore root v1").derive(secret)
        return AESGCM(key).decrypt(bytes(12), self.sealed, self.head)


def unseal(kek: bytes, blob: bytes, key_id: bytes, version: int, key_type: int) -> bytes:
    """What a blob holds; raises InvalidTag."""
    key = HKDF(SHA256(), 32, blob[4:36], b"vmm-keystore seal v1").derive(kek)
    name = b"VKS\x01" + key_id + struct.pack("<II", version, key_type)
    return AESGCM(key).decrypt(bytes(12), blob[36:], name)

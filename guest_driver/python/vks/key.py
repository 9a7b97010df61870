# SPDX-License-Identifier: BSD-3-Clause
"""A key of the vault, and what this guest may do with it."""

import base64
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vks.error import Refused, Status, check
from vks.library import Bytes, KeyStructure, UseStructure, library, words

# A signature of ML-DSA-87 has 4627 bytes, a public key of RSA-4096 550 and of ML-DSA-87 2614.
RESULT_BYTES = 8192
# Nonce and tag, or a block of padding.
GROWTH_BYTES = 64
ECDSA_RAW_BYTES = {"ec-p256": 64, "ec-p384": 96, "ec-p521": 132}
ECDSA_DER_MORE = 9
PEM_LINE = 64


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One version of a key.

    Attributes:
        id: 32 hexadecimal digits.
        label: what the host calls it.
        version: from 1 on.
        type: ``ec-p256`` and so on.
        state: ``active`` and so on (NIST SP 800-57).
        is_current: the version that signs and encrypts where none is named.
        is_own: the guest made it, and may rotate and destroy it.
        operations: that the grant allows.
        mechanisms: likewise.
    """

    id: str
    label: str
    version: int
    type: str
    state: str
    is_current: bool
    is_own: bool
    operations: frozenset[str]
    mechanisms: frozenset[str]


class Caller(Protocol):
    """Whoever calls libvks for a key: its device."""

    def call(self, function: Callable[..., int], *arguments: object) -> None:
        """Call it."""


class Key:
    """A key to work with. It stays that key when it is rotated: the current version is whichever is it then.

    Every method raises ``Refused`` with the device's answer, ``Unavailable`` where there was none, and ValueError for a
    mechanism that nobody knows.
    """

    def __init__(self, device: Caller, info: KeyInfo, version: int) -> None:
        self._device = device
        self._version = version
        self.info = info

    def public_der(self) -> bytes:
        """The public key as SubjectPublicKeyInfo."""
        return self._result(library.vks_public, RESULT_BYTES, self._use(""))

    def public_pem(self) -> str:
        """The public key as openssl has it."""
        text = base64.b64encode(self.public_der()).decode()
        lines = [text[start : start + PEM_LINE] for start in range(0, len(text), PEM_LINE)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])

    def sign(self, message: bytes, mechanism: str = "", *, digest: bool = False) -> bytes:
        """Sign; ECDSA signatures are DER.

        Args:
            message: up to 1 MiB, or its digest.
            mechanism: else the key type's own.
            digest: *message* is that.
        """
        raw = self._result(library.vks_sign, RESULT_BYTES, self._use(mechanism, digest=digest), Bytes.of(message))
        if self.info.type not in ECDSA_RAW_BYTES:
            return raw
        output, size = (
            ctypes.create_string_buffer(len(raw) + ECDSA_DER_MORE),
            ctypes.c_size_t(len(raw) + ECDSA_DER_MORE),
        )
        check(library.vks_ecdsa_to_der(Bytes.of(raw), output, ctypes.byref(size)))
        return output.raw[: size.value]

    def verify(self, message: bytes, signature: bytes, mechanism: str = "", *, digest: bool = False) -> bool:
        """Whether *signature*, as ``sign`` gives it, is one of *message*."""
        raw_size = ECDSA_RAW_BYTES.get(self.info.type)
        if raw_size:
            output = ctypes.create_string_buffer(raw_size)
            if library.vks_ecdsa_from_der(Bytes.of(signature), output, raw_size):
                return False
            signature = output.raw
        use = self._use(mechanism, digest=digest)
        return self._verified(library.vks_verify, use, Bytes.of(message), Bytes.of(signature))

    def encrypt(self, plaintext: bytes, *, aad: bytes = b"", mechanism: str = "", parameter: bytes = b"") -> bytes:
        """Encrypt up to 1 MiB: nonce, ciphertext and tag in one, as ``decrypt`` takes them.

        Args:
            plaintext: what.
            aad: what the result is bound to, with AES-GCM and ChaCha20-Poly1305.
            mechanism: else the key type's own.
            parameter: OAEP's label, the caller's own nonce, XTS's tweak.
        """
        parts = (Bytes.of(parameter), Bytes.of(aad), Bytes.of(plaintext))
        size = max(len(plaintext) + GROWTH_BYTES, RESULT_BYTES)
        return self._result(library.vks_encrypt, size, self._use(mechanism), *parts)

    def decrypt(self, ciphertext: bytes, *, aad: bytes = b"", mechanism: str = "", parameter: bytes = b"") -> bytes:
        """Decrypt what ``encrypt`` gave; ``Refused`` with ``Status.AUTH_FAILED`` where it was changed."""
        parts = (Bytes.of(parameter), Bytes.of(aad), Bytes.of(ciphertext))
        return self._result(library.vks_decrypt, max(len(ciphertext), RESULT_BYTES), self._use(mechanism), *parts)

    def mac(self, message: bytes, mechanism: str = "") -> bytes:
        """The tag of *message*."""
        return self._result(library.vks_mac, RESULT_BYTES, self._use(mechanism), Bytes.of(message))

    def mac_verify(self, message: bytes, tag: bytes, mechanism: str = "") -> bool:
        """Whether *tag* is that of *message*; compared on the host, in constant time."""
        return self._verified(library.vks_mac_verify, self._use(mechanism), Bytes.of(message), Bytes.of(tag))

    def _use(self, mechanism: str, *, digest: bool = False) -> UseStructure:
        number = library.vks_mechanism_from_name(words(mechanism)) if mechanism else 0
        if mechanism and not number:
            raise ValueError(f"no mechanism {mechanism!r}")
        use = UseStructure(key_version=self._version, mechanism=number, is_digest=digest)
        use.key_id[:] = bytes.fromhex(self.info.id)
        return use

    def _result(self, function: Callable[..., int], room: int, use: UseStructure, *parts: Bytes) -> bytes:
        output, size = ctypes.create_string_buffer(room), ctypes.c_size_t(room)
        self._device.call(function, ctypes.byref(use), *parts, output, ctypes.byref(size))
        return output.raw[: size.value]

    def _verified(self, function: Callable[..., int], use: UseStructure, *parts: Bytes) -> bool:
        try:
            self._device.call(function, ctypes.byref(use), *parts)
        except Refused as refused:
            if refused.code == Status.AUTH_FAILED:
                return False
            raise
        return True


def names(mask: int, name_of: Callable[[int], bytes | None]) -> frozenset[str]:
    """The names of the bits that are set; what this library has no name for is left out."""
    found = (name_of(bit) for bit in range(mask.bit_length()) if mask >> bit & 1)
    return frozenset(name.decode() for name in found if name)


def key_info(key: KeyStructure) -> KeyInfo:
    """As libvks lists it."""
    return KeyInfo(
        id=bytes(key.id).hex(),
        label=key.label.decode(errors="replace"),
        version=key.version,
        type=(library.vks_key_type_name(key.type) or b"unknown").decode(),
        state=(library.vks_key_state_name(key.state) or b"unknown").decode(),
        is_current=key.is_current,
        is_own=library.vks_key_is_own(ctypes.byref(key)),
        operations=names(key.op_mask, library.vks_op_name),
        mechanisms=names(key.mechanism_mask, library.vks_mechanism_name),
    )

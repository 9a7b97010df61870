# SPDX-License-Identifier: Apache-2.0
"""The forms in which a known key may lie in memory or a file: numbers in both byte orders, text, expanded keys.

DER, PKCS#8 and PEM need no forms of their own: they hold the same numbers, as they are or in base64.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | x25519.X25519PrivateKey

# Runs shorter than this are chance: eight digits of hex are four bytes, and memory is full of hex.
_RUN_MIN = {"hex": 24, "HEX": 24, "base64": 16}
_RUN_MIN_BINARY = 8


@dataclass(frozen=True)
class Secret:
    """A secret and its forms by name; the part of a name behind the last blank says how it is written."""

    name: str
    forms: Mapping[str, bytes]

    def run_bytes_min(self, form: str) -> int:
        """How many bytes of *form* must stand together to be no chance."""
        return _RUN_MIN.get(form.rpartition(" ")[2], _RUN_MIN_BINARY)


def secret_bytes(name: str, value: bytes, part: str = "raw") -> Secret:
    """A secret that is one string of bytes, such as an HMAC key or a passphrase."""
    return Secret(name, dict(_written(part, value)))


def hmac_secret(name: str, key: bytes) -> Secret:
    """An HMAC key of at most one block, plain and as the padded blocks that are hashed first."""
    forms = dict(_written("raw", key))
    forms["inner pad"] = bytes(byte ^ 0x36 for byte in key)
    forms["outer pad"] = bytes(byte ^ 0x5C for byte in key)
    return Secret(name, forms)


def xts_secret(name: str, key: bytes) -> Secret:
    """The two AES keys of XTS with all that is made of each."""
    halves = (key[: len(key) // 2], key[len(key) // 2 :])
    forms = {
        f"{which} {part}": form
        for which, half in zip(("data", "tweak"), halves, strict=True)
        for part, form in aes_secret(name, half).forms.items()
    }
    return Secret(name, forms)


def private_key_secret(name: str, key: PrivateKey) -> Secret:
    """A private key with each of its secret numbers."""
    forms: dict[str, bytes] = {}
    for part, value in _numbers(key):
        forms |= _written(part, value)
    return Secret(name, forms)


def aes_secret(name: str, key: bytes) -> Secret:
    """An AES key: raw, every round key, those of the inverse cipher, and GCM's hash key."""
    forms = dict(_written("raw", key))
    rounds = _round_keys(key)
    for number, round_key in enumerate(rounds):
        for part, value in (("round key", round_key), ("inverse round key", _inverse_mix(round_key))):
            forms[f"{part} {number} bytes"] = value
            forms[f"{part} {number} words"] = _swap_words(value)
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  # GCM's H is this by definition
    forms |= _written("gcm hash key", encryptor.update(bytes(16)))
    return Secret(name, forms)


def _numbers(key: PrivateKey) -> Iterator[tuple[str, bytes]]:
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        half = key.key_size // 16
        yield "d", numbers.d.to_bytes(2 * half)
        for part, value in (
            ("p", numbers.p),
            ("q", numbers.q),
            ("dp", numbers.dmp1),
            ("dq", numbers.dmq1),
            ("qinv", numbers.iqmp),
        ):
            yield part, value.to_bytes(half)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        yield "scalar", key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    elif isinstance(key, x25519.X25519PrivateKey):
        scalar = bytearray(key.private_bytes_raw())
        yield "scalar", bytes(scalar)
        scalar[0] &= 0xF8
        scalar[31] = scalar[31] & 0x7F | 0x40
        yield "clamped scalar", bytes(scalar)
    else:
        seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        expanded = bytearray(hashlib.sha512(seed).digest())
        yield "seed", seed
        yield "expanded seed", bytes(expanded)
        expanded[0] &= 0xF8
        expanded[31] = expanded[31] & 0x7F | 0x40
        yield "clamped scalar", bytes(expanded[:32])


def _written(part: str, value: bytes) -> Iterator[tuple[str, bytes]]:
    yield f"{part} bytes", value
    yield f"{part} reversed", value[::-1]
    yield f"{part} hex", value.hex().encode()
    yield f"{part} HEX", value.hex().upper().encode()
    for shift in range(3):
        # base64 depends on where the value stands in groups of three; only groups wholly of it are its own.
        text = base64.b64encode(bytes(shift) + value)
        whole = (shift + len(value)) // 3 * 4
        yield f"{part} shifted {shift} base64", text[4 if shift else 0 : whole]


def _swap_words(value: bytes) -> bytes:
    return b"".join(value[start : start + 4][::-1] for start in range(0, len(value), 4))


def _times_x(byte: int) -> int:
    return (byte << 1 ^ (0x1B if byte & 0x80 else 0)) & 0xFF


def _times(byte: int, factor: int) -> int:
    product = 0
    while factor:
        if factor & 1:
            product ^= byte
        byte, factor = _times_x(byte), factor >> 1
    return product


def _sbox() -> bytes:
    """FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map."""
    table = bytearray(256)
    for byte in range(256):
        inverse = next((other for other in range(256) if _times(byte, other) == 1), 0)
        table[byte] = 0x63
        for turn in range(5):
            table[byte] ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
    return bytes(table)


def _round_keys(key: bytes) -> list[bytes]:
    """FIPS 197, 5.2: the key schedule, 16 bytes a round."""
    sbox, size = _sbox(), len(key) // 4
    words = [key[start : start + 4] for start in range(0, len(key), 4)]
    constant = 1
    for index in range(size, 4 * (size + 7)):
        word = words[-1]
        if index % size == 0:
            word = bytes(sbox[byte] for byte in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _times_x(constant)
        elif size > 6 and index % size == 4:
            word = bytes(sbox[byte] for byte in word)
        words.append(bytes(one ^ other for one, other in zip(words[index - size], word, strict=True)))
    return [b"".join(words[start : start + 4]) for start in range(0, len(words), 4)]


def _inverse_mix(round_key: bytes) -> bytes:
    """FIPS 197, 5.3.3: InvMixColumns, as the equivalent inverse cipher keeps its round keys."""
    mixed = bytearray()
    for start in range(0, 16, 4):
        column = round_key[start : start + 4]
        for row in range(4):
            value = 0
            for place, factor in enumerate((14, 11, 13, 9)):
                value ^= _times(column[(row + place) % 4], factor)
            mixed.append(value)
    return bytes(mixed)

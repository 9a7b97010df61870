# SPDX-License-Identifier: Apache-2.0
"""The text of a recovery share and Shamir's scheme, written again from their descriptions, without libgfshare.

GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (libgfshare's documentation).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

FIRST_LINE = "vmm-keystore recovery share 1"
POLYNOMIAL = 0x11D


@dataclass(frozen=True)
class ShareText:
    """What one file says."""

    threshold: int
    count: int
    index: int
    set: str
    kek: str
    share: bytes

    @classmethod
    def parse(cls, text: str) -> ShareText:
        """Read it; the checksum must fit, and the line for people say what the digits say."""
        first, second, *rest = text.splitlines()
        content = bytes.fromhex("".join(rest))
        body, summed = content[:-4], content[-4:]
        assert first == FIRST_LINE
        assert hashlib.sha256(body).digest()[:4] == summed
        assert (body[0], len(body)) == (1, 48)
        parsed = cls(body[1], body[2], body[3], body[4:8].hex(), body[8:16].hex(), body[16:])
        said = f"share {parsed.index} of {parsed.count}; any {parsed.threshold} of set {parsed.set}"
        assert second == f"{said} give the kek {parsed.kek}"
        return parsed

    def write(self) -> str:
        """Write it; the two lines for people may say anything."""
        body = bytes([1, self.threshold, self.count, self.index]) + bytes.fromhex(self.set + self.kek) + self.share
        return f"{FIRST_LINE}\nfor people\n{(body + hashlib.sha256(body).digest()[:4]).hex()}"


def _times(one: int, other: int) -> int:
    product = 0
    while other:
        product ^= one if other & 1 else 0
        one = one << 1 ^ (POLYNOMIAL if one & 0x80 else 0)
        other >>= 1
    return product


def _power(base: int, exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = _times(result, base)
    return result


def interpolate(shares: Sequence[ShareText]) -> bytes:
    """The polynomials' values at 0, by Lagrange; in GF(2^8) the inverse is the 254th power."""
    factors = []
    for mine in shares:
        factor = 1
        for other in shares:
            if other is not mine:
                factor = _times(factor, _times(other.index, _power(other.index ^ mine.index, 254)))
        factors.append(factor)
    secret = bytearray(len(shares[0].share))
    for factor, one in zip(factors, shares, strict=True):
        for position, byte in enumerate(one.share):
            secret[position] ^= _times(factor, byte)
    return bytes(secret)

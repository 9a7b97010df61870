# SPDX-License-Identifier: Apache-2.0
"""Hashes that a key from elsewhere may be wrapped with."""

from enum import Enum


class OaepHash(Enum):
    """Of RSA-OAEP and of its MGF1."""

    SHA1 = "sha1"
    SHA256 = "sha256"

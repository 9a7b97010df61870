# SPDX-License-Identifier: Apache-2.0
"""A disk with a LUKS2 header, made by cryptsetup without device mapper, and what somebody does to it who can write it.

Source: LUKS2 On-Disk Format Specification 1.1, "Binary Header": two copies of a binary header of 4096 bytes and its JSON
area, each with a checksum over both; the copy with the larger sequence number is the one that is read.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARY_BYTES = 4096
CHECKSUM = slice(448, 512)
PASSPHRASE = b"of the one who installed it"


def luks_format(path: Path, *options: str, size_bytes: int = 20 << 20) -> Path:
    """Make *path* a disk that PASSPHRASE opens, quickly."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
    quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    command = ["cryptsetup", "luksFormat", "--batch-mode", *quick, "--key-file", "-", *options, str(path)]
    subprocess.run(command, input=PASSPHRASE, check=True)
    return path


@contextmanager
def metadata(path: Path) -> Iterator[Any]:
    """Give the header's JSON; what is changed in it is written into both copies, with a right checksum."""
    with path.open("r+b") as file:
        size = int.from_bytes(_bytes(file, 8, 8), "big")
        area = _bytes(file, BINARY_BYTES, size - BINARY_BYTES)
        parts = json.loads(area.rstrip(b"\0"))
        yield parts
        text = json.dumps(parts).encode()
        if len(text) >= len(area):
            raise ValueError("no room for so much metadata")
        for start in (0, size):
            binary = bytearray(_bytes(file, start, BINARY_BYTES))
            binary[CHECKSUM] = bytes(64)
            digest = hashlib.sha256(bytes(binary) + text.ljust(len(area), b"\0")).digest()
            binary[CHECKSUM] = digest.ljust(64, b"\0")
            file.seek(start)
            file.write(bytes(binary) + text.ljust(len(area), b"\0"))


def _bytes(file: Any, start: int, size: int) -> bytes:
    file.seek(start)
    found: bytes = file.read(size)
    return found

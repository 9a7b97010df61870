# SPDX-License-Identifier: Apache-2.0
"""Key types of ML-DSA and ML-KEM with their sizes, and known answers from NIST's generator.

The answers are those of cryptography_vectors (Apache-2.0 or BSD-3-Clause), which has them from the reference
implementations: ``asymmetric/MLDSA/kat_*`` and ``asymmetric/MLKEM/kat_*``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cryptography_vectors

from vmm_keystore._vks import lib

FOLDER = Path(cryptography_vectors.__file__).parent / "asymmetric"
SPKI_HEAD_BYTES = 22
"""Of DER in front of a public key."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A parameter set; *made_bytes* of a signature or a ciphertext."""

    name: str
    number: int
    seed_bytes: int
    public_bytes: int
    made_bytes: int


DSA = [
    Kind("ml-dsa-44", lib.VKS_KEY_TYPE_ML_DSA_44, 32, 1312, 2420),
    Kind("ml-dsa-65", lib.VKS_KEY_TYPE_ML_DSA_65, 32, 1952, 3309),
    Kind("ml-dsa-87", lib.VKS_KEY_TYPE_ML_DSA_87, 32, 2592, 4627),
]
KEM = [
    Kind("ml-kem-512", lib.VKS_KEY_TYPE_ML_KEM_512, 64, 800, 768),
    Kind("ml-kem-768", lib.VKS_KEY_TYPE_ML_KEM_768, 64, 1184, 1088),
    Kind("ml-kem-1024", lib.VKS_KEY_TYPE_ML_KEM_1024, 64, 1568, 1568),
]


def blocks(path: Path) -> Iterator[dict[str, bytes]]:
    """The cases of a file, their values as bytes; numbers of count and length are left out."""
    case: dict[str, bytes] = {}
    with path.open() as lines:
        for line in lines:
            name, _, value = line.strip().partition(" = ")
            if name == "count" and case:
                yield case
                case = {}
            if name not in {"count", "mlen", "smlen", ""}:
                case[name] = bytes.fromhex(value)
    yield case


def dsa_answers(kind: Kind, count: int) -> list[dict[str, bytes]]:
    """The first cases: seed *xi*, public key *pk*."""
    return list(islice(blocks(FOLDER / "MLDSA" / f"kat_MLDSA_{kind.name[-2:]}_det_pure.rsp"), count))


def kem_answers(kind: Kind, count: int) -> list[dict[str, bytes]]:
    """The first cases: seed *d*, *z*; public key *pk*; *ct* gives *ss*, and *ct_n*, made for nobody, *ss_n*."""
    return list(islice(blocks(FOLDER / "MLKEM" / f"kat_MLKEM_{kind.name[7:]}.rsp"), count))

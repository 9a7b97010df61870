# SPDX-License-Identifier: Apache-2.0
"""Keys of ML-DSA and ML-KEM in the custodian of a Debian 13: made, brought in, sealed and handed on as their seed."""

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from custodian.custodian_process import Custodian, Key
from custodian.test_certify import CN, certify
from custodian.test_custodian import load_one
from custodian.test_custodian_secrets import bring_in
from custodian.wrapping import wrap
from framework.secret_forms import secret_bytes
from framework.secret_search import SecretSearch
from post_quantum.keys import DSA, FOLDER, KEM, SPKI_HEAD_BYTES, Kind

from vmm_keystore._vks import ffi, lib

KINDS = pytest.mark.parametrize("kind", [*DSA, *KEM], ids=lambda kind: kind.name)
PRIVATE: dict[str, Any] = {
    "ml-dsa-44": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
    "ml-kem-768": mlkem.MLKEM768PrivateKey,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey,
}
OIDS = {"ml-dsa-44": 0x11, "ml-dsa-65": 0x12, "ml-dsa-87": 0x13}
KEM_OIDS = {"ml-kem-512": 0x01, "ml-kem-768": 0x02, "ml-kem-1024": 0x03}


def pkcs8_seed(kind: Kind, seed: bytes) -> bytes:
    """PKCS#8 with nothing but the seed: RFC 9881, 6, and RFC 9935, 6."""
    arc = (3, OIDS[kind.name]) if kind.name in OIDS else (4, KEM_OIDS[kind.name])
    algorithm = bytes.fromhex("300b060960864801650304") + bytes(arc)
    key = bytes([0x80, len(seed)]) + seed
    body = b"\x02\x01\x00" + algorithm + bytes([0x04, len(key)]) + key
    return bytes([0x30, len(body)]) + body


def bring(custodian: Custodian, kind: Kind, material: bytes) -> tuple[int, Key | None]:
    """Import *material* as the type."""
    offer = custodian.offer()
    return custodian.import_key(offer[:16], wrap(offer, kind.number, material))


@KINDS
def test_a_generated_key_is_its_seed(custodian: Custodian, kind: Kind) -> None:
    """What is sealed and handed to workers makes the public key that was told, by another library."""
    error, key = custodian.generate(kind.number)
    assert error == 0
    assert key is not None
    assert len(key.public) == SPKI_HEAD_BYTES + kind.public_bytes
    seed = load_one(custodian, key)
    assert len(seed) == kind.seed_bytes
    assert seed not in key.sealed
    if kind.name in PRIVATE:
        private = PRIVATE[kind.name].from_seed_bytes(seed)
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert key.public == public
        assert load_der_public_key(key.public) == private.public_key()


@KINDS
def test_imports(custodian: Custodian, kind: Kind) -> None:
    """A seed, as it is or in PKCS#8, is taken; another length, another set and a cut one are not."""
    seed = os.urandom(kind.seed_bytes)
    for material in (seed, pkcs8_seed(kind, seed)):
        error, key = bring(custodian, kind, material)
        assert error == 0
        assert key is not None
        channel = int.from_bytes(os.urandom(4), "little")
        assert load_one(custodian, key, channel=channel) == seed
    others = [other for other in [*DSA, *KEM] if other is not kind]
    for wrong in (b"x", seed[:-1], seed + b"x", pkcs8_seed(kind, seed)[:-1], pkcs8_seed(kind, seed) + b"x"):
        assert bring(custodian, kind, wrong)[0] == -errno.EBADMSG
    for other in others:
        assert bring(custodian, kind, pkcs8_seed(other, bytes(other.seed_bytes)))[0] == -errno.EBADMSG


def test_a_key_without_its_seed(custodian: Custodian) -> None:
    """Of the expanded form alone no seed can be had: it is refused, and told apart from what is no key."""
    expanded = (FOLDER / "MLDSA" / "mldsa65_noseed_priv.der").read_bytes()
    assert bring(custodian, DSA[1], expanded)[0] == -errno.ENODATA


@pytest.mark.parametrize("name", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "ml-kem-512", "ml-kem-768", "ml-kem-1024"])
def test_files_that_openssl_writes(debian13: Path, custodian: Custodian, name: str, tmp_path: Path) -> None:
    """vks-import reads what openssl genpkey of the same Debian writes, seed and expanded key, and sends the seed."""
    root = debian13_root(debian13)
    file = tmp_path / "key.pem"
    made = subprocess.run(
        ["chroot", root, "openssl", "genpkey", "-algorithm", name.upper()], capture_output=True, check=True
    )
    file.write_bytes(made.stdout)
    offer = custodian.offer()
    command = [str(debian13 / "vks-import"), "--offer", offer.hex(), "--type", "auto", str(file)]
    wrapped = subprocess.run(command, capture_output=True, check=True).stdout
    error, key = custodian.import_key(offer[:16], wrapped)
    assert error == 0
    assert key is not None
    public = subprocess.run(
        ["chroot", root, "openssl", "pkey", "-pubout", "-outform", "DER"],
        input=made.stdout,
        capture_output=True,
        check=True,
    ).stdout
    assert key.public == public


def debian13_root(programs: Path) -> Path:
    """The Debian that *programs* find their libraries in."""
    said = subprocess.run(["ldd", programs / "vks-import"], capture_output=True, text=True, check=True).stdout
    library = next(word for word in said.split() if "/libcrypto.so" in word and word.startswith("/"))
    return Path(library.partition("/usr/lib/")[0])


def test_status_names_what_there_is(custodian: Custodian) -> None:
    """All types, and the version that has them."""
    status = custodian.status()
    assert status.key_types == (1 << lib.VKS_KEY_TYPE_COUNT) - 2
    assert bytes(ffi.buffer(status.libcrypto)).startswith(b"3.")


def test_no_certificates(custodian: Custodian) -> None:
    """Neither sort of key is certified."""
    for kind in (DSA[1], KEM[1]):
        _error, key = custodian.generate(kind.number)
        assert key is not None
        assert certify(custodian, key, [CN])[0] == -errno.EINVAL


def test_known_seeds_are_not_in_its_memory(custodian: Custodian) -> None:
    """Imported, sealed, unsealed and loaded: no seed is found where root may look, while a control is (promise P1)."""
    secrets = []
    for kind in (*DSA, *KEM):
        seed = os.urandom(kind.seed_bytes)
        bring_in(custodian, kind.name, seed)
        secrets.append(secret_bytes(kind.name, seed))
    control = os.urandom(32)
    custodian.import_key(custodian.offer()[:16], control)
    planted = secret_bytes("control", control)
    report = SecretSearch([*secrets, planted]).in_process(custodian.pid)
    assert report.of([planted]), "the control was not found: the search proves nothing"
    if custodian.status().secret_memory == lib.VKS_SECRET_MEMORY_MEMFD:
        assert report.of(secrets) == []

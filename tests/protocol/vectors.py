# SPDX-License-Identifier: Apache-2.0
"""Known answers of the PyPI package ``cryptography-vectors`` as requests to the device.

Source: pyca/cryptography, BSD-3-Clause or Apache-2.0; the files name their own origins (NIST CAVS and SP 800-38B, RFC 3686, 4231, 6979,
8032, 8439, BoringSSL, OpenSSL). What counts as applicable: a key type and mechanism the device has, with the private key in the file (the vault
holds private keys; vectors with only a public key cannot be asked of it). A device that makes its own IVs cannot
be given one: CBC and CTR are proven by decryption, and GCM encryption by the mechanism with the caller's nonce.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cryptography_vectors
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from protocol.worker_rig import pkcs8

from vmm_keystore._vks import lib

ROOT = Path(cryptography_vectors.__file__).parent
HMAC_KEY_BYTES_MIN = 14  # as the custodian imports them: 112 bits of strength (SP 800-131A)

RSA_TYPES = {2048: lib.VKS_KEY_TYPE_RSA_2048, 3072: lib.VKS_KEY_TYPE_RSA_3072, 4096: lib.VKS_KEY_TYPE_RSA_4096}
AES_TYPES = {16: lib.VKS_KEY_TYPE_AES_128, 32: lib.VKS_KEY_TYPE_AES_256}
XTS_TYPES = {32: lib.VKS_KEY_TYPE_AES_128_XTS, 64: lib.VKS_KEY_TYPE_AES_256_XTS}
CURVES: dict[str, tuple[int, ec.EllipticCurve, int]] = {
    "P-256": (lib.VKS_KEY_TYPE_EC_P256, ec.SECP256R1(), 32),
    "P-384": (lib.VKS_KEY_TYPE_EC_P384, ec.SECP384R1(), 48),
}


@dataclass(frozen=True)
class Case:
    """One request and what must come back; ``output`` None where only the status is known."""

    source: str
    key_type: int
    material: bytes
    op: int
    mechanism: int
    input: bytes
    parameter: bytes = b""
    aad: bytes = b""
    status: int = lib.VKS_STATUS_OK
    output: bytes | None = None


def mechanism(family: str, digest: str) -> int | None:
    """Return the number of a mechanism such as ``ECDSA`` with ``SHA256``, None where the device has none."""
    number: int | None = getattr(lib, f"VKS_MECHANISM_{family}_{digest.replace('-', '')}", None)
    return number


def blocks(path: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Yield (bracketed parameters, fields) of each blank-line-separated block of a CAVS response file."""
    section: dict[str, str] = {}
    fields: dict[str, str] = {}
    for raw in [*path.read_text().splitlines(), ""]:
        line = raw.strip()
        if line.startswith("["):
            name, _, value = line.strip("[]").partition("=")
            section[name.strip()] = value.strip()
            if not value:
                section["title"] = name.strip()
        elif not line and fields:
            yield section, fields
            fields = {}
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            fields[name.strip().lower()] = value.strip()


@cache
def rsa_from_primes(p: int, q: int, e: int, d: int) -> bytes:
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, p * q)
    )
    return pkcs8(numbers.private_key(unsafe_skip_rsa_key_validation=True))


def ed25519_sign(path: Path) -> Iterator[Case | None]:
    """The signatures of RFC 8032's authors: sk || pk : pk : message : signature || message."""
    for line in path.read_text().splitlines():
        secret, _, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        material = pkcs8(ed25519.Ed25519PrivateKey.from_private_bytes(secret[:32]))
        common = (path.name, lib.VKS_KEY_TYPE_ED25519, material)
        yield Case(*common, lib.VKS_OP_SIGN, lib.VKS_MECHANISM_ED25519, message, output=signed[:64])
        yield Case(*common, lib.VKS_OP_VERIFY, lib.VKS_MECHANISM_ED25519, message, parameter=signed[:64])
        wrong = bytes([signed[0] ^ 1]) + signed[1:64]
        yield Case(
            *common,
            lib.VKS_OP_VERIFY,
            lib.VKS_MECHANISM_ED25519,
            message,
            parameter=wrong,
            status=lib.VKS_STATUS_AUTH_FAILED,
        )


def ecdsa_siggen(path: Path) -> Iterator[Case | None]:
    """FIPS 186-3 signatures with their private keys, verified; and refused over another message."""
    for section, fields in blocks(path):
        curve, _, digest = section["title"].partition(",")
        number = mechanism("ECDSA", digest)
        if curve not in CURVES or number is None:
            continue
        key_type, ec_curve, size = CURVES[curve]
        material = pkcs8(ec.derive_private_key(int(fields["d"], 16), ec_curve))
        signature = b"".join(int(fields[part], 16).to_bytes(size, "big") for part in "rs")
        message = bytes.fromhex(fields["msg"])
        yield Case(path.name, key_type, material, lib.VKS_OP_VERIFY, number, message, signature)
        yield Case(
            path.name,
            key_type,
            material,
            lib.VKS_OP_VERIFY,
            number,
            message + b"\0",
            signature,
            status=lib.VKS_STATUS_AUTH_FAILED,
        )


def ecdsa_rfc6979(path: Path) -> Iterator[Case | None]:
    """Deterministic signatures of RFC 6979, right and wrong ones."""
    text = path.read_text()
    pattern = r"PrivateKey=(P-\d+)_PRIV\n(-----BEGIN.*?-----END PRIVATE KEY-----\n)"
    keys = {name: load_pem_private_key(pem.encode(), None) for name, pem in re.findall(pattern, text, re.DOTALL)}
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^(\w+) ?= ?(.*)$", block, re.MULTILINE))
        curve = fields.get("Key", "").removesuffix("_PUB")
        number = mechanism("ECDSA", fields.get("DigestVerify", ""))
        if curve not in CURVES or number is None:
            continue
        key_type, _, size = CURVES[curve]
        private_key = keys[curve]
        assert isinstance(private_key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(bytes.fromhex(fields["Output"]))
        status = lib.VKS_STATUS_AUTH_FAILED if fields.get("Result") == "VERIFY_ERROR" else lib.VKS_STATUS_OK
        yield Case(
            path.name,
            key_type,
            pkcs8(private_key),
            lib.VKS_OP_VERIFY,
            number,
            fields["Input"].strip('"').encode(),
            r.to_bytes(size, "big") + s.to_bytes(size, "big"),
            status=status,
        )


def rsa_pkcs1_sigver(path: Path) -> Iterator[Case | None]:
    """FIPS 186-3 PKCS#1 v1.5 verification with private keys; the valid ones are signed again as well."""
    primes: dict[str, int] = {}
    for section, fields in blocks(path):
        primes |= {name: int(fields[name], 16) for name in "pq" if name in fields}
        number = mechanism("RSA_PKCS1", fields.get("shaalg", "-"))
        if "s" not in fields or int(section["mod"]) not in RSA_TYPES or number is None:
            continue
        if "Public Key e changed" in fields["result"]:
            continue  # no private key belongs to that public key
        exponent = int(fields["e"], 16)
        size = int(section["mod"]) // 8
        if exponent.bit_length() > 64 and size * 8 > 3072:
            yield None  # libcrypto limits the public exponent of large keys (OPENSSL_RSA_MAX_PUBEXP_BITS)
            continue
        material = rsa_from_primes(primes["p"], primes["q"], exponent, int(fields["d"], 16))
        common = (path.name, RSA_TYPES[size * 8], material)
        message, signature = bytes.fromhex(fields["msg"]), bytes.fromhex(fields["s"]).rjust(size, b"\0")
        if not fields["result"].startswith("P"):
            yield Case(*common, lib.VKS_OP_VERIFY, number, message, signature, status=lib.VKS_STATUS_AUTH_FAILED)
            continue
        yield Case(*common, lib.VKS_OP_VERIFY, number, message, signature)
        yield Case(*common, lib.VKS_OP_SIGN, number, message, output=signature)


def pkcs1_oaep(path: Path, digest: str) -> Iterator[Case | None]:
    """OAEP decryption in the layout of RSA Laboratories' files; a flipped ciphertext bit is refused."""
    number = mechanism("RSA_OAEP", digest)
    assert number is not None
    values: dict[str, str] = {}
    name = ""
    for raw in [*path.read_text().splitlines(), "# Message:"]:
        line = raw.strip()
        if not line.startswith("#"):
            values[name] = values.get(name, "") + line.replace(" ", "")
            continue
        label = line.strip("# :").lower()
        if label in {"message", "modulus"} and "encryption" in values:
            modulus = int(values["modulus"], 16)
            if modulus.bit_length() in RSA_TYPES:
                material = rsa_from_primes(
                    int(values["prime 1"], 16),
                    int(values["prime 2"], 16),
                    int(values["public exponent"], 16),
                    int(values["exponent"], 16),
                )
                common = (path.name, RSA_TYPES[modulus.bit_length()], material, lib.VKS_OP_DECRYPT, number)
                ciphertext = bytes.fromhex(values["encryption"])
                yield Case(*common, ciphertext, output=bytes.fromhex(values["message"]))
                yield Case(*common, ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]), status=lib.VKS_STATUS_AUTH_FAILED)
            values.pop("encryption")
        name = label
        if re.search(r"[a-z]", line.strip("# ")):
            values.pop(name, None)


def oaep_label(path: Path) -> Iterator[Case | None]:
    """One OAEP decryption with a label; another label is refused."""
    fields = dict(re.findall(r"^(\w+) = (.*)$", path.read_text(), re.MULTILINE))
    number = mechanism("RSA_OAEP", fields["OAEPDigest"])
    assert number is not None
    common = (
        path.name,
        lib.VKS_KEY_TYPE_RSA_2048,
        bytes.fromhex(fields["KEY"]),
        lib.VKS_OP_DECRYPT,
        number,
        bytes.fromhex(fields["Input"]),
    )
    label = bytes.fromhex(fields["OAEPLabel"])
    yield Case(*common, label, output=fields["Output"].strip('"').encode())
    yield Case(*common, label + b"\0", status=lib.VKS_STATUS_AUTH_FAILED)


def aes_gcm(path: Path, op: int) -> Iterator[Case | None]:
    """NIST CAVS GCM with 96-bit nonces and 128-bit tags, the only sizes the device has; FAIL cases included."""
    for section, fields in blocks(path):
        if section["IVlen"] != "96" or section["Taglen"] != "128":
            continue
        key, nonce, ciphertext, tag, aad = (bytes.fromhex(fields[name]) for name in ("key", "iv", "ct", "tag", "aad"))
        wire = nonce + ciphertext + tag
        if op == lib.VKS_OP_ENCRYPT:
            yield Case(
                path.name,
                AES_TYPES[len(key)],
                key,
                op,
                lib.VKS_MECHANISM_AES_GCM_OWN_NONCE,
                bytes.fromhex(fields["pt"]),
                nonce,
                aad,
                output=wire,
            )
            continue
        refused = "fail" in fields
        yield Case(
            path.name,
            AES_TYPES[len(key)],
            key,
            op,
            lib.VKS_MECHANISM_AES_GCM,
            wire,
            b"",
            aad,
            lib.VKS_STATUS_AUTH_FAILED if refused else lib.VKS_STATUS_OK,
            None if refused else bytes.fromhex(fields["pt"]),
        )


def chacha20_poly1305(path: Path) -> Iterator[Case | None]:
    """Sealed under the caller's nonce, opened again, and refused with a changed tag; OpenSSL's wrong tag as well."""
    key_type = lib.VKS_KEY_TYPE_CHACHA20_POLY1305
    for _, fields in blocks(path):
        key, nonce, plaintext, aad, ciphertext, tag = (
            value[1:-1].encode() if value.startswith('"') else bytes.fromhex(value)
            for value in (
                fields[name] if name in fields else fields[other]
                for name, other in (
                    ("key", ""),
                    ("nonce", "iv"),
                    ("in", "plaintext"),
                    ("ad", "aad"),
                    ("ct", "ciphertext"),
                    ("tag", ""),
                )
            )
        )
        common = (path.name, key_type, key)
        wire = nonce + ciphertext + tag
        opened = (lib.VKS_OP_DECRYPT, lib.VKS_MECHANISM_CHACHA20_POLY1305)
        if "result" in fields:
            yield Case(*common, *opened, wire, aad=aad, status=lib.VKS_STATUS_AUTH_FAILED)
            continue
        sealed = (lib.VKS_OP_ENCRYPT, lib.VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE)
        yield Case(*common, *sealed, plaintext, nonce, aad, output=wire)
        yield Case(*common, *opened, wire, aad=aad, output=plaintext)
        wrong = wire[:-1] + bytes([wire[-1] ^ 1])
        yield Case(*common, *opened, wrong, aad=aad, status=lib.VKS_STATUS_AUTH_FAILED)


def aes_iv_in_front(path: Path, number: int) -> Iterator[Case | None]:
    """CBC and CTR as decryption of IV || ciphertext."""
    for _, fields in blocks(path):
        key = bytes.fromhex(fields["key"])
        wire = bytes.fromhex(fields["iv"] + fields["ciphertext"])
        plaintext = bytes.fromhex(fields["plaintext"])
        yield Case(path.name, AES_TYPES[len(key)], key, lib.VKS_OP_DECRYPT, number, wire, output=plaintext)


def hmac_rfc4231(path: Path, digest: str) -> Iterator[Case | None]:
    """Tags of RFC 4231, made and verified; a flipped bit is refused."""
    number = mechanism("HMAC", digest)
    assert number is not None
    key_type = getattr(lib, f"VKS_KEY_TYPE_HMAC_{digest}")
    for _, fields in blocks(path):
        key, message, tag = (bytes.fromhex(fields[name]) for name in ("key", "msg", "md"))
        if len(key) < HMAC_KEY_BYTES_MIN:
            yield None
            continue
        common = (path.name, key_type, key)
        yield Case(*common, lib.VKS_OP_MAC, number, message, output=tag)
        yield Case(*common, lib.VKS_OP_MAC_VERIFY, number, message, tag)
        wrong = tag[:-1] + bytes([tag[-1] ^ 0x80])
        yield Case(*common, lib.VKS_OP_MAC_VERIFY, number, message, wrong, status=lib.VKS_STATUS_AUTH_FAILED)


def aes_cmac(path: Path) -> Iterator[Case | None]:
    """Tags of SP 800-38B, made and verified; a flipped bit and a tag that is cut are refused."""
    for _, fields in blocks(path):
        key, message, tag = (bytes.fromhex(fields[name]) for name in ("key", "message", "output"))
        common = (path.name, AES_TYPES[len(key)], key)
        number = lib.VKS_MECHANISM_AES_CMAC
        yield Case(*common, lib.VKS_OP_MAC, number, message, output=tag)
        yield Case(*common, lib.VKS_OP_MAC_VERIFY, number, message, tag)
        for wrong in (tag[:-1] + bytes([tag[-1] ^ 0x80]), tag[:-1]):
            yield Case(*common, lib.VKS_OP_MAC_VERIFY, number, message, wrong, status=lib.VKS_STATUS_AUTH_FAILED)


def aes_key_wrap(path: Path, number: int) -> Iterator[Case | None]:
    """NIST CAVS key wrap: unwrapped, refused where the file says FAIL, and wrapped again to the same bytes."""
    for _, fields in blocks(path):
        key, ciphertext = bytes.fromhex(fields["k"]), bytes.fromhex(fields["c"])
        common = (path.name, AES_TYPES[len(key)], key)
        if "fail" in fields:
            yield Case(*common, lib.VKS_OP_DECRYPT, number, ciphertext, status=lib.VKS_STATUS_AUTH_FAILED)
            continue
        plaintext = bytes.fromhex(fields["p"])
        yield Case(*common, lib.VKS_OP_DECRYPT, number, ciphertext, output=plaintext)
        yield Case(*common, lib.VKS_OP_ENCRYPT, number, plaintext, output=ciphertext)


def aes_xts(path: Path) -> Iterator[Case | None]:
    """NIST CAVS data units of whole bytes, both ways; the tweak is the device's parameter as it stands."""
    for _, fields in blocks(path):
        if int(fields["dataunitlen"]) % 8:
            continue
        key, plaintext, ciphertext = (bytes.fromhex(fields[name]) for name in ("key", "pt", "ct"))
        number = fields.get("i", fields.get("dataunitseqnumber", ""))
        tweak = bytes.fromhex(number) if "i" in fields else int(number).to_bytes(16, "little")
        common = (path.name, XTS_TYPES[len(key)], key)
        mechanism_number = lib.VKS_MECHANISM_AES_XTS
        yield Case(*common, lib.VKS_OP_ENCRYPT, mechanism_number, plaintext, tweak, output=ciphertext)
        yield Case(*common, lib.VKS_OP_DECRYPT, mechanism_number, ciphertext, tweak, output=plaintext)


def all_cases() -> Iterator[tuple[str, list[Case | None]]]:
    """Yield (file, cases); None stands for a case that applies and cannot be run."""
    rsa_folder = ROOT / "asymmetric" / "RSA"
    aes_folder = ROOT / "ciphers" / "AES"
    sources: list[tuple[Path, Iterator[Case | None]]] = []

    def add(path: Path, cases: Iterator[Case | None]) -> None:
        sources.append((path, cases))

    path = ROOT / "asymmetric" / "Ed25519" / "sign.input"
    add(path, ed25519_sign(path))
    path = ROOT / "asymmetric" / "ECDSA" / "FIPS_186-3" / "SigGen.txt"
    add(path, ecdsa_siggen(path))
    path = ROOT / "asymmetric" / "ECDSA" / "RFC6979" / "evppkey_ecdsa_rfc6979.txt"
    add(path, ecdsa_rfc6979(path))
    path = rsa_folder / "FIPS_186-2" / "SigVer15_186-3.rsp"
    add(path, rsa_pkcs1_sigver(path))
    path = rsa_folder / "pkcs-1v2-1d2-vec" / "oaep-vect.txt"
    add(path, pkcs1_oaep(path, "SHA1"))
    for bits in ("256", "384", "512"):
        path = rsa_folder / "oaep-custom" / f"oaep-sha{bits}-sha{bits}.txt"
        add(path, pkcs1_oaep(path, f"SHA{bits}"))
        path = ROOT / "HMAC" / f"rfc-4231-sha{bits}.txt"
        add(path, hmac_rfc4231(path, f"SHA{bits}"))
    path = rsa_folder / "oaep-label.txt"
    add(path, oaep_label(path))
    for bits in ("128", "256"):
        path = aes_folder / "GCM" / f"gcmEncryptExtIV{bits}.rsp"
        add(path, aes_gcm(path, lib.VKS_OP_ENCRYPT))
        path = aes_folder / "GCM" / f"gcmDecrypt{bits}.rsp"
        add(path, aes_gcm(path, lib.VKS_OP_DECRYPT))
        for path in sorted((aes_folder / "CBC").glob(f"*{bits}.rsp")):
            add(path, aes_iv_in_front(path, lib.VKS_MECHANISM_AES_CBC))
        for name, number in (("KW", lib.VKS_MECHANISM_AES_KW), ("KWP", lib.VKS_MECHANISM_AES_KWP)):
            for direction in ("AD", "AE"):
                path = ROOT / "keywrap" / "kwtestvectors" / f"{name}_{direction}_{bits}.txt"
                add(path, aes_key_wrap(path, number))
        for path in sorted((aes_folder / "XTS").glob(f"*/*{bits}.rsp")):
            add(path, aes_xts(path))
        path = ROOT / "CMAC" / f"nist-800-38b-aes{bits}.txt"
        add(path, aes_cmac(path))
        path = aes_folder / "CTR" / f"aes-{bits}-ctr.txt"
        add(path, aes_iv_in_front(path, lib.VKS_MECHANISM_AES_CTR))
    for name in ("boringssl", "openssl"):
        path = ROOT / "ciphers" / "ChaCha20Poly1305" / f"{name}.txt"
        add(path, chacha20_poly1305(path))
    for path, cases in sources:
        yield str(path.relative_to(ROOT)), list(cases)

# SPDX-License-Identifier: Apache-2.0
"""Write crypto_vectors.h: known answers for every operation, so that the C tests need no Python.

Run by hand (``python tests/c/make_crypto_vectors.py``) from an environment with ``cryptography`` and
``cryptography_vectors``. The sources are named per vector:

- NIST CAVP files (ECDSA, GCM, CBC, XTS, KW, KWP) and the examples of SP 800-38B are works of the US government, in the public domain.
- RFC 3686, 4231, 8032 and 8439 test vectors are code components of RFCs (BSD licence).
- OAEP with a label, ChaCha20-Poly1305 and the RSA key of all but OAEP with SHA-1 come from BoringSSL's tests (Apache-2.0 OR ISC),
  as packaged in cryptography_vectors; OAEP with SHA-1 from RSA Laboratories' pkcs-1v2-1d2-vec.
- PKCS#1 v1.5 and PSS signatures and the other OAEP ciphertexts are computed here, with Python's integers and hashlib
  only (RFC 8017, 7.1 and 8): an implementation that shares nothing with libcrypto's EVP.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import cryptography_vectors
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

VECTORS = Path(cryptography_vectors.__file__).parent
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
lines: list[str] = []


def pkcs8(key: Private) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def text(value: bytes) -> str:
    digits = value.hex()
    parts = [digits[i : i + 96] for i in range(0, len(digits), 96)] or [""]
    return "\n     ".join(f'"{part}"' for part in parts)


def add(
    name: str,
    op: str,
    key_type: str,
    mechanism: str,
    key: bytes,
    *,
    data: bytes,
    output: bytes = b"",
    parameter: bytes = b"",
    aad: bytes = b"",
    flags: str = "0",
    status: str = "OK",
) -> None:
    """One vector; output is what the operation must give byte for byte."""
    fields = ",\n     ".join(text(value) for value in (key, parameter, aad, data, output))
    lines.append(
        f'    {{"{name}", VKS_OP_{op}, VKS_KEY_TYPE_{key_type}, VKS_MECHANISM_{mechanism}, {flags}, '
        f"VKS_STATUS_{status},\n     {fields}}},"
    )


def records(path: str) -> list[dict[str, str]]:
    """Blocks of ``name = value``; a section line becomes the key ``section``."""
    found: list[dict[str, str]] = []
    section = ""
    current: dict[str, str] = {}
    for line in [*(VECTORS / path).read_text().splitlines(), ""]:
        if match := re.match(r"\[(.*)\]", line):
            section = section + "|" + match[1] if current.get("fresh") else match[1]
            current = {"fresh": "1"}
        elif line.strip() == "FAIL":
            current["FAIL"] = "1"
        elif not line.strip():
            if len(current) > 1:
                found.append({**current, "section": section})
                current = {}
        elif not line.startswith("#"):
            name, _, value = line.partition("=")
            current[name.strip().upper()] = value.strip()
    return found


def ecdsa() -> None:
    curves: dict[str, tuple[ec.EllipticCurve, str, int]] = {
        "P-256": (ec.SECP256R1(), "EC_P256", 32),
        "P-384": (ec.SECP384R1(), "EC_P384", 48),
    }
    seen: set[str] = set()
    for record in records("asymmetric/ECDSA/FIPS_186-3/SigGen.txt"):
        curve, _, hash_name = record["section"].partition(",SHA-")
        if curve not in curves or hash_name not in {"256", "384", "512"} or record["section"] in seen:
            continue
        seen.add(record["section"])
        made, key_type, size = curves[curve]
        key = pkcs8(ec.derive_private_key(int(record["D"], 16), made))
        signature = bytes.fromhex(record["R"].zfill(2 * size)) + bytes.fromhex(record["S"].zfill(2 * size))
        message = bytes.fromhex(record["MSG"])
        name = f"CAVP ECDSA {curve} SHA-{hash_name}"
        mechanism = f"ECDSA_SHA{hash_name}"
        add(name, "VERIFY", key_type, mechanism, key, parameter=signature, data=message)
        digest = hashlib.new(f"sha{hash_name}", message).digest()
        add(
            name + " digest", "VERIFY", key_type, mechanism, key,
            parameter=signature, data=digest, flags="VKS_REQUEST_F_DIGEST",
        )  # fmt: skip
        swapped = signature[size:] + signature[:size]
        add(
            name + " swapped", "VERIFY", key_type, mechanism, key, parameter=swapped, data=message, status="AUTH_FAILED"
        )


def ed25519_vectors() -> None:
    rows = (VECTORS / "asymmetric/Ed25519/sign.input").read_text().splitlines()
    for number in (0, 1, 2, 1023):
        secret, _, message_hex, signed = rows[number].split(":")[:4]
        key = pkcs8(ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret[:64])))
        message, signature = bytes.fromhex(message_hex), bytes.fromhex(signed[:128])
        name = f"sign.input line {number + 1} (RFC 8032's author)"
        add(name, "SIGN", "ED25519", "ED25519", key, data=message, output=signature)
        add(name, "VERIFY", "ED25519", "ED25519", key, parameter=signature, data=message)


def rsa_key(path: str) -> tuple[dict[str, str], bytes, rsa.RSAPrivateKey]:
    record = records(path)[0]
    der = bytes.fromhex(record["KEY"])
    key = load_der_private_key(der, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return record, pkcs8(key), key


def emsa_pkcs1(hash_name: str, message: bytes, size: int) -> int:
    """RFC 8017, 9.2."""
    oid = {"sha256": "01", "sha384": "02", "sha512": "03"}[hash_name]
    digest = hashlib.new(hash_name, message).digest()
    body = bytes.fromhex("300d060960864801650304020" + oid[1] + "0500") + b"\x04" + bytes([len(digest)]) + digest
    encoded = b"\x30" + bytes([len(body)]) + body
    return int.from_bytes(b"\x00\x01" + b"\xff" * (size - len(encoded) - 3) + b"\x00" + encoded, "big")


def mgf1(hash_name: str, seed: bytes, size: int) -> bytes:
    """RFC 8017, B.2.1."""
    blocks = (hashlib.new(hash_name, seed + i.to_bytes(4, "big")).digest() for i in range(size // 20 + 1))
    return b"".join(blocks)[:size]


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def emsa_pss(hash_name: str, message: bytes, bits: int) -> int:
    """RFC 8017, 9.1.1, with a salt of 0x5a bytes as long as the digest."""
    digest = hashlib.new(hash_name, message).digest()
    size, salt = (bits + 7) // 8, b"\x5a" * len(digest)
    seed = hashlib.new(hash_name, bytes(8) + digest + salt).digest()
    block = bytes(size - 2 * len(digest) - 2) + b"\x01" + salt
    masked = bytearray(xor(block, mgf1(hash_name, seed, len(block))))
    masked[0] &= 0xFF >> (8 * size - bits)
    return int.from_bytes(bytes(masked) + seed + b"\xbc", "big")


def eme_oaep(hash_name: str, label: bytes, message: bytes, size: int) -> int:
    """RFC 8017, 7.1.1, with a seed of 0xa5 bytes."""
    label_hash = hashlib.new(hash_name, label).digest()
    seed = b"\xa5" * len(label_hash)
    block = label_hash + bytes(size - len(message) - 2 * len(label_hash) - 2) + b"\x01" + message
    masked = xor(block, mgf1(hash_name, seed, len(block)))
    return int.from_bytes(xor(seed, mgf1(hash_name, masked, len(seed))) + masked, "big")


def rsa_vectors() -> None:
    record, der, key = rsa_key("asymmetric/RSA/oaep-label.txt")
    numbers = key.private_numbers()
    modulus, size = numbers.public_numbers.n, key.key_size // 8
    message = b"a message that is signed with PKCS#1 v1.5 and with PSS"
    for name in ("sha256", "sha384", "sha512"):
        short = name.upper()
        signature = pow(emsa_pkcs1(name, message, size), numbers.d, modulus).to_bytes(size, "big")
        add(
            f"RFC 8017 PKCS#1 v1.5 {name}",
            "SIGN",
            "RSA_2048",
            f"RSA_PKCS1_{short}",
            der,
            data=message,
            output=signature,
        )
        add(
            f"RFC 8017 PKCS#1 v1.5 {name} digest", "SIGN", "RSA_2048", f"RSA_PKCS1_{short}", der,
            data=hashlib.new(name, message).digest(), output=signature, flags="VKS_REQUEST_F_DIGEST",
        )  # fmt: skip
        add(
            f"RFC 8017 PKCS#1 v1.5 {name}",
            "VERIFY",
            "RSA_2048",
            f"RSA_PKCS1_{short}",
            der,
            parameter=signature,
            data=message,
        )
        pss = pow(emsa_pss(name, message, key.key_size - 1), numbers.d, modulus).to_bytes(size, "big")
        add(f"RFC 8017 PSS {name}", "VERIFY", "RSA_2048", f"RSA_PSS_{short}", der, parameter=pss, data=message)
        add(
            f"RFC 8017 PSS {name} taken for v1.5", "VERIFY", "RSA_2048", f"RSA_PKCS1_{short}", der,
            parameter=pss, data=message, status="AUTH_FAILED",
        )  # fmt: skip
    public = numbers.public_numbers.e
    for name, label in (("sha256", b""), ("sha384", b"label"), ("sha512", b""), ("sha256", b"l" * 4096)):
        cipher = pow(eme_oaep(name, label, message, size), public, modulus).to_bytes(size, "big")
        vector = f"RFC 8017 OAEP {name} label {len(label)}"
        mechanism = f"RSA_OAEP_{name.upper()}"
        add(vector, "DECRYPT", "RSA_2048", mechanism, der, parameter=label, data=cipher, output=message)
        wrong = b"other"
        add(
            vector + " wrong", "DECRYPT", "RSA_2048", mechanism, der, parameter=wrong, data=cipher, status="AUTH_FAILED"
        )
    add(
        "BoringSSL OAEP with a label", "DECRYPT", "RSA_2048", "RSA_OAEP_SHA512", der,
        parameter=bytes.fromhex(record["OAEPLABEL"]), data=bytes.fromhex(record["INPUT"]),
        output=record["OUTPUT"].strip('"').encode(),
    )  # fmt: skip


def oaep_sha1() -> None:
    rows = (VECTORS / "asymmetric/RSA/pkcs-1v2-1d2-vec/oaep-vect.txt").read_text()
    rows = rows[rows.index("# Example 10:") :]
    rows = rows[rows.index("# Private key") :]
    values: dict[str, bytes] = {}
    name = ""
    for line in rows.splitlines():
        if line.startswith("#"):
            name = line.strip("#: ").strip()
            if name in values and name == "Message":
                break
        elif re.fullmatch(r"([0-9a-f]{2} ?)+", line.strip()):
            values[name] = values.get(name, b"") + bytes.fromhex(line)
    n, e, d = (int.from_bytes(values[k], "big") for k in ("Modulus", "Public exponent", "Exponent"))
    p, q = rsa.rsa_recover_prime_factors(n, e, d)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, n)
    )
    add(
        "pkcs-1v2-1d2-vec OAEP 10.1", "DECRYPT", "RSA_2048", "RSA_OAEP_SHA1", pkcs8(numbers.private_key()),
        data=values["Encryption"], output=values["Message"],
    )  # fmt: skip


def aes() -> None:
    for bits in (128, 256):
        key_type = f"AES_{bits}"
        for record in records(f"ciphers/AES/GCM/gcmEncryptExtIV{bits}.rsp"):
            if {"IVlen = 96", "Taglen = 128"} <= set(record["section"].split("|")) and record["COUNT"] == "3":
                key, iv, plain, aad, cipher, tag = (
                    bytes.fromhex(record[k]) for k in ("KEY", "IV", "PT", "AAD", "CT", "TAG")
                )
                name = f"CAVP GCM {bits} text {len(plain)} aad {len(aad)}"
                if len(aad) not in {0, 20} or len(plain) not in {0, 13, 51}:
                    continue
                made = iv + cipher + tag
                add(name, "ENCRYPT", key_type, "AES_GCM_OWN_NONCE", key, parameter=iv, aad=aad, data=plain, output=made)
                add(name, "DECRYPT", key_type, "AES_GCM", key, aad=aad, data=made, output=plain)
        failed = [r for r in records(f"ciphers/AES/GCM/gcmDecrypt{bits}.rsp") if "FAIL" in r]
        for record in failed:
            if {"IVlen = 96", "Taglen = 128", "PTlen = 104", "AADlen = 160"} <= set(record["section"].split("|")):
                made = bytes.fromhex(record["IV"] + record["CT"] + record["TAG"])
                add(
                    f"CAVP GCM {bits} decrypt FAIL", "DECRYPT", key_type, "AES_GCM", bytes.fromhex(record["KEY"]),
                    aad=bytes.fromhex(record["AAD"]), data=made, status="AUTH_FAILED",
                )  # fmt: skip
                break
        files = (
            ("AES_CBC", f"CBC/CBCMMT{bits}.rsp", "CAVP CBC"),
            ("AES_CTR", f"CTR/aes-{bits}-ctr.txt", "RFC 3686 CTR"),
        )
        for mechanism, path, name in files:
            for record in records(f"ciphers/AES/{path}")[:2]:
                add(
                    f"{name} {bits} {record['COUNT']}", "DECRYPT", key_type, mechanism, bytes.fromhex(record["KEY"]),
                    data=bytes.fromhex(record["IV"] + record["CIPHERTEXT"]), output=bytes.fromhex(record["PLAINTEXT"]),
                )  # fmt: skip


def cmac() -> None:
    for bits in (128, 256):
        for record in records(f"CMAC/nist-800-38b-aes{bits}.txt"):
            key, message, tag = (bytes.fromhex(record[k]) for k in ("KEY", "MESSAGE", "OUTPUT"))
            name = f"SP 800-38B CMAC {bits} {record['COUNT']}"
            add(name, "MAC", f"AES_{bits}", "AES_CMAC", key, data=message, output=tag)
            add(name, "MAC_VERIFY", f"AES_{bits}", "AES_CMAC", key, parameter=tag, data=message)


def key_wrap() -> None:
    for mechanism, bits in ((name, size) for name in ("KW", "KWP") for size in (128, 256)):
        path = f"keywrap/kwtestvectors/{mechanism}_AD_{bits}.txt"
        seen: set[str] = set()
        failed: set[str] = set()
        for record in records(path):
            length, key_type = record["section"], f"AES_{bits}"
            if length in (failed if "FAIL" in record else seen):
                continue
            key, cipher = bytes.fromhex(record["K"]), bytes.fromhex(record["C"])
            name = f"CAVP {mechanism} {bits} {length}"
            if "FAIL" in record:
                failed.add(length)
                add(name, "DECRYPT", key_type, f"AES_{mechanism}", key, data=cipher, status="AUTH_FAILED")
                continue
            seen.add(length)
            plain = bytes.fromhex(record["P"])
            add(name, "ENCRYPT", key_type, f"AES_{mechanism}", key, data=plain, output=cipher)
            add(name, "DECRYPT", key_type, f"AES_{mechanism}", key, data=cipher, output=plain)


def xts() -> None:
    for bits in (128, 256):
        lengths: set[str] = set()
        for record in records(f"ciphers/AES/XTS/tweak-128hexstr/XTSGenAES{bits}.rsp"):
            length = record["DATAUNITLEN"]
            if int(length) % 8 or length in lengths:
                continue
            lengths.add(length)
            key, tweak, plain, cipher = (bytes.fromhex(record[k]) for k in ("KEY", "I", "PT", "CT"))
            common = (f"AES_{bits}_XTS", "AES_XTS", key)
            name = f"CAVP XTS {bits} {length} bits"
            add(name, "ENCRYPT", *common, parameter=tweak, data=plain, output=cipher)
            add(name, "DECRYPT", *common, parameter=tweak, data=cipher, output=plain)


def chacha20_poly1305() -> None:
    """The first case is RFC 8439's (2.8.2, then still RFC 7539), the others BoringSSL's."""
    mechanism, key_type = "CHACHA20_POLY1305", "CHACHA20_POLY1305"
    for record in records("ciphers/ChaCha20Poly1305/boringssl.txt")[:12]:
        key, iv, tag = (bytes.fromhex(record[k]) for k in ("KEY", "NONCE", "TAG"))
        plain, aad, cipher = (
            value[1:-1].encode() if value.startswith('"') else bytes.fromhex(value)
            for value in (record[k] for k in ("IN", "AD", "CT"))
        )
        name = f"ChaCha20-Poly1305 {record['COUNT']}"
        made = iv + cipher + tag
        add(name, "ENCRYPT", key_type, mechanism + "_OWN_NONCE", key, parameter=iv, aad=aad, data=plain, output=made)
        add(name, "DECRYPT", key_type, mechanism, key, aad=aad, data=made, output=plain)


def hmac() -> None:
    for bits in (256, 384, 512):
        for number, record in enumerate(records(f"HMAC/rfc-4231-sha{bits}.txt"), 1):
            key, message, tag = (bytes.fromhex(record[k]) for k in ("KEY", "MSG", "MD"))
            name = f"RFC 4231 HMAC-SHA{bits} {number}"
            add(name, "MAC", f"HMAC_SHA{bits}", f"HMAC_SHA{bits}", key, data=message, output=tag)
            add(name, "MAC_VERIFY", f"HMAC_SHA{bits}", f"HMAC_SHA{bits}", key, parameter=tag, data=message)


def main() -> None:
    for family in (ecdsa, ed25519_vectors, rsa_vectors, oaep_sha1, aes, hmac, chacha20_poly1305, cmac, key_wrap, xts):
        family()
    head = (
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* Written by make_crypto_vectors.py, which names the sources and their licences. */\n"
        "/* clang-format off */\n"
        "#ifndef VKS_CRYPTO_VECTORS_H\n#define VKS_CRYPTO_VECTORS_H\n\n"
        "static const struct vector {\n    const char *name;\n    uint32_t op, type, mechanism, flags, status;\n"
        "    const char *key, *parameter, *aad, *input, *output;\n} vectors[] = {\n"
    )
    path = Path(__file__).parent / "crypto_vectors.h"
    path.write_text(head + "\n".join(lines) + "\n};\n\n#endif\n")


if __name__ == "__main__":
    main()

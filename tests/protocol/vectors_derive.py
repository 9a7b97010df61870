# SPDX-License-Identifier: Apache-2.0
"""Known answers for derived secrets, of the PyPI package ``cryptography-vectors``; see ``vectors`` for its licence.

Their origins: NIST CAVS 11.0 (ECC static unified model, Z only), RFC 7748, RFC 5869, pyca/cryptography. Applicable are
those in which the private key is good and the shared secret is said, or the peer's public key is bad. HKDF of an HMAC
key takes the key's own hash.
"""

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from protocol.vectors import CURVES, ROOT, Case, blocks
from protocol.worker_rig import pkcs8

from vmm_keystore._vks import lib


def ecdh(path: Path) -> Iterator[Case]:
    """Z for a good peer, refusal of one whose x or y is none of the curve's."""
    for section, fields in blocks(path):
        title = section.get("title", "")
        result = fields.get("result", "")
        curve = CURVES.get({"EC": "P-256", "ED": "P-384"}.get(title.partition(" ")[0], ""))
        if curve is None or not result.startswith(("P", "F (1", "F (2")):
            continue
        key_type, group, size = curve
        material = pkcs8(ec.derive_private_key(int(fields["dsiut"], 16), group))
        x, y = (int(fields[f"qscavs{axis}"], 16).to_bytes(size, "big") for axis in "xy")
        asked = (path.name, key_type, material, lib.VKS_OP_DERIVE, lib.VKS_MECHANISM_ECDH, b"", b"\x04" + x + y)
        if result.startswith("P"):
            yield Case(*asked, output=bytes.fromhex(fields["z"]))
        else:
            yield Case(*asked, status=lib.VKS_STATUS_AUTH_FAILED)


def x25519_rfc7748(path: Path) -> Iterator[Case]:
    """The scalar multiplications of clause 5.2 as agreements."""
    for _section, fields in blocks(path):
        if "input_scalar" not in fields:
            continue
        scalar, u, shared = (bytes.fromhex(fields[name]) for name in ("input_scalar", "input_u", "output_u"))
        material = pkcs8(x25519.X25519PrivateKey.from_private_bytes(scalar))
        op, mechanism = lib.VKS_OP_DERIVE, lib.VKS_MECHANISM_ECDH
        yield Case(path.name, lib.VKS_KEY_TYPE_X25519, material, op, mechanism, b"", u, output=shared)


def hkdf(path: Path) -> Iterator[Case]:
    """Keying material of an HMAC key; a case of the file has blank lines in it."""
    case: dict[str, str] = {}
    for _section, fields in blocks(path):
        case |= fields
        if "okm" not in fields:
            continue
        material, salt, info, made = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info", "okm"))
        op, mechanism = lib.VKS_OP_DERIVE, lib.VKS_MECHANISM_HKDF_SHA256
        yield Case(path.name, lib.VKS_KEY_TYPE_HMAC_SHA256, material, op, mechanism, info, aad=salt, output=made)
        case = {}


def derive_sources() -> Iterator[tuple[Path, Iterator[Case]]]:
    """Every file, with its cases."""
    for role in ("init", "resp"):
        path = ROOT / "asymmetric" / "ECDH" / f"KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_{role}.fax"
        yield path, ecdh(path)
    path = ROOT / "asymmetric" / "X25519" / "rfc7748.txt"
    yield path, x25519_rfc7748(path)
    path = ROOT / "KDF" / "rfc-5869-HKDF-SHA256.txt"
    yield path, hkdf(path)

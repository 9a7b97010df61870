# SPDX-License-Identifier: Apache-2.0
"""The module in the hands of openssl, by the engine of libp11: certificates and signatures."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.keystored import Keystored
from framework.pkcs11_guest import MODULE, Pkcs11Guest
from framework.recipes import recipe
from pkcs11.openssl_engine import ENGINE, EngineGuest, key_uri

pytestmark = pytest.mark.skipif(not ENGINE.exists(), reason="no engine (libengine-pkcs11-openssl)")
MESSAGE = b"what openssl signs"
KEYS = {"p256": "ec-p256", "p384": "ec-p384", "rsa": "rsa-2048"}


@pytest.fixture(scope="module")
def guest(shared_vault: Keystored, tmp_path_factory: pytest.TempPathFactory) -> EngineGuest:
    """A guest whose keys this engine knows."""
    guest = EngineGuest(shared_vault.add_guest("app"), tmp_path_factory.mktemp("engine"))
    for label, key_type in KEYS.items():
        shared_vault.api.generate(label, key_type)
        shared_vault.api.grant("app", label, ("sign", "verify"))
    return guest


def public_key(vault: Keystored, label: str) -> Any:
    """As the administrator sees it."""
    return load_pem_public_key(vault.cli("key", "public", label).stdout.encode())


@pytest.mark.parametrize("label", KEYS)
def test_certificate(shared_vault: Keystored, guest: EngineGuest, label: str) -> None:
    """Made by ``openssl req -x509``; it is the key's, and verifies."""
    path = guest.certificate(label)
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    assert certificate.public_key() == public_key(shared_vault, label)
    certificate.verify_directly_issued_by(certificate)
    assert guest.openssl("pkey", "-inform", "engine", "-in", key_uri(label), "-pubout").startswith(b"-----BEGIN PUBLIC")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("label", KEYS)
def test_signature(shared_vault: Keystored, guest: EngineGuest, label: str, digest: str) -> None:
    """``openssl dgst -sign``: the digest is openssl's, the signature the vault's."""
    arguments = (f"-{digest}", "-keyform", "engine", "-sign", key_uri(label))
    signature = guest.openssl("dgst", *arguments, data=MESSAGE)
    public = public_key(shared_vault, label)
    algorithm: hashes.HashAlgorithm = getattr(hashes, digest.upper())()
    if label == "rsa":
        public.verify(signature, MESSAGE, padding.PKCS1v15(), algorithm)
        pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")
        signature = guest.openssl("dgst", *arguments, *pss, data=MESSAGE)
        public.verify(signature, MESSAGE, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
    else:
        public.verify(signature, MESSAGE, ec.ECDSA(algorithm))


def test_digest_that_is_not_signed(guest: EngineGuest) -> None:
    """SHA-1 is refused, and openssl says so."""
    with pytest.raises(AssertionError, match=r"[Ss]ign"):
        guest.openssl("dgst", "-sha1", "-keyform", "engine", "-sign", key_uri("rsa"), data=MESSAGE)


def test_recipe(shared_vault: Keystored, tmp_path: Path) -> None:
    """The script that users copy, with a guest of its own; both keys sign in the vault."""
    script = recipe("openssl-engine.sh")
    guest = Pkcs11Guest(shared_vault.add_guest("recipe"))
    script.prepare(shared_vault, "recipe")
    guest.use("sh", str(script.path), variables={"MODULE": str(MODULE)}, folder=tmp_path)
    assert len(script.labels) == 2
    assert not script.unused(shared_vault, "recipe")

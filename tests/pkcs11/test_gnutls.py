# SPDX-License-Identifier: Apache-2.0
"""The module in the hands of GnuTLS: p11tool lists the keys, certtool has them sign certificates."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.pkcs11_guest import MODULE, UNDER_SANITIZER
from pkcs11.conftest import PAIRS, SECRETS, Place

pytestmark = [
    pytest.mark.skipif(not shutil.which("p11tool"), reason="no p11tool (gnutls-bin)"),
    pytest.mark.skipif(UNDER_SANITIZER, reason="p11-kit 0.24 hangs at its end with libasan in the process"),
]
TEMPLATE = 'cn = "by GnuTLS"\nca\ncert_signing_key\nexpiration_days = 2\n'


def key_urls(place: Place) -> dict[str, str]:
    """What p11tool calls the private keys, by label."""
    listed = place.guest.use("p11tool", "--provider", str(MODULE), "--list-all").stdout.decode()
    urls = [line.split("URL: ")[1] for line in listed.splitlines() if "URL: " in line and "type=private" in line]
    return {url.split("object=")[1].split(";")[0]: url for url in urls}


def test_listed(shared_place: Place) -> None:
    """All keys, each with its kind."""
    assert set(key_urls(shared_place)) == set(PAIRS)
    listed = shared_place.guest.use("p11tool", "--provider", str(MODULE), "--list-all").stdout.decode()
    assert listed.count("type=secret-key") == len(SECRETS)
    # GnuTLS 3.7 passes over public keys of X25519.
    assert {label for label in PAIRS if f"object={label};type=public" in listed} == set(PAIRS) - {"agree-x"}


@pytest.mark.parametrize(
    ("label", "digest"), [("tls", "SHA256"), ("p384", "SHA384"), ("sig", "SHA512"), ("rsa", "SHA256")]
)
def test_certificate(shared_place: Place, tmp_path: Path, label: str, digest: str) -> None:
    """Signed by the key itself; it is that key's, and both libraries verify it."""
    template, made = tmp_path / "template", tmp_path / "made.pem"
    template.write_text(TEMPLATE)
    url = key_urls(shared_place)[label]
    command = ("certtool", "--provider", str(MODULE), "--generate-self-signed", "--template", str(template))
    public = tmp_path / "public.pem"
    public.write_bytes(shared_place.public_pem(label))
    arguments = ("--load-privkey", url, "--load-pubkey", str(public), "--hash", digest, "--outfile", str(made))
    shared_place.guest.use(*command, *arguments, variables={"GNUTLS_PIN": "0"})
    certificate = x509.load_pem_x509_certificate(made.read_bytes())
    assert certificate.public_key() == load_pem_public_key(shared_place.public_pem(label))
    certificate.verify_directly_issued_by(certificate)
    subprocess.run(
        ["certtool", "--verify", "--load-ca-certificate", made, "--infile", made], check=True, stdout=subprocess.DEVNULL
    )

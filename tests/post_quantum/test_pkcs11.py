# SPDX-License-Identifier: Apache-2.0
"""ML-DSA and ML-KEM through the PKCS#11 module, by the names of PKCS#11 v3.2."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.keystored import Keystored
from framework.pkcs11_guest import Pkcs11Guest


def test_signatures_and_shared_secrets(keystored13: Keystored, tmp_path: Path) -> None:
    """What the module signs another library verifies; what that encapsulates the module opens."""
    guest = Pkcs11Guest(keystored13.add_guest("app"))
    for bits in ("44", "65", "87"):
        keystored13.cli("key", "generate", f"sign-{bits}", "--type", f"ml-dsa-{bits}")
        keystored13.cli("grant", "add", "app", f"sign-{bits}", "--ops", "sign,verify")
        public: Any = load_pem_public_key(keystored13.cli("key", "public", f"sign-{bits}").stdout.encode())
        for command in ("sign", "sign-parts"):
            signature = guest.operate(command, "ml-dsa", f"sign-{bits}", b"message").stdout
            public.verify(signature, b"message")
        kept = tmp_path / "signature"
        kept.write_bytes(signature)
        guest.operate("verify", "ml-dsa", f"sign-{bits}", b"message", kept)
    keystored13.cli("key", "generate", "share", "--type", "ml-kem-768")
    keystored13.cli("grant", "add", "app", "share", "--ops", "decapsulate,release")
    sharing: Any = load_pem_public_key(keystored13.cli("key", "public", "share").stdout.encode())
    secret, ciphertext = sharing.encapsulate()
    assert guest.operate("decapsulate", "ml-kem", "share", ciphertext).stdout == secret
    refused = guest.operate("decapsulate", "ml-kem", "share", ciphertext[:-1], ok=False)
    assert ": 0x41," in refused.stderr

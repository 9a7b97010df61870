# SPDX-License-Identifier: Apache-2.0
"""``vks`` in a guest with post-quantum keys: kernel module, virtqueue, keystored on Debian 13's OpenSSL."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.keystored import Keystored
from guest.boot import Boot, booting
from qemu_images.keystore import content

boot = pytest.fixture(booting, name="boot")


@pytest.mark.uml
def test_vks(debian13: Path, keystored13: Keystored, boot: Boot) -> None:
    """The largest signature and ciphertext make the way; what is wrong is said (MUST-43, MUST-44)."""
    assert debian13.is_dir()
    socket = keystored13.add_guest("g")
    for label, key_type, ops in (
        ("sign", "ml-dsa-87", ["sign", "verify"]),
        ("share", "ml-kem-1024", ["decapsulate", "release"]),
    ):
        keystored13.api.generate(label, key_type)
        keystored13.api.grant("g", label, ops)
    guest = boot("uml-plain", content(), devices=[(socket, 20)])
    public: Any = load_pem_public_key(guest.run("vks public sign").stdout)
    signature = guest.run("printf message | vks sign sign | tee /tmp/signature").stdout
    public.verify(signature, b"message")
    guest.run("printf message | vks verify sign /tmp/signature")
    refused = guest.run("printf other | vks verify sign /tmp/signature", check=False)
    assert refused.stderr.startswith(b"vks: verify: verification failed")
    sharing: Any = load_pem_public_key(guest.run("vks public share").stdout)
    secret, ciphertext = sharing.encapsulate()
    guest.push(ciphertext, "/tmp/ciphertext")
    assert guest.run("vks decapsulate share </tmp/ciphertext").stdout == secret
    refused = guest.run("head -c 1567 /tmp/ciphertext | vks decapsulate share", check=False)
    assert (refused.status, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(b"vks: decapsulate: data of a size that the mechanism does not take")
    assert "ml-kem-1024" in guest.run("vks list").text
    assert "ml-dsa" in guest.run("vks info").text

# SPDX-License-Identifier: Apache-2.0
"""From the administrator to the guest and the audit log, where there are keys of ML-DSA and ML-KEM and where not."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework import with_programs
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import KeyType

POST_QUANTUM = [key_type.text for key_type in KeyType if key_type >= KeyType.ML_DSA_44]


def test_from_the_administrator_to_the_guest(keystored13: Keystored) -> None:
    """Made, granted, used, rotated; the public key that the administrator sees verifies and shares a secret."""
    path = keystored13.add_guest("g")
    keystored13.cli("key", "generate", "sign", "--type", "ml-dsa-65")
    keystored13.cli("key", "generate", "share", "--type", "ml-kem-768")
    keystored13.cli("grant", "add", "g", "sign", "--ops", "sign,verify")
    keystored13.cli("grant", "add", "g", "share", "--ops", "decapsulate,release")
    public: Any = load_pem_public_key(keystored13.cli("key", "public", "sign").stdout.encode())
    sharing: Any = load_pem_public_key(keystored13.cli("key", "public", "share").stdout.encode())
    with ring_guest(path) as guest:
        made = guest.ask(lib.VKS_OP_SIGN, "sign", b"message", output_bytes=8192)
        assert made.status == lib.VKS_STATUS_OK
        public.verify(made.data, b"message")
        secret, ciphertext = sharing.encapsulate()
        for _ in range(3):
            assert guest.ask(lib.VKS_OP_DECAPSULATE, "share", ciphertext, output_bytes=32).data == secret
        keystored13.cli("key", "rotate", "share")
        assert guest.ask(lib.VKS_OP_DECAPSULATE, "share", ciphertext, output_bytes=32).data != secret
        old = guest.ask(lib.VKS_OP_DECAPSULATE, "share", ciphertext, output_bytes=32, key_version=1)
        assert old.data == secret
        keystored13.cli("key", "rotate", "sign")
        verify: dict[str, Any] = {"parameter": made.data, "key_version": 1}
        assert guest.ask(lib.VKS_OP_VERIFY, "sign", b"message", **verify).status == lib.VKS_STATUS_OK
    lines = wait_for(lambda: len(found := logged(keystored13, "decapsulate")) == 5 and found)
    assert [(line["status"], line.get("count", 1)) for line in lines] == [("ok", 1)] * 5
    # They come into the store in several parts.
    wait_for(lambda: uses_of(keystored13, "share") == [("decapsulate", 4)])


def uses_of(vault: Keystored, label: str) -> list[tuple[str, int]]:
    """What is known of the first version's."""
    return [(use["op"], use["count"]) for use in vault.facts("key", "show", label)["versions"][0]["uses"]]


def logged(vault: Keystored, op: str) -> list[dict[str, Any]]:
    """The lines about one operation."""
    lines = map(json.loads, vault.cli("audit", "export").stdout.splitlines())
    return [line for line in lines if line.get("op") == op]


def test_what_is_said_where_they_are(keystored13: Keystored) -> None:
    """Doctor names the version; no certificate is made; decapsulate is not granted without release."""
    [finding] = [one for one in keystored13.facts("doctor") if one["name"] == "post-quantum"]
    assert (finding["level"], finding["detail"].startswith("available: OpenSSL 3.")) == ("ok", True)
    keystored13.cli("key", "generate", "sign", "--type", "ml-dsa-44")
    keystored13.cli("key", "generate", "share", "--type", "ml-kem-512")
    refused = keystored13.cli("key", "csr", "sign", "--subject", "CN=x", ok=False)
    assert "no certificates are made with keys of type ml-dsa-44" in refused.stderr
    refused = keystored13.cli("key", "csr", "share", "--subject", "CN=x", ok=False)
    assert "key 'share' is for key agreement (ml-kem-512): it does not sign" in refused.stderr
    keystored13.add_guest("g")
    refused = keystored13.cli("grant", "add", "g", "share", "--ops", "decapsulate", ok=False)
    assert "decapsulate gives the guest a secret, and the grant does not say release" in refused.stderr


@pytest.mark.parametrize("key_type", POST_QUANTUM)
def test_what_is_said_where_they_are_not(shared_vault: Keystored, key_type: str) -> None:
    """On an older OpenSSL a refusal names what it takes and what there is, and nothing is made."""
    custodian = shared_vault.facts("status")["custodian"]
    if not custodian["unsupported_types"]:
        pytest.skip("this machine's OpenSSL has them")
    assert custodian["unsupported_types"] == POST_QUANTUM
    refused = shared_vault.cli("key", "generate", f"k-{key_type}", "--type", key_type, ok=False)
    said = refused.stderr.splitlines()
    assert said[0].endswith(f"{key_type} needs OpenSSL 3.5 or newer on this host (it has {custodian['libcrypto']})")
    assert said[1].startswith("hint: ")
    assert shared_vault.facts("key", "list") == []
    [finding] = [one for one in shared_vault.facts("doctor") if one["name"] == "post-quantum"]
    assert (finding["level"], finding["hint"]) == ("ok", "")
    assert finding["detail"].startswith("not available")


def test_a_store_that_came_from_a_newer_host(debian13: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A guest keeps its other keys, sees no other, and it is said which one it lacks and why (MUST-45)."""
    folder = tmp_path_factory.mktemp("s", numbered=True)
    newer = (sys.executable, with_programs.__file__, str(debian13))
    with Keystored(folder, program=newer) as keystored:
        path = keystored.add_guest("g")
        for label, key_type, op in (("new", "ml-dsa-44", "sign"), ("old", "ed25519", "sign")):
            keystored.cli("key", "generate", label, "--type", key_type)
            keystored.cli("grant", "add", "g", label, "--ops", op)
    with Keystored(folder) as keystored:
        if not keystored.facts("status")["custodian"]["unsupported_types"]:
            pytest.skip("this machine's OpenSSL has them")
        with ring_guest(path) as guest:
            assert guest.ask(lib.VKS_OP_SIGN, "old", b"m", output_bytes=64).status == lib.VKS_STATUS_OK
            assert [entry.label for entry in guest.list_keys()] == ["old"]
        assert "ml-dsa-44 needs OpenSSL 3.5 or newer" in keystored.log_text

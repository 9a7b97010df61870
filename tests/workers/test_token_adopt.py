# SPDX-License-Identifier: Apache-2.0
"""Key pairs that are in a token already, and what a person reads where a token's key is not to be had."""

from collections.abc import Iterator

import pytest
from framework.hsm_vault import keystored
from framework.keystored import Keystored
from framework.ring_guest import ring_guest
from framework.software_hsm import SoftwareHsm

from vmm_keystore._vks import lib

PAIRS = {
    "good": ("--key-type", "EC:prime256v1", "--id", "01"),
    "rsa": ("--key-type", "rsa:2048", "--id", "02"),
    "twin": ("--key-type", "EC:prime256v1", "--id", "03"),
    "other": ("--key-type", "EC:prime256v1", "--id", "03"),
    "curve": ("--key-type", "EC:secp521r1", "--id", "04"),
    "small": ("--key-type", "rsa:1024", "--id", "05"),
    "open": ("--key-type", "EC:prime256v1", "--id", "06", "--extractable"),
    "asking": ("--key-type", "EC:prime256v1", "--id", "0a", "--always-auth"),
    "double": ("--key-type", "EC:prime256v1", "--id", "07"),
}


@pytest.fixture(scope="module")
def adopting_hsm() -> Iterator[SoftwareHsm]:
    """A token with key pairs of somebody else's."""
    with SoftwareHsm() as made:
        for label, words in PAIRS.items():
            made.tool("--keypairgen", "--label", label, *words, "--usage-sign")
        made.tool("--keypairgen", "--label", "double", "--key-type", "EC:prime256v1", "--id", "08", "--usage-sign")
        made.tool("--keypairgen", "--label", "lonely", "--key-type", "EC:prime256v1", "--id", "09", "--usage-sign")
        made.tool("--delete-object", "--type", "pubkey", "--id", "09")
        yield made


@pytest.fixture(scope="module")
def adopting_vault(adopting_hsm: SoftwareHsm) -> Iterator[Keystored]:
    """A vault that may look for them."""
    with keystored(adopting_hsm) as started:
        started.add_guest("g")
        started.cli("key", "generate", "kept", "--type", "ec-p256", "--in-token")
        yield started


def refused(vault: Keystored, *words: str) -> list[str]:
    """What is said to somebody who must not have it."""
    outcome = vault.cli(*words, ok=False)
    assert (outcome.status != 0, outcome.stdout) == (True, "")
    return outcome.stderr.splitlines()


def test_found_by_label_or_id(adopting_vault: Keystored) -> None:
    """Guests sign with it; under one label only."""
    said = adopting_vault.cli("key", "adopt", "mine", "--token-label", "good", "--tag", "site=a").stdout
    serial = adopting_vault.facts("status")["token"]["serial"]
    assert said == f"key mine adopted in token {serial}: ec-p256, version 1, active\n"
    assert adopting_vault.facts("key", "show", "mine")["tags"] == {"site": "a"}
    adopting_vault.cli("key", "adopt", "yours", "--token-id", "02", "--inactive")
    shown = adopting_vault.facts("key", "show", "yours")
    assert (shown["type"], shown["state"]) == ("rsa-2048", "pre-activation")
    adopting_vault.cli("key", "activate", "yours")
    for label in ("mine", "yours"):
        adopting_vault.api.grant("g", label, ["sign"])
    with ring_guest(adopting_vault.folder / "g.sock") as guest:
        assert [guest.sign(label, b"m").status for label in ("mine", "yours")] == [lib.VKS_STATUS_OK] * 2
    assert refused(adopting_vault, "key", "adopt", "again", "--token-id", "01") == [
        "vmm-keystore: this key pair of the token is key 'mine' already",
        "hint: vmm-keystore key alias gives 'mine' another name",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--token-label", "none"), "the token has no such key pair"),
        (("--token-id", "ff"), "the token has no such key pair"),
        (("--token-label", "double"), "the token has several such key pairs"),
        (("--token-label", "twin"), "the token has several such key pairs"),
        (("--token-label", "curve"), "the token has no such keys"),
        (("--token-label", "small"), "the token has no such keys"),
        (("--token-label", "open"), "the token's key could leave it, or neither signs nor decrypts"),
        (("--token-label", "asking"), "the token takes its pin anew for each use of this key"),
        (("--token-label", "lonely"), "the token does not give the public half of the key"),
    ],
)
def test_pairs_that_are_none_for_us(adopting_vault: Keystored, words: tuple[str, ...], said: str) -> None:
    """Each with its reason, and what to do; nothing is left of the try."""
    lines = refused(adopting_vault, "key", "adopt", "new", *words)
    assert lines[0] == f"vmm-keystore: {said}"
    assert lines[1].startswith("hint: ")
    assert "no key 'new'" in refused(adopting_vault, "key", "show", "new")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("key", "adopt", "new"), "say which key pair of the token: --token-label LABEL or --token-id HEX"),
        (
            ("key", "adopt", "new", "--token-label", "good", "--token-id", "01"),
            "say which key pair of the token: --token-label LABEL or --token-id HEX",
        ),
        (("key", "generate", "new", "--type", "aes-256", "--in-token"), "a token has no keys of type aes-256 here"),
        (("key", "generate", "new", "--type", "ed25519", "--in-token"), "a token has no keys of type ed25519 here"),
        (("key", "csr", "kept", "--subject", "CN=x"), "key 'kept' lies in a token, which signs for guests only"),
        (
            ("grant", "add", "g", "kept", "--ops", "derive,release"),
            "key 'kept' lies in a token, which does not derive",
        ),
    ],
)
def test_what_a_token_does_not_do(adopting_vault: Keystored, words: tuple[str, ...], said: str) -> None:
    """It is said at the desk."""
    assert refused(adopting_vault, *words)[0] == f"vmm-keystore: {said}"


def test_without_a_token(shared_vault: Keystored) -> None:
    """What to start keystored with."""
    for words in (("generate", "k", "--type", "ec-p256", "--in-token"), ("adopt", "k", "--token-id", "01")):
        assert refused(shared_vault, "key", *words) == [
            "vmm-keystore: keystored was started without a pkcs#11 token",
            "hint: serve --hsm-module PATH --hsm-pin FILE",
        ]

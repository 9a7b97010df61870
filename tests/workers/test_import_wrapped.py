# SPDX-License-Identifier: Apache-2.0
"""A key from elsewhere through the whole vault: the offer that is printed, openssl as whoever wraps, and refusals."""

import os
import subprocess
from pathlib import Path

import pytest
from framework.keystored import Keystored

COMMANDS = """
    openssl rand -out aes 32
    openssl pkeyutl -encrypt -pubin -inkey offer.pem -in aes -out one -pkeyopt rsa_padding_mode:oaep \
        -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
    openssl enc -id-aes256-wrap-pad -iv A65959A6 -K $(od -An -tx1 -v aes | tr -d ' \\n') -in key.der -out two
    cat one two >wrapped
"""


@pytest.fixture
def offer(vault: Keystored, tmp_path: Path) -> str:
    """Its id; key.der is wrapped to it, as the README says."""
    printed = vault.cli("key", "import-offer").stdout
    (tmp_path / "offer.pem").write_text(printed)
    form: list[str | Path] = ["-algorithm", "ED25519", "-outform", "DER", "-out", tmp_path / "key.der"]
    subprocess.run(["openssl", "genpkey", *form], check=True, capture_output=True)
    subprocess.run(["sh", "-ec", COMMANDS], cwd=tmp_path, check=True, capture_output=True)
    first, _, pem = printed.partition("\n")
    assert pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    return first.removeprefix("offer: ")


def test_key_from_elsewhere(vault: Keystored, tmp_path: Path, offer: str) -> None:
    """The same public key; on record; the second try with an offer is refused, and says so."""
    arguments = ["--wrapped", str(tmp_path / "wrapped"), "--offer", offer, "--type", "ed25519"]
    assert vault.cli("key", "import", "hsm", *arguments).stdout == "key hsm imported: ed25519, version 1, active\n"
    command: list[str | Path] = ["openssl", "pkey", "-inform", "DER", "-in", tmp_path / "key.der", "-pubout"]
    assert vault.cli("key", "public", "hsm").stdout == subprocess.check_output(command, text=True)
    again = vault.cli("key", "import", "again", *arguments, ok=False)
    assert again.status == 1
    assert "import refused: the import offer is unknown or used\nhint: each offer is good for one try" in again.stderr
    assert "key-import" in vault.cli("audit", "tail").stdout


def test_what_is_refused(vault: Keystored, tmp_path: Path, offer: str) -> None:
    """What can be seen beforehand costs no offer; what was unwrapped does."""
    wrapped = str(tmp_path / "wrapped")
    large = tmp_path / "large"
    large.write_bytes(bytes(9000))

    def refused(*arguments: str) -> str:
        outcome = vault.cli("key", "import", "hsm", *arguments, ok=False)
        assert outcome.status in {1, 2}
        assert outcome.stdout == ""
        return outcome.stderr

    given = ("--wrapped", wrapped, "--offer", offer)
    assert "--wrapped and --offer go together\nhint: vmm-keystore key import-offer" in refused("--wrapped", wrapped)
    assert "--wrapped needs --type" in refused(*given)
    assert "larger than any wrapped key" in refused("--wrapped", str(large), "--offer", offer, "--type", "ed25519")
    assert "cannot read /nowhere" in refused("--wrapped", "/nowhere", "--offer", offer, "--type", "ed25519")
    assert refused(*given, "--type", "ed25519", "--oaep-hash", "md5")
    assert refused("--wrapped", wrapped, "--offer", "x", "--type", "ed25519")
    vault.api.generate("taken", "ed25519")
    taken = vault.cli("key", "import", "taken", *given, "--type", "ed25519", ok=False)
    assert "there is a key 'taken' already" in taken.stderr
    assert "import refused: what was unwrapped is no aes-256 key" in refused(*given, "--type", "aes-256")
    assert "the import offer is unknown or used" in refused(*given, "--type", "ed25519")
    random = tmp_path / "random"
    random.write_bytes(os.urandom(424))
    other = vault.facts("key", "import-offer")["offer_id"]
    text = refused("--wrapped", str(random), "--offer", other, "--type", "aes-256")
    assert "what was sent was not wrapped to this offer, or is damaged" in text
    assert [key["label"] for key in vault.facts("key", "list")] == ["taken"]

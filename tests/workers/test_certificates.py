# SPDX-License-Identifier: Apache-2.0
"""Certificates for keys of a real vault, with openssl as the CA and as whoever is shown them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from framework.keystored import Keystored, Outcome
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

TYPES = ("ec-p256", "ec-p384", "ed25519", "rsa-2048")
NAMES = (
    "--subject", "CN=web,O=Example\\, Inc,C=DE", "--dns", "www.example.com", "--dns", "*.example.org", "--ip", "192.0.2.1",
    "--ip", "2001:db8::1", "--email", "admin@example.com", "--uri", "spiffe://example.com/web",
)  # fmt: skip


def openssl(*arguments: str | Path, content: str | bytes = b"") -> str:
    given = content.encode() if isinstance(content, str) else content
    done = subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode()


class Ca:
    """A root and an intermediate made by openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._extensions("ca", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
        self._extensions("leaf", "basicConstraints=CA:FALSE\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl(
            "req", "-x509", *new, "-keyout", folder / "root.key", "-out", folder / "root.pem", "-subj", "/CN=Root",
            "-days", "90",
        )  # fmt: skip
        openssl("req", *new, "-keyout", folder / "sub.key", "-out", folder / "sub.csr", "-subj", "/CN=Sub")
        (folder / "sub.pem").write_text(self._sign((folder / "sub.csr").read_text(), "root", "ca", 60))

    def issue(self, request: str, days: int = 30) -> str:
        """A certificate for a request, with the names that it asks for."""
        return self._sign(request, "sub", "leaf", days)

    @property
    def sub(self) -> str:
        """The intermediate's certificate."""
        return (self.folder / "sub.pem").read_text()

    @property
    def root(self) -> str:
        """The root's."""
        return (self.folder / "root.pem").read_text()

    def _extensions(self, name: str, text: str) -> None:
        (self.folder / f"{name}.cnf").write_text(text)

    def _sign(self, request: str, by: str, extensions: str, days: int) -> str:
        folder = self.folder
        copy = ["-copy_extensions", "copy"] if extensions == "leaf" else []
        command: list[str | Path] = [
            "x509", "-req", *copy, "-CA", folder / f"{by}.pem", "-CAkey", folder / f"{by}.key", "-CAcreateserial",
            "-days", str(days), "-extfile", folder / f"{extensions}.cnf",
        ]  # fmt: skip
        return openssl(*command, content=request).partition("-----END CERTIFICATE-----")[0] + (
            "-----END CERTIFICATE-----\n"
        )


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    return Ca(tmp_path_factory.mktemp("ca"))


def refused(outcome: Outcome) -> str:
    """Both lines as a person reads them."""
    assert (outcome.status, outcome.stdout) == (1, "")
    lines = outcome.stderr.splitlines()
    assert lines[0].startswith("vmm-keystore: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    return outcome.stderr


def set_chain(vault: Keystored, path: Path, label: str, *certificates: str, **options: Any) -> Outcome:
    path.write_text("".join(certificates))
    return vault.cli("key", "certificate", "set", label, str(path), **options)


@pytest.mark.parametrize("key_type", TYPES)
def test_from_request_to_certificate_in_use(vault: Keystored, ca: Ca, tmp_path: Path, key_type: str) -> None:
    """A CA takes the request; the chain it gives is attached and verifies; the guest's signature fits it."""
    socket = vault.add_guest("web1")
    vault.api.generate("tls", key_type)
    vault.api.grant("web1", "tls", ["sign"])
    request = vault.cli("key", "csr", "tls", *NAMES).stdout
    text = openssl("req", "-verify", "-noout", "-text", content=request)
    assert "verify OK" in text
    assert 'Subject: C = DE, O = "Example, Inc", CN = web' in text
    assert re.search(
        r"DNS:www.example.com, DNS:\*.example.org, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, "
        r"email:admin@example.com, URI:spiffe://example.com/web",
        text,
    )
    leaf, path = ca.issue(request), tmp_path / "chain.pem"
    assert "key tls version 1 has the certificate CN=web,O=Example\\, Inc,C=DE, until 20" in (
        set_chain(vault, path, "tls", leaf, ca.sub).stdout
    )
    shown = vault.cli("key", "certificate", "show", "tls", "--pem").stdout
    assert shown == leaf + ca.sub
    path.write_text(shown)
    options: list[str | Path] = [
        "-verify_hostname",
        "a.example.org",
        "-untrusted",
        path,
        "-CAfile",
        ca.folder / "root.pem",
    ]
    assert "OK" in openssl("verify", *options, path)
    public = openssl("x509", "-pubkey", "-noout", content=leaf)
    assert public == vault.cli("key", "public", "tls").stdout
    if key_type == "ed25519":
        with ring_guest(socket) as guest:
            answer = guest.sign(guest.key_id("tls"), b"message")
            assert answer.status == lib.VKS_STATUS_OK
            (tmp_path / "p").write_text(public)
            (tmp_path / "s").write_bytes(answer.data)
            (tmp_path / "m").write_bytes(b"message")
            check: list[str | Path] = [
                "-pubin",
                "-inkey",
                tmp_path / "p",
                "-rawin",
                "-in",
                tmp_path / "m",
                "-sigfile",
                tmp_path / "s",
            ]
            assert "Verified Successfully" in openssl("pkeyutl", "-verify", *check)


def test_self_signed(vault: Keystored, tmp_path: Path) -> None:
    """One for a server, and one that issues: openssl takes both."""
    vault.api.generate("tls", "ec-p256")
    path = tmp_path / "self.pem"
    path.write_text(vault.cli("key", "self-sign", "tls", "--days", "30", *NAMES).stdout)
    assert "OK" in openssl("verify", "-verify_hostname", "www.example.com", "-CAfile", path, path)
    text = openssl("x509", "-noout", "-text", "-in", path)
    assert "CA:FALSE" in text
    path.write_text(vault.cli("key", "self-sign", "tls", "--days", "30", "--ca", "--subject", "CN=Root").stdout)
    assert "OK" in openssl("verify", "-x509_strict", "-CAfile", path, path)
    assert "CA:TRUE" in openssl("x509", "-noout", "-text", "-in", path)


def test_facts_and_record(vault: Keystored, ca: Ca, tmp_path: Path) -> None:
    """What is shown of a chain everywhere, in figures as well, and who did what in the audit log."""
    vault.api.generate("tls", "ec-p256")
    made = vault.facts("key", "csr", "tls", "--subject", "CN=web")
    assert openssl("req", "-verify", "-noout", content=made["pem"])
    leaf = ca.issue(made["pem"])
    set_chain(
        vault,
        tmp_path / "chain.pem",
        "tls",
        leaf,
        ca.sub,
    )
    found = vault.facts("key", "certificate", "show", "tls")
    digest = openssl("x509", "-noout", "-fingerprint", "-sha256", content=leaf).partition("=")[2].strip()
    assert found["sha256"] == digest.replace(":", "").lower()
    assert (found["subject"], found["issuer"], found["certificates"]) == ("CN=web", "CN=Sub", 2)
    (version,) = vault.facts("key", "show", "tls")["versions"]
    assert version["certificate"] == {name: found[name] for name in found if name not in {"label", "version", "pem"}}
    assert f"CN=web, until {found['not_after'][:19]}Z" in vault.cli("key", "show", "tls").stdout
    (sample,) = [
        one for one in vault.facts("metrics") if one["name"] == "vmm_keystore_key_certificate_not_after_seconds"
    ]
    assert sample["labels"] == {"key": "tls", "version": "1"}
    assert vault.cli("key", "certificate", "remove", "tls").stdout == "key tls: certificate CN=web removed\n"
    lines = [json.loads(line) for line in vault.cli("audit", "export").stdout.splitlines()]
    actions = [line["action"] for line in lines if line.get("key") == "tls"]
    assert actions == ["key-generate", "key-csr", "key-certificate-set", "key-certificate-remove"]
    csr = next(line for line in lines if line.get("action") == "key-csr")
    assert (csr["subject"], csr["sha256"], csr["version"]) == ("CN=web", made["sha256"], 1)


def test_chains_that_do_not_fit(vault: Keystored, ca: Ca, tmp_path: Path) -> None:
    """Each with its own sentence; what was attached before stays."""
    vault.api.generate("tls", "ec-p256")
    vault.api.generate("other", "ec-p256")
    leaf = ca.issue(vault.cli("key", "csr", "tls", "--subject", "CN=web").stdout)
    path = tmp_path / "chain.pem"
    assert set_chain(vault, path, "tls", leaf, ca.sub, ca.root).status == 0

    def wrong(*certificates: str, label: str = "tls") -> str:
        return refused(set_chain(vault, path, label, *certificates, ok=False))

    assert "the first certificate (CN=web) is that of another key" in wrong(leaf, label="other")
    assert "certificate 1 (CN=web) was issued by CN=Sub, and CN=Root follows" in wrong(leaf, ca.root)
    assert "CN=Sub) is that of another key" in wrong(ca.sub, ca.root)
    assert "this is no chain of certificates in PEM" in wrong("words\n")
    assert "is empty" in wrong("\n")
    assert "holds a private key\nhint: " in wrong(leaf, (ca.folder / "sub.key").read_text())
    assert "is larger than any certificate chain" in wrong(leaf, "#" * 70000)
    path.write_bytes(b"\x30\x82\x01\xff")
    outcome = vault.cli("key", "certificate", "set", "tls", str(path), ok=False)
    assert f"{path} is no PEM file\nhint: a DER file becomes one by: openssl x509" in refused(outcome)
    assert vault.facts("key", "certificate", "show", "tls")["certificates"] == 3


def test_standard_input(vault: Keystored, ca: Ca) -> None:
    vault.api.generate("tls", "ed25519")
    leaf = ca.issue(vault.cli("key", "csr", "tls", "--dns", "a.example").stdout)
    assert vault.cli("key", "certificate", "set", "tls", "-", stdin=leaf.encode()).status == 0
    assert vault.cli("key", "certificate", "show", "tls", "--pem").stdout == leaf


def test_after_a_new_kek_and_a_new_daemon(vault: Keystored, tmp_path: Path) -> None:
    """Keys that were sealed anew still sign, and chains are still there."""
    vault.api.generate("tls", "ec-p384")
    path = tmp_path / "self.pem"
    path.write_text(vault.cli("key", "self-sign", "tls", "--days", "1", "--subject", "CN=x").stdout)
    vault.cli("key", "certificate", "set", "tls", str(path))
    vault.cli("root", "change", "file")
    vault.kill()
    vault.start()
    assert "verify OK" in openssl("req", "-verify", content=vault.cli("key", "csr", "tls", "--subject", "CN=y").stdout)
    assert vault.cli("key", "certificate", "show", "tls", "--pem").stdout == path.read_text()


@pytest.fixture
def pkcs12(ca: Ca, tmp_path: Path) -> Path:
    """A key with its chain, as openssl makes it, with a passphrase in the file beside it."""
    key = tmp_path / "web.key"
    request = openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=web", "-out", tmp_path / "csr"
    )
    assert request
    (tmp_path / "web.pem").write_text(ca.issue((tmp_path / "csr").read_text()))
    (tmp_path / "secret").write_text("a passphrase\n")
    export(tmp_path, ca)
    return tmp_path / "web.p12"


def export(folder: Path, ca: Ca) -> None:
    openssl(
        "pkcs12", "-export", "-inkey", folder / "web.key", "-in", folder / "web.pem", "-certfile",
        ca.folder / "sub.pem", "-out", folder / "web.p12", "-passout", f"file:{folder / 'secret'}",
    )  # fmt: skip


def test_import_of_pkcs12(vault: Keystored, ca: Ca, pkcs12: Path) -> None:
    """The key, and its chain attached to it; a request that it signs is one of that key."""
    secret = pkcs12.with_name("secret")
    done = vault.cli("key", "import", "web", "--pkcs12", pkcs12, "--passphrase-file", secret)
    assert re.fullmatch(r"key web imported: rsa-2048, version 1, active; certificate CN=web, until \S+Z\n", done.stdout)
    assert done.stderr == ""
    chain = vault.cli("key", "certificate", "show", "web", "--pem").stdout
    assert chain == openssl("x509", "-in", pkcs12.with_name("web.pem")) + ca.sub
    public = openssl("x509", "-pubkey", "-noout", content=chain)
    assert vault.cli("key", "public", "web").stdout == public
    request = vault.cli("key", "csr", "web", "--subject", "CN=again").stdout
    assert public in openssl("req", "-verify", "-pubkey", "-noout", content=request)
    key = vault.facts("key", "import", "again", "--pkcs12", pkcs12, "--passphrase-file", secret)
    assert key["versions"][0]["certificate"]["subject"] == "CN=web"


def test_import_of_pkcs12_whose_certificate_has_ended(vault: Keystored, ca: Ca, pkcs12: Path) -> None:
    """The key is there; why its certificates are not is said."""
    folder = pkcs12.parent
    sign: list[str | Path] = [
        "x509",
        "-req",
        "-in",
        folder / "csr",
        "-CA",
        ca.folder / "sub.pem",
        "-CAkey",
        ca.folder / "sub.key",
    ]
    openssl(*sign, "-CAcreateserial", "-days", "-1", "-out", folder / "web.pem")
    export(folder, ca)
    done = vault.cli("key", "import", "web", "--pkcs12", pkcs12, "--passphrase-file", folder / "secret")
    assert done.stdout == "key web imported: rsa-2048, version 1, active\n"
    assert "vmm-keystore: the certificates of web are not attached: the first certificate (CN=web) has ended" in (
        done.stderr
    )
    assert vault.facts("key", "show", "web")["versions"][0]["certificate"] is None


def test_import_of_pkcs12_that_fails(vault: Keystored, pkcs12: Path) -> None:
    """Nothing is imported then."""
    wrong = pkcs12.with_name("wrong")
    wrong.write_text("another passphrase\n")
    arguments = ["key", "import", "web", "--pkcs12", str(pkcs12), "--passphrase-file", str(wrong)]
    assert f"wrong passphrase for {pkcs12}" in refused(vault.cli(*arguments, ok=False))
    pem = vault.cli("key", "import", "web", "--pkcs12", pkcs12.with_name("web.pem"), ok=False)
    assert "is no pkcs#12 file\nhint: other files are imported without --pkcs12" in refused(pem)
    for more in ([], [str(pkcs12), "--pkcs12", str(pkcs12)]):
        outcome = vault.cli("key", "import", "web", *more, ok=False)
        assert (outcome.status, outcome.stdout) == (2, "")
        assert "one file is needed: FILE, --pkcs12 FILE or --wrapped FILE" in outcome.stderr
    outcome = vault.cli("key", "import", "web", "--pkcs12", pkcs12, "--format", "der", ok=False)
    assert "--pkcs12 and --format exclude each other" in outcome.stderr
    assert vault.facts("key", "list") == []

# SPDX-License-Identifier: Apache-2.0
"""Certificates of the guest's folder beside its keys: found by what programs look for, with the id of their key."""

import os
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from framework.certificates import BEGIN, END, Authority, pem
from framework.pkcs11_guest import MODULE, UNDER_SANITIZER, Program
from pkcs11.conftest import Place

LABELS = ("tls", "p384", "sig", "rsa")
FLAGS = ("token", "private", "modifiable", "copyable", "destroyable", "trusted")
needs_tool = pytest.mark.skipif(not shutil.which("pkcs11-tool"), reason="no pkcs11-tool (opensc)")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Give one whose key nobody has."""
    return Authority("Authority")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an empty one for certificates."""
    made = tmp_path / "certificates"
    made.mkdir()
    return made


def variables(folder: Path) -> dict[str, str]:
    """What makes it the guest's."""
    return {"VKS_CERTIFICATES": str(folder)}


def put(folder: Path, name: str, text: bytes) -> None:
    """Write a file and bring it into its place at once, as one renews a certificate."""
    (folder / "new").write_bytes(text)
    (folder / "new").rename(folder / name)


def key_id(place: Place, label: str) -> str:
    """The vault's id of a key."""
    return str(place.vault.facts("key", "show", label)["id"])


def shown(place: Place, folder: Path) -> dict[str, dict[str, bytes]]:
    """All attributes of all certificates, by label."""
    lines = place.guest.run("certificate", "show", variables=variables(folder)).splitlines()
    rows = [{name: bytes.fromhex(text) for name, text in (part.split("=") for part in line.split())} for line in lines]
    return {row["label"].decode(): row for row in rows}


def test_attributes(shared_place: Place, folder: Path, authority: Authority) -> None:
    """Those of keys have their ids and labels, others their own; each is found by whatever it has."""
    made = {label: authority.issue(label, shared_place.public_pem(label)) for label in LABELS}
    put(folder, "chain.pem", pem(made["tls"], authority.certificate))
    put(folder, "others.crt", pem(*(made[label] for label in LABELS[1:])))
    found = shown(shared_place, folder)
    assert set(found) == {*LABELS, "chain-2"}
    identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    for label, row in found.items():
        certificate = made.get(label, authority.certificate)
        ours = label in made
        assert row["id"] == (bytes.fromhex(key_id(shared_place, label)) if ours else identifier.digest)
        assert row["value"] == certificate.public_bytes(Encoding.DER)
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert row["public"] == public
        assert (row["subject"], row["issuer"]) == (
            certificate.subject.public_bytes(),
            certificate.issuer.public_bytes(),
        )
        assert row["serial"][:1] == b"\2"
        assert int.from_bytes(row["serial"][2:], "big") == certificate.serial_number
        assert [row[name][0] for name in FLAGS] == [1, 0, 0, 0, 0, 0]
        assert (row["type"][0], row["category"][0], row["url"]) == (0, 0 if ours else 2, b"")
        assert (row["from"], row["until"]) == (f"{BEGIN:%Y%m%d}".encode(), f"{END:%Y%m%d}".encode())


def test_no_folder(shared_place: Place, folder: Path, authority: Authority) -> None:
    """An empty name is no folder."""
    put(folder, "tls.pem", pem(authority.issue("tls", shared_place.public_pem("tls"))))
    assert set(shown(shared_place, folder)) == {"tls"}
    assert shared_place.guest.run("certificate", "show", variables={"VKS_CERTIFICATES": ""}) == ""


def test_what_nobody_does_with_them(shared_place: Place, folder: Path, authority: Authority) -> None:
    """They do not sign, do not change, do not go."""
    put(folder, "tls.pem", pem(authority.issue("tls", shared_place.public_pem("tls"))))
    assert shared_place.guest.run("certificate", "refusals", variables=variables(folder)) == "refused\n"


def test_claimed_identifier(shared_place: Place, folder: Path, authority: Authority) -> None:
    """Nobody's certificate gets to be a key's by an identifier that says so."""
    stranger = Authority("stranger").certificate.public_key()
    public = stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    wanted = bytes.fromhex(key_id(shared_place, "tls"))
    put(folder, "stranger.pem", pem(authority.issue("stranger", public, key_id=wanted)))
    assert shown(shared_place, folder)["stranger"]["id"] == b""


def test_hostile_files(shared_place: Place, folder: Path, authority: Authority) -> None:
    """What is broken, endless or no file hides neither a certificate nor a key."""
    good = pem(authority.issue("tls", shared_place.public_pem("tls")))
    body = good.split(b"\n", 1)[1]
    put(folder, "tls.pem", good)
    put(folder, "after.pem", b"-----BEGIN CERTIFICATE-----\n" + body[:200] + b"\n" + pem(authority.certificate))
    put(folder, "cut.pem", good[: len(good) // 2])
    put(folder, "empty.pem", b"")
    put(folder, "noise.crt", os.urandom(100_000))
    put(folder, "not-a-certificate.pem", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    put(folder, "huge.pem", b"")
    os.truncate(folder / "huge.pem", 1 << 40)
    os.mkfifo(folder / "fifo.pem")
    (folder / "loop.pem").symlink_to("loop.pem")
    (folder / "up.pem").symlink_to(folder)
    (folder / "zero.pem").symlink_to("/dev/zero")
    (folder / "away.pem").symlink_to("nowhere")
    (folder / "secret.pem").mkdir()
    assert set(shown(shared_place, folder)) == {"tls", "after"}
    assert shared_place.guest.run("exercise", "sessions", "10", variables=variables(folder)) == "sessions 10\n"


def test_renewal(shared_place: Place, folder: Path, authority: Authority) -> None:
    """A running program sees it, and never sees none."""
    put(folder, "tls.pem", pem(authority.issue("tls", shared_place.public_pem("tls"))))
    with Program(shared_place.guest.device, "certificate", "renewal", variables=variables(folder)) as program:
        program.wait_for("there")
        put(folder, "tls.pem", pem(authority.issue("tls", shared_place.public_pem("tls"))))
        program.go_on()
        program.wait_for("renewed")
        assert program.finish().status == 0


def test_rotation(shared_place: Place, folder: Path, authority: Authority) -> None:
    """A certificate is of one version: with the next one it is no longer its key's."""
    put(folder, "file.pem", pem(authority.issue("tls", shared_place.public_pem("tls"))))
    with Program(shared_place.guest.device, "certificate", "rotation", variables=variables(folder)) as program:
        program.wait_for("there")
        shared_place.vault.cli("key", "rotate", "tls")
        program.go_on()
        program.wait_for("rotated")
        assert program.finish().status == 0
    put(folder, "file.pem", pem(authority.issue("tls", shared_place.public_pem("tls"))))
    assert set(shown(shared_place, folder)) == {"tls"}


def test_threads(shared_place: Place, folder: Path, authority: Authority) -> None:
    """They look on while files and keys come and go."""
    put(folder, "authority.pem", pem(authority.certificate))
    public = {label: shared_place.public_pem(label) for label in LABELS}
    with Program(shared_place.guest.device, "certificate", "threads", "4", variables=variables(folder)) as program:
        program.wait_for("looking")
        for rotated in LABELS[:3]:
            for label, key in public.items():
                put(folder, f"{label}.pem", pem(authority.issue(label, key)))
            shared_place.vault.cli("key", "rotate", rotated)
        program.go_on()
        program.wait_for("done")
        assert program.finish().status == 0


@needs_tool
def test_opensc(shared_place: Place, folder: Path, authority: Authority) -> None:
    """Lists and reads them by the id of their key."""
    certificate = authority.issue("tls", shared_place.public_pem("tls"))
    put(folder, "tls.pem", pem(certificate, authority.certificate))
    tool = ("pkcs11-tool", "--module", str(MODULE))
    listed = shared_place.guest.use(*tool, "--list-objects", "--type", "cert", variables=variables(folder)).stdout
    assert listed.count(b"Certificate Object; type = X.509 cert") == 2
    wanted = key_id(shared_place, "tls")
    assert f"ID:         {wanted}" in listed.decode()
    assert "subject:    DN: CN=tls" in listed.decode()
    read = ("--read-object", "--type", "cert", "--id", wanted)
    der = shared_place.guest.use(*tool, *read, variables=variables(folder)).stdout
    assert der == certificate.public_bytes(Encoding.DER)
    # Programs without a folder of their own find what they always found.
    assert b"Certificate" not in shared_place.guest.use(*tool, "--list-objects").stdout
    whole = shared_place.guest.use(*tool, "--list-objects", variables=variables(folder)).stdout
    without = shared_place.guest.use(*tool, "--list-objects", variables={"VKS_CERTIFICATES": ""}).stdout
    assert whole.count(b"Private Key Object") == without.count(b"Private Key Object")


@pytest.mark.skipif(not shutil.which("p11tool"), reason="no p11tool (gnutls-bin)")
@pytest.mark.skipif(UNDER_SANITIZER, reason="p11-kit 0.24 hangs at its end with libasan in the process")
def test_gnutls(shared_place: Place, folder: Path, authority: Authority) -> None:
    """Lists them."""
    put(folder, "tls.pem", pem(authority.issue("tls", shared_place.public_pem("tls")), authority.certificate))
    tool = ("p11tool", "--provider", str(MODULE))
    listed = shared_place.guest.use(*tool, "--list-all-certs", variables=variables(folder)).stdout.decode()
    assert {part for part in listed.split(";") if part.startswith("object=")} == {"object=tls", "object=tls-2"}

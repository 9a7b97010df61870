# SPDX-License-Identifier: Apache-2.0
"""vks-import and PKCS#12: files as openssl and another library make them, and one clear line for what is refused."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from custodian.custodian_process import KEY_ID, LIBEXEC, Custodian, Key
from custodian.test_import import fails

PASSPHRASE = "correct horse battery staple"
SOME_OFFER = bytes(48)
FOLDER_NAME = "made"


def openssl(*arguments: str | Path) -> bytes:
    done = subprocess.run(["openssl", *arguments], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Made:
    """A leaf, who issued it, and the root, in files of their own."""

    folder: Path

    def pem(self, name: str) -> str:
        """One of the certificates, as openssl writes it."""
        return openssl("x509", "-in", self.folder / f"{name}.pem").decode()

    def export(
        self, *options: str | Path, key: str = "leaf", name: str = "x.p12", passphrase: str = PASSPHRASE
    ) -> Path:
        """Have openssl make a file, by default of leaf and its issuers."""
        path = self.folder / name
        given = options or ("-in", self.folder / "leaf.pem", "-certfile", self.folder / "issuers.pem")
        openssl(
            "pkcs12", "-export", "-inkey", self.folder / f"{key}.key", "-out", path, "-passout", f"pass:{passphrase}",
            *given,
        )  # fmt: skip
        return path

    @property
    def chain(self) -> tuple[str | Path, ...]:
        """Options for leaf and issuers."""
        return ("-in", self.folder / "leaf.pem", "-certfile", self.folder / "issuers.pem")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp(FOLDER_NAME)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")

    def make(name: str, by: str) -> None:
        signed = ("-CA", folder / f"{by}.pem", "-CAkey", folder / f"{by}.key") if by else ()
        ca = ("-addext", "basicConstraints=critical,CA:TRUE") if name != "leaf" else ()
        openssl(
            "req", "-x509", *new, *ca, "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out",
            folder / f"{name}.self.pem",
        )  # fmt: skip
        if not by:
            (folder / f"{name}.self.pem").rename(folder / f"{name}.pem")
            return
        openssl("req", "-new", "-key", folder / f"{name}.key", "-subj", f"/CN={name}", "-out", folder / f"{name}.csr")
        (folder / "e").write_text("basicConstraints=critical,CA:TRUE" if ca else "basicConstraints=CA:FALSE")
        openssl(
            "x509", "-req", "-in", folder / f"{name}.csr", *signed, "-CAcreateserial", "-days", "30", "-extfile",
            folder / "e", "-out", folder / f"{name}.pem",
        )  # fmt: skip

    make("root", "")
    make("sub", "root")
    make("leaf", "sub")
    make("stranger", "")
    # In the wrong order, and with one that does not belong to it.
    names = ("root", "stranger", "sub")
    (folder / "issuers.pem").write_text("".join((folder / f"{name}.pem").read_text() for name in names))
    return Made(folder)


def run(
    path: Path, *options: str, offer: bytes = SOME_OFFER, passphrase: str | None = PASSPHRASE
) -> tuple[subprocess.CompletedProcess[bytes], str]:
    """Run the program away from any terminal; what it wrote, and the certificates."""
    certificates = os.memfd_create("certificates")
    command: list[str | Path] = [LIBEXEC / "vks-import", "--offer", offer.hex(), "--format", "pkcs12", *options]
    command += ["--certificates-fd", str(certificates)]
    descriptors = [certificates]
    if passphrase is not None:
        reader, writer = os.pipe()
        os.write(writer, passphrase.encode())
        os.close(writer)
        command += ["--passphrase-fd", str(reader)]
        descriptors.append(reader)
    try:
        done = subprocess.run(
            [*command, path], capture_output=True, check=False, pass_fds=descriptors, start_new_session=True,
            stdin=subprocess.DEVNULL, env={},
        )  # fmt: skip
        return done, os.pread(certificates, 1 << 20, 0).decode()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def arrive(
    custodian: Custodian, path: Path, *options: str, passphrase: str | None = PASSPHRASE
) -> tuple[Key, bytes, str]:
    """Import a file: the key, the material that a worker gets, and the certificates."""
    offer = custodian.offer()
    done, certificates = run(path, *options, offer=offer, passphrase=passphrase)
    assert (done.returncode, done.stderr) == (0, b"")
    error, key = custodian.import_key(offer[:16], done.stdout)
    assert error == 0
    assert key is not None
    channel = int.from_bytes(offer[:8], "little")
    worker = custodian.add_channel(channel)
    assert custodian.load(channel, 1, [(KEY_ID, 1, key.type, 0, key.sealed)]) == 0
    return key, worker.receive()[2][0].material, certificates


ALGORITHMS = {
    "today's default": [],
    "AES-128": ["-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC"],
    "mac by SHA-512": ["-macalg", "sha512"],
    "mac by SHA-1": ["-macalg", "sha1"],
    "one iteration": ["-noiter", "-nomaciter"],
    "3DES": ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
    "certificates in the clear": ["-certpbe", "NONE"],
    "all in the clear": ["-keypbe", "NONE", "-certpbe", "NONE"],
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_files_of_openssl(custodian: Custodian, made: Made, name: str) -> None:
    """The key as it was, and the certificates that lead from it upwards, in order; no stranger among them."""
    path = made.export(*made.chain, *ALGORITHMS[name])
    key, material, certificates = arrive(custodian, path)
    assert key.public == openssl("pkey", "-in", made.folder / "leaf.key", "-pubout", "-outform", "DER")
    assert material == openssl("pkcs8", "-topk8", "-nocrypt", "-in", made.folder / "leaf.key", "-outform", "DER")
    assert certificates == made.pem("leaf") + made.pem("sub") + made.pem("root")


@pytest.mark.parametrize("key_type", ["ED25519", "RSA", "P-384"])
def test_other_types(custodian: Custodian, tmp_path: Path, key_type: str) -> None:
    made = Made(tmp_path)
    form = ["-algorithm", key_type]
    if key_type == "P-384":
        form = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]
    openssl("genpkey", *form, "-out", tmp_path / "k.key")
    openssl("req", "-x509", "-key", tmp_path / "k.key", "-subj", "/CN=k", "-out", tmp_path / "k.pem")
    key, _, certificates = arrive(custodian, made.export("-in", tmp_path / "k.pem", key="k"))
    assert key.public == openssl("pkey", "-in", tmp_path / "k.key", "-pubout", "-outform", "DER")
    assert certificates == made.pem("k")


def test_passphrases(custodian: Custodian, made: Made) -> None:
    """None and an empty one are not asked for; letters of any script are the same as openssl's."""
    arrive(custodian, made.export(*made.chain, passphrase=""), passphrase=None)
    arrive(custodian, made.export(*made.chain, passphrase="größer als √2"), passphrase="größer als √2")
    arrive(custodian, made.export(), passphrase=PASSPHRASE + "\n")


def test_without_certificates(custodian: Custodian, made: Made) -> None:
    """A key alone, or certificates of others only: the key arrives."""
    assert arrive(custodian, made.export("-nocerts"))[2] == ""
    path = made.export("-in", made.folder / "stranger.pem", key="stranger")
    assert arrive(custodian, path)[2] == made.pem("stranger")


def test_type_is_held_against_the_key(made: Made) -> None:
    done, certificates = run(made.export(), "--type", "rsa-2048")
    fails(done, 4, "holds an ec-p256 key, not rsa-2048")
    assert certificates == ""
    fails(run(made.export(), "--type", "aes-256")[0], 2, "a pkcs#12 file has no aes-256 key")


def test_wrong_passphrase(made: Made) -> None:
    path = made.export()
    fails(run(path, passphrase="wrong")[0], 5, f"wrong passphrase for {path}")
    fails(run(path, passphrase="")[0], 5, f"wrong passphrase for {path}")
    fails(run(path, passphrase=PASSPHRASE + "\0x")[0], 5, "has a zero byte")
    fails(run(path, passphrase=None)[0], 5, "no passphrase was given\nhint: give --passphrase-file")


def test_what_is_refused(made: Made, tmp_path: Path) -> None:
    """Each with what to do about it."""
    hint = "hint: make it anew: openssl pkcs12 -legacy -in OLD -noenc | openssl pkcs12 -export"
    legacy = made.export(*made.chain, "-legacy")
    fails(run(legacy)[0], 4, f"{legacy} is encrypted with an algorithm that is not supported, such as RC2", hint)
    fails(
        run(made.export(*made.chain, "-nomac"))[0],
        4,
        "has no mac: nobody can tell",
        "hint: make it anew without -nomac",
    )
    no_key = made.export(*made.chain, "-nokeys")
    fails(run(no_key)[0], 4, f"{no_key} holds no private key")
    fails(run(made.folder / "leaf.pem")[0], 4, "is no pkcs#12 file", "imported without --pkcs12")
    content = made.export().read_bytes()
    path = tmp_path / "x"
    path.write_bytes(content + b"\0")
    fails(run(path)[0], 4, "is no pkcs#12 file")
    path.write_bytes(content[:-1])
    fails(run(path)[0], 4, "is no pkcs#12 file")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521", "-out", made.folder / "big.key")
    fails(run(made.export("-nocerts", key="big"))[0], 4, "of a kind or size that the vault does not take")


def test_iterations_are_bounded(made: Made, tmp_path: Path) -> None:
    """A file that asks for two thousand million iterations is refused at once."""
    content = made.export(*made.chain, "-iter", "100000").read_bytes()
    count = bytes.fromhex("020301 86a0".replace(" ", ""))
    assert content.endswith(count)
    for number in ("7fffffff", "8fffffff", "00"):
        value = bytes.fromhex(number)
        # The lengths around it by hand: of the mac, and of the whole.
        grown = content[: -len(count)] + b"\x02" + bytes([len(value)]) + value
        path = tmp_path / "x"
        path.write_bytes(with_lengths(grown, len(value) - 3))
        fails(run(path)[0], 4, "asks for more than 10000000 iterations, or for none")


def with_lengths(content: bytes, more: int) -> bytes:
    """Add *more* to the lengths of the outer SEQUENCE and of the last element in it, MacData."""
    assert content[:2] == b"\x30\x82"
    total = int.from_bytes(content[2:4], "big") + more
    mac = content.rfind(b"\x30\x31\x30\x0d")  # DigestInfo of SHA-256
    head = content[: mac - 2]
    length = content[mac - 1] + more
    return head[:2] + total.to_bytes(2, "big") + head[4:] + content[mac - 2 : mac - 1] + bytes([length]) + content[mac:]


def test_every_flipped_byte_is_noticed(made: Made, tmp_path: Path) -> None:
    """A line and an exit code, never a crash, and never a key that is another one."""
    content = made.export(*made.chain, "-noiter", "-nomaciter").read_bytes()
    right, _ = run(made.folder / "x.p12")
    path = tmp_path / "x"
    for place in range(0, len(content), 17):
        changed = bytearray(content)
        changed[place] ^= 0x41
        path.write_bytes(changed)
        done, certificates = run(path)
        if done.returncode == 0:
            assert len(done.stdout) == len(right.stdout)
            continue
        assert (done.returncode in {4, 5}, done.stdout, certificates) == (True, b"", ""), (place, done)
        assert done.stderr.startswith(b"vks-import: ")


def test_pkcs12_file_that_is_not_named_so(made: Made) -> None:
    command: list[str | Path] = [LIBEXEC / "vks-import", "--offer", SOME_OFFER.hex(), made.export()]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, env={})
    fails(done, 4, "is a pkcs#12 file", "hint: import it with --pkcs12 FILE")

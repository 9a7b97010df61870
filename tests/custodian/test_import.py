# SPDX-License-Identifier: Apache-2.0
"""vks-import: every form of a key file, passphrases, and one clear line for everything else."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from custodian.custodian_process import KEY_ID, LIBEXEC, Custodian, Key
from custodian.wrapping import TYPES, pkcs8, public_der
from framework.secret_forms import PrivateKey

PASSPHRASE = b"correct horse battery staple"
ENCRYPTED = BestAvailableEncryption(PASSPHRASE)
SOME_OFFER = bytes(48).hex()
VECTORS = Path(cryptography_vectors.__file__).parent / "asymmetric"


def run(
    path: Path | str, *options: str | Path, offer: str = SOME_OFFER, passphrase: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the program away from any terminal; a passphrase goes through a pipe."""
    command: list[str | Path] = [LIBEXEC / "vks-import", "--offer", offer, *options]
    descriptors: tuple[int, ...] = ()
    if passphrase is not None:
        reader, writer = os.pipe()
        os.write(writer, passphrase)
        os.close(writer)
        command += ["--passphrase-fd", str(reader)]
        descriptors = (reader,)
    try:
        return subprocess.run(
            [*command, path], capture_output=True, check=False, pass_fds=descriptors, start_new_session=True,
            stdin=subprocess.DEVNULL, env={},
        )  # fmt: skip
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def arrive(
    custodian: Custodian, path: Path, *options: str | Path, passphrase: bytes | None = None
) -> tuple[Key, bytes]:
    """Import a file; the key as the custodian knows it, and the material a worker gets."""
    offer = custodian.offer()
    done = run(path, *options, offer=offer.hex(), passphrase=passphrase)
    assert (done.returncode, done.stderr) == (0, b"")
    error, key = custodian.import_key(offer[:16], done.stdout)
    assert error == 0
    assert key is not None
    worker = custodian.add_channel(int.from_bytes(offer[:8], "little"))
    assert custodian.load(int.from_bytes(offer[:8], "little"), 1, [(KEY_ID, 1, key.type, 0, key.sealed)]) == 0
    return key, worker.receive()[2][0].material


def fails(done: subprocess.CompletedProcess[bytes], code: int, *words: str) -> None:
    """Exit code, one line that says what, at most one hint, nothing on standard output."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert done.stdout == b""
    lines = text.splitlines()
    assert lines[0].startswith("vks-import: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    for word in words:
        assert word in text


FORMS: list[tuple[str, Encoding, PrivateFormat, KeySerializationEncryption]] = [
    ("pem", Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ("der", Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    ("pkcs8", Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ("pkcs8", Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    ("pem", Encoding.PEM, PrivateFormat.PKCS8, ENCRYPTED),
    ("der", Encoding.DER, PrivateFormat.PKCS8, ENCRYPTED),
    ("pkcs8", Encoding.PEM, PrivateFormat.PKCS8, ENCRYPTED),
    ("pkcs8", Encoding.DER, PrivateFormat.PKCS8, ENCRYPTED),
    ("pem", Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    ("der", Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    ("pem", Encoding.PEM, PrivateFormat.TraditionalOpenSSL, ENCRYPTED),
]


@pytest.mark.parametrize("name", ["ec-p256", "ec-p384", "ed25519", "rsa-2048", "x25519"])
def test_every_form_of_a_key(
    custodian: Custodian, private_keys: dict[str, PrivateKey], tmp_path: Path, name: str
) -> None:
    """PEM, DER, PKCS#8 and the traditional forms, plain and encrypted, with the format named and found out."""
    private = private_keys[name]
    path = tmp_path / "key"
    for form, encoding, container, encryption in FORMS:
        if name in {"ed25519", "x25519"} and container is PrivateFormat.TraditionalOpenSSL:
            continue
        path.write_bytes(private.private_bytes(encoding, container, encryption))
        passphrase = PASSPHRASE if encryption is ENCRYPTED else None
        for options in (["--format", form, "--type", name], ["--format", form], []):
            key, material = arrive(custodian, path, *options, passphrase=passphrase)
            assert key.type == TYPES[name]
            assert key.public == public_der(private)
            assert material == pkcs8(private), (form, encoding, container, options)


def test_passphrase_from_a_file_and_with_line_end(
    custodian: Custodian, private_keys: dict[str, PrivateKey], tmp_path: Path
) -> None:
    """The first line of a file or descriptor is the passphrase; its end is no part of it."""
    path, secret = tmp_path / "key", tmp_path / "passphrase"
    path.write_bytes(private_keys["ec-p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, ENCRYPTED))
    for ending in (b"", b"\n", b"\r\n", b"\nmore\n"):
        secret.write_bytes(PASSPHRASE + ending)
        arrive(custodian, path, "--passphrase-file", secret)
        arrive(custodian, path, passphrase=PASSPHRASE + ending)


def test_key_behind_other_things_in_a_pem_file(
    custodian: Custodian, private_keys: dict[str, PrivateKey], tmp_path: Path
) -> None:
    """Curve parameters in front of the key, as openssl ecparam writes them."""
    path = tmp_path / "key"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", path], check=True, capture_output=True
    )
    assert b"EC PARAMETERS" in path.read_bytes()
    key, _ = arrive(custodian, path)
    assert key.type == TYPES["ec-p256"]
    public = private_keys["ec-p256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(public + private_keys["ec-p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert arrive(custodian, path)[0].type == TYPES["ec-p256"]


def test_scrypt(custodian: Custodian, private_keys: dict[str, PrivateKey], tmp_path: Path) -> None:
    """A key behind scrypt comes in as far as secret memory goes; where that ends, the program says so."""
    plain, path, secret = tmp_path / "plain", tmp_path / "key", tmp_path / "passphrase"
    plain.write_bytes(private_keys["ec-p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secret.write_bytes(PASSPHRASE)
    encrypt: list[str | Path] = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-in",
        plain,
        "-out",
        path,
        "-passout",
        f"file:{secret}",
        "-scrypt",
    ]
    subprocess.run([*encrypt, "-scrypt_N", "1024"], check=True)
    arrive(custodian, path, passphrase=PASSPHRASE)
    subprocess.run([*encrypt, "-scrypt_N", "16384"], check=True)
    limited: list[str | Path] = [
        "prlimit",
        "--memlock=8388608:8388608",
        "setpriv",
        "--bounding-set=-ipc_lock,-sys_resource",
    ]
    program: list[str | Path] = [LIBEXEC / "vks-import", "--offer", SOME_OFFER, "--passphrase-file", secret, path]
    fails(subprocess.run([*limited, *program], capture_output=True, check=False), 4, "more secret memory", "ulimit -l")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("aes-128", 16),
        ("aes-256", 32),
        ("hmac-sha256", 14),
        ("hmac-sha512", 64),
        ("chacha20-poly1305", 32),
        ("aes-256-xts", 64),
    ],
)
def test_raw_keys(custodian: Custodian, tmp_path: Path, name: str, size: int) -> None:
    """A raw key is the file's bytes."""
    path = tmp_path / "key"
    path.write_bytes(os.urandom(size))
    for options in (["--format", "raw"], []):
        key, material = arrive(custodian, path, "--type", name, *options)
        assert (key.type, material) == (TYPES[name], path.read_bytes())


def test_wrong_and_missing_passphrases(private_keys: dict[str, PrivateKey], tmp_path: Path) -> None:
    """Exit code 5, whatever the container; without a passphrase and a terminal a hint where to give one."""
    path = tmp_path / "key"
    for encoding, container in (
        (Encoding.PEM, PrivateFormat.PKCS8),
        (Encoding.DER, PrivateFormat.PKCS8),
        (Encoding.PEM, PrivateFormat.TraditionalOpenSSL),
    ):
        path.write_bytes(private_keys["rsa-2048"].private_bytes(encoding, container, ENCRYPTED))
        fails(run(path, passphrase=b"wrong"), 5, "wrong passphrase")
        fails(run(path, passphrase=b""), 5, "wrong passphrase")
        fails(run(path), 5, "no passphrase was given", "hint: ")
        fails(run(path, passphrase=b"x" * 1025), 5, "longer than 1024")
        fails(run(path, "--passphrase-file", tmp_path / "none"), 3, "cannot read", "No such file")


def terminal(words: Sequence[str | Path], typed: Sequence[Sequence[bytes]], offer: str) -> tuple[int, bytes, bytes]:
    """Run with a terminal of its own, and type after each question; exit code, standard output, what it showed."""
    master, slave = os.openpty()
    command: list[str | Path] = ["setsid", "--ctty", "--wait", LIBEXEC / "vks-import", "--offer", offer, *words]
    with subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=slave, env={}) as process:
        os.close(slave)
        shown = b""
        for answer in typed:
            asked = shown.count(b": ")
            while shown.count(b": ") == asked:
                shown += os.read(master, 1000)
            for keys in answer:
                os.write(master, keys)
        # EIO: the last holder of the terminal is gone.
        with contextlib.suppress(OSError):
            while part := os.read(master, 1000):
                shown += part
        output, _ = process.communicate()
    os.close(master)
    return process.returncode, output, shown


def test_passphrase_from_the_terminal(
    custodian: Custodian, private_keys: dict[str, PrivateKey], tmp_path: Path
) -> None:
    """It is asked for once, never shown, can be corrected, and Ctrl-C gives up with the terminal as it was."""
    path = tmp_path / "key"
    path.write_bytes(private_keys["ec-p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, ENCRYPTED))
    offer = custodian.offer()
    typed = [b"junk\x15", PASSPHRASE + b"xy", b"\x7f\x08", b"\r"]
    code, output, shown = terminal([path], [typed], offer.hex())
    assert code == 0, shown
    assert shown.count(b"passphrase for") == 1
    assert PASSPHRASE[:7] not in shown
    assert b"junk" not in shown
    error, key = custodian.import_key(offer[:16], output)
    assert error == 0
    assert key is not None
    code, output, shown = terminal([path], [[b"abc\x03"]], SOME_OFFER)
    assert (code, output) == (5, b"")
    assert b"no passphrase given" in shown


def test_files_that_are_no_keys(custodian: Custodian, private_keys: dict[str, PrivateKey], tmp_path: Path) -> None:
    """Exit code 4 and what is wrong with the file."""
    path = tmp_path / "key"
    private = private_keys["ec-p256"]
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 that it is refused is the test
    cubic = rsa.generate_private_key(3, 2048)
    assert cubic.private_numbers().public_numbers.e == 3
    for content, options, words in (
        (b"", [], ["is empty"]),
        (b"x" * 65537, [], ["larger than any key file"]),
        (os.urandom(500), [], ["not a key file that is understood", "--format"]),
        (b"hello\n", ["--format", "pem"], ["not a key file that is understood"]),
        (pem, ["--format", "der"], ["damaged"]),
        (pkcs8(private), ["--format", "pem"], ["not a key file that is understood"]),
        (pem[: len(pem) // 2], [], ["damaged"]),
        (pem.replace(b"M", b"N", 1), [], ["damaged"]),
        (pem, ["--type", "ec-p384"], ["holds an ec-p256 key, not ec-p384"]),
        (pem, ["--type", "rsa-2048"], ["holds an ec-p256 key, not rsa-2048"]),
        (public_der(private), [], ["not a key file that is understood"]),
        (private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), [], ["public key"]),
        (pkcs8(ec.generate_private_key(ec.SECP256K1())), [], ["does not take", "hint: the vault takes"]),
        (pkcs8(ec.generate_private_key(ec.SECP521R1())), [], ["does not take"]),
        (pkcs8(small), [], ["does not take"]),
        (ed448.Ed448PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), [], ["does"]),
        (private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), [], ["OpenSSH", "ssh-keygen"]),
        (bytes(33), ["--type", "aes-256"], ["has 33 bytes, aes-256 takes 32", "no line end"]),
        (bytes(33), ["--type", "chacha20-poly1305"], ["has 33 bytes, chacha20-poly1305 takes 32", "no line end"]),
        (bytes(range(32)), ["--type", "aes-256-xts"], ["has 32 bytes, aes-256-xts takes 64"]),
        (bytes(range(32)) * 2, ["--type", "aes-256-xts"], ["holds one key twice", "hint: xts takes two keys"]),
        (bytes(13), ["--type", "hmac-sha256"], ["has 13 bytes, hmac-sha256 takes 14 to 1024"]),
        (bytes(1025), ["--type", "hmac-sha512"], ["takes 14 to 1024"]),
    ):  # fmt: skip
        path.write_bytes(content)
        fails(run(path, *options), 4, *words)
    traditional = private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    path.write_bytes(traditional)
    fails(run(path, "--format", "pkcs8"), 4, "holds no PKCS#8 key")
    path.write_bytes(pkcs8(cubic))
    arrive(custodian, path)


def test_inconsistent_private_keys(private_keys: dict[str, PrivateKey], tmp_path: Path) -> None:
    """Numbers that do not belong together do not get out of the program, let alone into the vault."""
    path = tmp_path / "key"
    one, two = pkcs8(private_keys["ec-p256"]), pkcs8(ec.generate_private_key(ec.SECP256R1()))
    path.write_bytes(one[:-64] + two[-64:])
    fails(run(path), 4)
    private = private_keys["rsa-2048"]
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    # Without leading zeros, as DER has it.
    size_bytes = (numbers.d.bit_length() + 7) // 8
    d, other_d = (number.to_bytes(size_bytes, "big") for number in (numbers.d, numbers.d ^ 4))
    assert d in pkcs8(private)
    path.write_bytes(pkcs8(private).replace(d, other_d))
    fails(run(path), 4, "do not fit each other")
    path.write_bytes(
        pkcs8(private_keys["rsa-2048"]).replace(numbers.p.to_bytes(128, "big"), (numbers.p ^ 8).to_bytes(128, "big"))
    )
    fails(run(path), 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("enc-unknown-algorithm", ["algorithm that is not supported", "openssl pkcs8"]),
        ("rsa-40bitrc2", ["algorithm that is not supported"]),
        ("rsa_pss_2048", ["does not take"]),
        ("unenc-dsa-pkcs8", ["does not take"]),
        ("ec-inconsistent-curve", []),
        ("ec-invalid-private-scalar", []),
    ],
)
def test_odd_vectors(name: str, words: list[str]) -> None:
    """Containers that cryptography_vectors keeps for being odd are refused in words."""
    fails(run(VECTORS / f"PKCS8/{name}.pem", passphrase=b"password"), 4, *words)


def test_unreadable_files(tmp_path: Path) -> None:
    """Exit code 3 and the system's reason."""
    fails(run(tmp_path / "none"), 3, "No such file")
    fails(run(tmp_path), 3, "Is a directory")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one key file is wanted"),
        (["a", "b", "--offer", SOME_OFFER], "one key file is wanted"),
        (["a"], "--offer is missing"),
        (["a", "--offer", "00"], "96 hex digits"),
        (["a", "--offer", "g" * 96], "hex digits"),
        (["a", "--offer", SOME_OFFER, "--type", "ec-p257"], "unknown key type: ec-p257"),
        (["a", "--offer", SOME_OFFER, "--format", "jwk"], "unknown format: jwk"),
        (["a", "--offer", SOME_OFFER, "--format", "raw"], "their type must be given"),
        (["a", "--offer", SOME_OFFER, "--format", "raw", "--type", "rsa-2048"], "raw keys are symmetric"),
        (["a", "--offer", SOME_OFFER, "--passphrase-fd", "x"], "takes a number"),
        (["a", "--offer", SOME_OFFER, "--passphrase-fd", "9", "--passphrase-file", "p"], "exclude each other"),
        (["a", "--passphrase", "secret"], "unknown option"),
    ],
)
def test_usage(words: list[str], said: str) -> None:
    """Exit code 2; and a passphrase on the command line is no option there is."""
    done = subprocess.run([LIBEXEC / "vks-import", *words], capture_output=True, check=False)
    if "--passphrase" in words:
        assert done.returncode == 2
        return
    fails(done, 2, said)


def test_symmetric_key_in_pem_is_a_usage_error(tmp_path: Path) -> None:
    """There is no PEM of an AES key."""
    (tmp_path / "key").write_bytes(bytes(32))
    fails(run(tmp_path / "key", "--type", "aes-256", "--format", "pem"), 2, "raw form only")


def test_help() -> None:
    """Help is no error and goes to standard output."""
    done = subprocess.run([LIBEXEC / "vks-import", "--help"], capture_output=True, check=True)
    assert done.stdout.startswith(b"usage: vks-import")

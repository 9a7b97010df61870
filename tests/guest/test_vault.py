# SPDX-License-Identifier: Apache-2.0
"""The whole path: ``vks`` in a guest, kernel module, virtqueue, real keystored, and the answer checked on the host.

The same tests on every carrier: user-mode Linux, plain and under KASAN, and stock QEMU 7.2 and 11.1 with exactly the
options that ``vmm-keystore qemu-args`` prints.
"""

import itertools
import json
import os
from dataclasses import dataclass

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from framework.guest import Guest
from framework.keystored import Keystored
from framework.qemu import qemu_version
from guest.boot import Boot
from qemu_images.keystore import content
from qemu_images.qemu import qemu_11

CARRIERS = [
    pytest.param("uml-plain", marks=pytest.mark.uml),
    pytest.param("uml-kasan", marks=pytest.mark.uml),
    pytest.param("qemu-7.2", marks=pytest.mark.qemu),
    pytest.param("qemu-11.1", marks=pytest.mark.qemu),
]
numbers = itertools.count(1)
MESSAGE = b"what the guest says"
SHA256_SALT = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)


@dataclass(frozen=True)
class Place:
    """A booted guest, its vault, and what it is called there."""

    guest: Guest
    vault: Keystored
    name: str


@pytest.fixture(scope="module", params=CARRIERS)
def place(request: pytest.FixtureRequest, shared_vault: Keystored, boot_for_module: Boot) -> Place:
    """Boot a guest on one carrier; the keys are the vault's, shared by all carriers."""
    carrier: str = request.param
    name = carrier.replace(".", "-")
    socket = shared_vault.add_guest(name)
    if carrier.startswith("uml"):
        guest = boot_for_module(carrier, content(), devices=[(socket, 20)])
    else:
        command = qemu_11().command if carrier == "qemu-11.1" else ("qemu-system-x86_64",)
        version = "{}.{}".format(*qemu_version(command))
        options = shared_vault.facts("qemu-args", name, "--qemu", version, "--accel", "tcg")
        guest = boot_for_module("qemu-cloud", content(), devices=options, command=command)
    return Place(guest, shared_vault, name)


def key(place: Place, key_type: str, ops: str, *mechanisms: str) -> str:
    """A fresh key of *key_type* that this guest may use; its label."""
    label = f"{place.name}-{key_type}-{next(numbers)}"
    place.vault.api.generate(label, key_type)
    limits = {"mechanisms": list(mechanisms)} if mechanisms else {}
    place.vault.api.grant(place.name, label, ops.split(","), **limits)
    return label


def imported(place: Place, key_type: str, size_bytes: int, ops: str, *mechanisms: str) -> tuple[str, bytes]:
    """A key that the test knows as well, imported and granted by the command line; its label and bytes."""
    label = f"{place.name}-{key_type}-{next(numbers)}"
    raw = os.urandom(size_bytes)
    file = place.vault.folder / label
    file.write_bytes(raw)
    place.vault.cli("key", "import", label, str(file), "--type", key_type)
    place.vault.cli("grant", "add", place.name, label, "--ops", ops, "--mechanisms", ",".join(mechanisms))
    return label, raw


def public_key(place: Place, label: str) -> object:
    """The public key as the host's command line prints it; the guest's must be the same."""
    pem = place.vault.cli("key", "public", label).stdout
    assert place.guest.run(f"vks public {label}").stdout.decode() == pem
    return load_pem_public_key(pem.encode())


def test_guest_knows_its_name_and_its_keys(place: Place) -> None:
    """``info`` names the guest; ``list`` shows the keys granted to it and no other guest's (MUST-19, MUST-24)."""
    mine = key(place, "ec-p256", "sign")
    place.vault.api.generate(f"{place.name}-nobody", "ec-p256")
    assert json.loads(place.guest.run("vks info --json").stdout)["guest"] == place.name
    labels = {entry["label"] for entry in json.loads(place.guest.run("vks list --json").stdout)}
    assert mine in labels
    assert all(label.startswith(place.name) for label in labels)
    assert f"{place.name}-nobody" not in labels


def test_ecdsa_signature_verifies_on_the_host(place: Place) -> None:
    """P-256 over a message and over its digest; the guest's own verify agrees, and refuses another message."""
    label = key(place, "ec-p256", "sign,verify")
    public = public_key(place, label)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = place.guest.run(f"vks sign {label}", stdin=MESSAGE).stdout
    public.verify(signature, MESSAGE, ec.ECDSA(hashes.SHA256()))
    digest = hashes.Hash(hashes.SHA256())
    digest.update(MESSAGE)
    value = digest.finalize()
    signature = place.guest.run(f"vks sign --digest {label}", stdin=value).stdout
    public.verify(signature, value, ec.ECDSA(Prehashed(hashes.SHA256())))
    place.guest.push(signature, "/tmp/signature")
    place.guest.run(f"vks verify {label} /tmp/signature", stdin=MESSAGE)
    refused = place.guest.run(f"vks verify {label} /tmp/signature", stdin=MESSAGE + b"!", check=False)
    assert refused.status != 0
    with pytest.raises(InvalidSignature):
        public.verify(signature, MESSAGE + b"!", ec.ECDSA(hashes.SHA256()))


def test_ed25519_and_rsa_pss_verify_on_the_host(place: Place) -> None:
    """A message of one page and more, so that several descriptors and the slow lane take part."""
    message = bytes(range(256)) * 128
    label = key(place, "ed25519", "sign")
    public = public_key(place, label)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(place.guest.run(f"vks sign {label}", stdin=message).stdout, message)
    label = key(place, "rsa-2048", "sign")
    public = public_key(place, label)
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(place.guest.run(f"vks sign {label}", stdin=message).stdout, message, SHA256_SALT, hashes.SHA256())


def test_what_was_encrypted_decrypts_and_nothing_else(place: Place) -> None:
    """AES-GCM round trip, with associated data; a flipped bit and other associated data are refused."""
    label = key(place, "aes-256", "encrypt,decrypt")
    sealed = place.guest.run(f"vks encrypt --aad context {label}", stdin=MESSAGE).stdout
    assert len(sealed) == 12 + len(MESSAGE) + 16
    assert MESSAGE not in sealed
    assert place.guest.run(f"vks decrypt --aad context {label}", stdin=sealed).stdout == MESSAGE
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for arguments, data in ((f"--aad context {label}", flipped), (f"--aad other {label}", sealed)):
        refused = place.guest.run(f"vks decrypt {arguments}", stdin=data, check=False)
        assert refused.status != 0
        assert refused.stdout == b""


def test_other_ciphers_make_the_round_trip(place: Place) -> None:
    """ChaCha20-Poly1305, XTS and key wrap: what ``vks`` encrypts is what another implementation makes of it."""
    label = key(place, "chacha20-poly1305", "encrypt,decrypt")
    sealed = place.guest.run(f"vks encrypt --aad context {label}", stdin=MESSAGE).stdout
    assert len(sealed) == 12 + len(MESSAGE) + 16
    assert place.guest.run(f"vks decrypt --aad context {label}", stdin=sealed).stdout == MESSAGE
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    refused = place.guest.run(f"vks decrypt --aad context {label}", stdin=flipped, check=False)
    assert (refused.status != 0, refused.stdout) == (True, b"")

    tweak = bytes(range(16))
    label, raw = imported(place, "aes-256-xts", 64, "encrypt,decrypt", "aes-xts")
    sealed = place.guest.run(f"vks encrypt --tweak {tweak.hex()} {label}", stdin=MESSAGE).stdout
    assert sealed == Cipher(algorithms.AES(raw), modes.XTS(tweak)).encryptor().update(MESSAGE)
    assert place.guest.run(f"vks decrypt --tweak {tweak.hex()} {label}", stdin=sealed).stdout == MESSAGE
    assert place.guest.run(f"vks encrypt {label}", stdin=MESSAGE, check=False).status != 0

    label, raw = imported(place, "aes-256", 32, "encrypt,decrypt,mac,mac-verify", "aes-kwp", "aes-cmac")
    wrapped = place.guest.run(f"vks encrypt --mechanism aes-kwp {label}", stdin=MESSAGE).stdout
    assert wrapped == aes_key_wrap_with_padding(raw, MESSAGE)
    assert place.guest.run(f"vks decrypt --mechanism aes-kwp {label}", stdin=wrapped).stdout == MESSAGE
    assert place.guest.run(f"vks encrypt {label}", stdin=MESSAGE, check=False).status != 0
    tag = place.guest.run(f"vks mac --mechanism aes-cmac {label}", stdin=MESSAGE).stdout
    expected = CMAC(algorithms.AES(raw))
    expected.update(MESSAGE)
    assert tag == expected.finalize()
    place.guest.push(tag, "/tmp/cmac")
    place.guest.run(f"vks mac-verify --mechanism aes-cmac {label} /tmp/cmac", stdin=MESSAGE)
    wrong = place.guest.run(f"vks mac-verify --mechanism aes-cmac {label} /tmp/cmac", stdin=b"", check=False)
    assert wrong.status != 0


def test_mac_and_random(place: Place) -> None:
    """A tag verifies, another message's does not; random bytes differ."""
    label = key(place, "hmac-sha256", "mac,mac-verify")
    place.guest.push(place.guest.run(f"vks mac {label}", stdin=MESSAGE).stdout, "/tmp/tag")
    place.guest.run(f"vks mac-verify {label} /tmp/tag", stdin=MESSAGE)
    assert place.guest.run(f"vks mac-verify {label} /tmp/tag", stdin=b"", check=False).status != 0
    assert len({place.guest.run("vks random 32").stdout for _ in range(4)}) == 4


def spki(public: ec.EllipticCurvePublicKey | x25519.X25519PublicKey, encoding: Encoding) -> bytes:
    """A public key as openssl writes it."""
    return public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("key_type", ["ec-p256", "x25519"])
def test_both_sides_of_an_agreement_derive_the_same(place: Place, key_type: str) -> None:
    """The shared secret, and what HKDF makes of it, are the peer's, in whatever form its public key comes (MUST-38)."""
    label = key(place, key_type, "derive,release", "ecdh", "ecdh-hkdf-sha256")
    ours = public_key(place, label)
    theirs: ec.EllipticCurvePublicKey | x25519.X25519PublicKey
    if isinstance(ours, x25519.X25519PublicKey):
        peer = x25519.X25519PrivateKey.generate()
        theirs, shared = peer.public_key(), peer.exchange(ours)
        point = theirs.public_bytes_raw()
    else:
        assert isinstance(ours, ec.EllipticCurvePublicKey)
        other = ec.generate_private_key(ec.SECP256R1())
        theirs, shared = other.public_key(), other.exchange(ec.ECDH(), ours)
        point = theirs.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    for form in (spki(theirs, Encoding.PEM), spki(theirs, Encoding.DER), point):
        place.guest.push(form, "/tmp/peer")
        assert place.guest.run(f"vks derive --mechanism ecdh --peer /tmp/peer {label}").stdout == shared
    secret = place.guest.run(f"vks derive --peer /tmp/peer --salt grain --info disk --bytes 100 {label}").stdout
    assert secret == HKDF(hashes.SHA256(), 100, b"grain", b"disk").derive(shared)
    secret = place.guest.run(f"vks derive --peer /tmp/peer {label}").stdout
    assert secret == HKDF(hashes.SHA256(), 32, None, b"").derive(shared)
    entries = json.loads(place.guest.run("vks list --json").stdout)
    assert [entry["operations"] for entry in entries if entry["label"] == label] == [["derive", "release"]]


def test_peers_that_are_none_are_refused_in_words(place: Place) -> None:
    """Another curve, a private key, a point beside the curve, nothing at all: each says what is wrong."""
    label = key(place, "ec-p256", "derive,release")
    good, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()).public_key()
    point = good.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    private = good.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    none = "not a public key of type ec-p256, ec-p384 or x25519, as PEM, DER or uncompressed point"
    for file, words in (
        (spki(other, Encoding.PEM), "a public key of type ec-p384, and the key is of type ec-p256"),
        (point[:-1] + bytes([point[-1] ^ 1]), "not a public key: no point of this curve"),
        (private, none),
        (b"", none),
        (bytes(5000), "too large for what it should be"),
    ):
        place.guest.push(file, "/tmp/none")
        refused = place.guest.run(f"vks derive --peer /tmp/none {label}", check=False)
        assert (refused.status, refused.stdout) == (1, b"")
        assert refused.stderr.decode().splitlines()[0] == f"vks: /tmp/none: {words}"
    for options, words in (
        ("", "derive: the peer's public key is missing"),
        ("--peer /tmp/absent", "/tmp/absent: No such file or directory"),
        (
            "--peer /tmp/none --mechanism ecdh --info disk",
            "derive: ecdh gives the shared secret as it is: no --salt, --info or --bytes",
        ),
    ):
        refused = place.guest.run(f"vks derive {options} {label}", check=False)
        assert (refused.status, refused.stdout) == (1, b"")
        assert refused.stderr.decode().splitlines()[0] == f"vks: {words}"


def test_secrets_derived_from_an_hmac_key(place: Place) -> None:
    """HKDF of the key that the test knows as well; another info is another secret; there is no peer."""
    label, raw = imported(place, "hmac-sha256", 32, "derive,release", "hkdf-sha256")
    for info in ("disk", "swap"):
        secret = place.guest.run(f"vks derive --salt grain --info {info} --bytes 1024 {label}").stdout
        assert secret == HKDF(hashes.SHA256(), 1024, b"grain", info.encode()).derive(raw)
    assert place.guest.run(f"vks derive {label}").stdout == HKDF(hashes.SHA256(), 32, None, b"").derive(raw)
    refused = place.guest.run(f"vks derive --peer /etc/passwd {label}", check=False)
    assert (refused.status, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(b"vks: derive: this type of key has no peer")


@pytest.mark.parametrize("key_type", ["aes-256", "chacha20-poly1305"])
def test_data_key_opens_again(place: Place, key_type: str) -> None:
    """What ``data-key`` gave, ``decrypt`` gives again of SEALED; that file is its owner's and never overwritten."""
    label = key(place, key_type, "data-key,decrypt,release")
    sealed, other = f"/tmp/{label}.sealed", f"/tmp/{label}.other"
    secret = place.guest.run(f"umask 0; vks data-key --aad context --bytes 48 {label} {sealed}").stdout
    assert len(secret) == 48
    assert place.guest.run(f"stat -c '%a %s' {sealed}").text == f"600 {48 + 28}"
    assert place.guest.run(f"vks decrypt --aad context {label} <{sealed}").stdout == secret
    assert place.guest.run(f"vks decrypt --aad elsewhere {label} <{sealed}", check=False).status != 0
    refused = place.guest.run(f"vks data-key {label} {sealed}", check=False)
    assert (refused.status, refused.stdout) == (1, b"")
    assert refused.stderr.decode().splitlines()[0] == f"vks: {sealed}: File exists"
    assert place.guest.run(f"vks decrypt --aad context {label} <{sealed}").stdout == secret
    # A secret that did not arrive leaves no sealed form behind.
    assert place.guest.run(f"vks data-key {label} {other} >/dev/full", check=False).status == 1
    place.guest.run(f"test ! -e {other}")
    assert len(place.guest.run(f"vks data-key {label} {other}").stdout) == 32


def test_no_secret_without_release(place: Place) -> None:
    """Neither grants nor the device give one away by the way; what a person reads says why (MUST-40)."""
    label = f"{place.name}-unreleased-{next(numbers)}"
    place.vault.api.generate(label, "hmac-sha256")
    refused = place.vault.cli("grant", "add", place.name, label, "--ops", "derive", ok=False)
    assert refused.status != 0
    assert "derive gives the guest a secret, and the grant does not say release" in refused.stderr
    place.vault.cli("grant", "add", place.name, label, "--ops", "mac,mac-verify")
    sealing = key(place, "aes-256", "encrypt,decrypt")
    sealed = f"/tmp/{label}.sealed"
    for command in (f"derive {label}", f"data-key {sealing} {sealed}"):
        answer = place.guest.run(f"vks {command}", check=False)
        assert (answer.status, answer.stdout) == (1, b"")
        assert answer.stderr.decode() == (
            f"vks: {command.split()[0]}: the grant does not allow this\n"
            "hint: 'vks list' shows what is granted; the host's operator may extend it\n"
        )
    place.guest.run(f"test ! -e {sealed}")


def test_largest_request_makes_the_round_trip(place: Place) -> None:
    """One MiB in and out, made and compared in the guest."""
    label = key(place, "aes-128", "encrypt,decrypt")
    place.guest.run("head -c 1048576 /dev/urandom >/tmp/large")
    place.guest.run(f"vks encrypt {label} </tmp/large >/tmp/sealed")
    assert place.guest.run("stat -c %s /tmp/sealed").text == str(1048576 + 28)
    # What was sealed is 28 bytes longer than an input may be: the largest that comes back is that much shorter.
    place.guest.run("head -c 1048548 /tmp/large >/tmp/fits")
    place.guest.run(f"vks encrypt {label} </tmp/fits | vks decrypt {label} | cmp - /tmp/fits")


def test_foreign_key_looks_like_an_absent_one(place: Place) -> None:
    """Same words, same status, for a key of another guest and for one that never was (P2, MUST-19)."""
    label = f"{place.name}-foreign"
    place.vault.api.generate(label, "ec-p256")
    key_id = place.vault.api.get(f"/keys/{label}")["id"]
    answers = [
        place.guest.run(f"vks sign {name}", stdin=MESSAGE, check=False) for name in (key_id, "0123456789abcdef" * 2)
    ]
    assert answers[0].status == answers[1].status != 0
    assert answers[0].stderr.replace(key_id.encode(), b"KEY") == answers[1].stderr.replace(
        b"0123456789abcdef" * 2, b"KEY"
    )


def test_revoked_grant_is_gone_at_once(place: Place) -> None:
    """The first use after ``grant remove`` returned is refused (P6), and the log has the one before it only."""
    label = key(place, "ec-p256", "sign")
    key_id = place.vault.api.get(f"/keys/{label}")["id"]
    place.guest.run(f"vks sign {key_id}", stdin=MESSAGE)
    place.vault.cli("grant", "remove", place.name, label)
    refused = place.guest.run(f"vks sign {key_id}", stdin=MESSAGE, check=False)
    assert refused.status != 0
    assert refused.stdout == b""
    lines = [json.loads(line) for line in place.vault.cli("audit", "tail", "--json").stdout.splitlines()]
    uses = [line["status"] for line in lines if line.get("key_id") == key_id and line.get("op") == "sign"]
    assert uses == ["ok"]


def test_rotation_signs_with_the_new_version_and_still_reads_the_old(place: Place) -> None:
    """After a rotation the current version changes under the running guest; old ciphertext still opens."""
    label = key(place, "aes-256", "encrypt,decrypt")
    sealed = place.guest.run(f"vks encrypt {label}", stdin=MESSAGE).stdout
    place.vault.cli("key", "rotate", label)
    assert place.guest.run(f"vks decrypt --version 1 {label}", stdin=sealed).stdout == MESSAGE
    assert place.guest.run(f"vks encrypt --version 1 {label}", stdin=MESSAGE, check=False).status != 0
    renewed = place.guest.run(f"vks encrypt {label}", stdin=MESSAGE).stdout
    assert place.guest.run(f"vks decrypt {label}", stdin=renewed).stdout == MESSAGE


def test_module_can_be_reloaded(place: Place) -> None:
    """Driver gone and back on the same connection; then everything works as before."""
    label = key(place, "ed25519", "sign")
    place.guest.run("rmmod virtio_keystore")
    assert place.guest.run(f"vks sign {label}", stdin=MESSAGE, check=False).status != 0
    place.guest.run("modprobe virtio_keystore")
    public = public_key(place, label)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(place.guest.run(f"vks sign {label}", stdin=MESSAGE).stdout, MESSAGE)


def test_interrupts_are_what_the_carrier_promises(place: Place) -> None:
    """QEMU 11.1 is used with MSI-X; 7.2 under TCG with a line interrupt, as ``qemu-args`` says it must."""
    if place.name.startswith("uml"):
        pytest.skip("user-mode Linux has no PCI")
    device = place.guest.run("grep -l 0x0014 /sys/bus/virtio/devices/*/device").text.split("/")[-2]
    interrupts = place.guest.run(f"grep {device} /proc/interrupts").text
    assert ("PCI-MSI" in interrupts) == (place.name == "qemu-11-1")


@pytest.mark.parametrize(
    ("key_type", "ops", "op"), [("ec-p256", "sign,verify", "sign"), ("aes-256", "encrypt", "encrypt")]
)
def test_bench_counts_what_is_on_record(place: Place, key_type: str, ops: str, op: str) -> None:
    """As many operations as the host has on record, several under way at a time, and they were of that key."""
    label = key(place, key_type, ops)
    said = json.loads(place.guest.run(f"vks bench {label} --seconds 1 --depth 8 --size 100 --json").stdout)
    assert (said["op"], said["key_type"], said["queue_depth"], said["size_bytes"]) == (op, key_type, 8, 100)
    assert 0 < said["p50_us"] <= said["p99_us"]
    assert said["ops_per_s"] == pytest.approx(said["operations"] / said["seconds"], rel=0.01)
    rows = place.vault.facts("audit", "report", "--by", "key,op")
    assert [row["operations"] for row in rows if row["key"] == label] == [said["operations"]]


def test_bench_of_what_is_not_granted(place: Place) -> None:
    label = key(place, "ec-p256", "verify")
    refused = place.guest.run(f"vks bench {label}", check=False)
    assert refused.status == 1
    assert b"may neither sign nor encrypt nor make MACs" in refused.stderr
    bounded = f"{place.name}-bounded-{next(numbers)}"
    place.vault.api.generate(bounded, "ec-p256")
    place.vault.api.grant(place.name, bounded, ["sign"], ops_max=20)
    ended = place.guest.run(f"vks bench {bounded} --depth 4", check=False)
    assert ended.status == 1
    assert b"bench:" in ended.stderr

# SPDX-License-Identifier: Apache-2.0
"""vks over a guest's socket: every kind of operation, and what it says where there is no way to a device."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.frontend import FrontEnd
from framework.guest_ram import GuestRam
from framework.keystored import Keystored
from framework.native_guest import ROOT, VKS, NativeGuest

NONCE_AND_TAG = 28
INPUT_BYTES_MAX = 1 << 20


def test_info_and_list(shared_guest: NativeGuest) -> None:
    """The same facts as in a virtual machine."""
    info = json.loads(shared_guest.vks("info", "--json").stdout)
    assert (info["guest"], info["key_count"]) == ("app", 4)
    listed = json.loads(shared_guest.vks("list", "--json").stdout)
    assert {key["label"] for key in listed} == {"box", "sig", "tls", "tag"}


def test_signatures(shared_guest: NativeGuest, tmp_path: Path) -> None:
    """Another library verifies what was signed, and vks what it signed itself."""
    message = b"over shared memory"
    ecdsa = load_pem_public_key(shared_guest.vks("public", "tls").stdout)
    assert isinstance(ecdsa, ec.EllipticCurvePublicKey)
    ecdsa.verify(shared_guest.vks("sign", "tls", stdin=message).stdout, message, ec.ECDSA(hashes.SHA256()))
    eddsa = load_pem_public_key(shared_guest.vks("public", "sig").stdout)
    assert isinstance(eddsa, ed25519.Ed25519PublicKey)
    signature = shared_guest.vks("sign", "sig", stdin=message).stdout
    eddsa.verify(signature, message)
    kept = tmp_path / "signature"
    kept.write_bytes(signature)
    shared_guest.vks("verify", "sig", kept, stdin=message)
    assert shared_guest.vks("verify", "sig", kept, stdin=message + b"!", ok=False).status == 1


@pytest.mark.parametrize("size", [0, 1, 8000, 16384, 70001, INPUT_BYTES_MAX - NONCE_AND_TAG])
def test_what_was_encrypted_is_decrypted(shared_guest: NativeGuest, size: int) -> None:
    """Of every size, in a slot and in the large area."""
    text = os.urandom(size)
    sealed = shared_guest.vks("encrypt", "box", "--aad", "a", stdin=text).stdout
    assert len(sealed) == size + NONCE_AND_TAG
    assert shared_guest.vks("decrypt", "box", "--aad", "a", stdin=sealed).stdout == text
    assert shared_guest.vks("decrypt", "box", "--aad", "b", stdin=sealed, ok=False).status == 1


def test_largest_request(shared_guest: NativeGuest, tmp_path: Path) -> None:
    """An input of 1 MiB; one byte more is refused."""
    data = os.urandom(INPUT_BYTES_MAX)
    kept = tmp_path / "tag"
    kept.write_bytes(shared_guest.vks("mac", "tag", stdin=data).stdout)
    shared_guest.vks("mac-verify", "tag", kept, stdin=data)
    assert len(shared_guest.vks("encrypt", "box", stdin=data).stdout) == len(data) + NONCE_AND_TAG
    assert "more data" in shared_guest.vks("mac", "tag", stdin=data + b"!", ok=False).stderr


def test_random(shared_guest: NativeGuest) -> None:
    """More than one request has."""
    drawn = shared_guest.vks("random", "200000").stdout
    assert len(drawn) == 200000
    assert drawn.count(0) < 2000


def test_bench(shared_guest: NativeGuest) -> None:
    """Both ways to send."""
    for depth in ("1", "32"):
        facts = json.loads(shared_guest.vks("bench", "tls", "--depth", depth, "--seconds", "1", "--json").stdout)
        assert (facts["op"], facts["queue_depth"]) == ("sign", int(depth))
        assert facts["operations"] > 0


def test_doctor(shared_guest: NativeGuest) -> None:
    """It looks at the socket, not at the machine's devices."""
    said = shared_guest.vks("doctor").stdout.decode()
    assert f"socket {shared_guest.socket} may be used" in said
    assert "answers: guest app, 4 keys" in said
    assert "module" not in said


COMPLETION = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_vks 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["--device", "v"], {"vhost-user:"}),
        (["--device", "vhost-user", ":", "SOCKET", "doc"], {"doctor"}),
        (["--device", "vhost-user", ":", "SOCKET", "sign", "t"], {"tls", "tag"}),
        (["--device", "=", "vhost-user", ":", "SOCKET", "sign", "b"], {"box"}),
        (["--device", "vhost-user", ":", "FOLDER/app.s"], {"SOCKET"}),
        (["lu"], {"luks"}),
        (["luks", "en"], {"enroll"}),
        (["luks", "enroll", "--key"], {"--key-file"}),
        (["luks", "check", "FOLDER/app.s"], {"SOCKET"}),
    ],
)
def test_completion(shared_guest: NativeGuest, words: list[str], proposed: set[str]) -> None:
    """Bash takes the path for a word of its own; keys are those of the socket that was named."""
    places = {"SOCKET": str(shared_guest.socket), "FOLDER/app.s": f"{shared_guest.socket.parent}/app.s"}
    done = subprocess.run(
        [
            "bash",
            "-c",
            COMPLETION,
            "bash",
            ROOT / "guest_driver/cli/vks.bash",
            "vks",
            *(places.get(w, w) for w in words),
        ],
        env=os.environ | {"PATH": f"{VKS.parent}:{VKS.parent.parent}/luks:{os.environ['PATH']}"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert set(done.stdout.split()) == {places.get(word, word) for word in proposed}


def test_device_by_environment(shared_guest: NativeGuest) -> None:
    """VKS_DEVICE takes what --device takes."""
    done = subprocess.run(
        [VKS, "info"], env=os.environ | {"VKS_DEVICE": shared_guest.device}, capture_output=True, check=True, text=True
    )
    assert "app" in done.stdout


def test_grant_for_one_user_is_refused(shared_vault: Keystored, shared_guest: NativeGuest) -> None:
    """MUST-51: nobody vouches for a user here, so no request claims to be of one, whoever asks."""
    shared_vault.api.generate("mine", "ed25519")
    shared_vault.api.grant("app", "mine", ["sign"], uids=[os.getuid()])
    refused = shared_guest.vks("sign", "mine", stdin=b"m", ok=False)
    assert refused.status == 1
    assert "the grant does not allow this" in refused.stderr


def test_one_program_at_a_time(shared_guest: NativeGuest) -> None:
    """A second one is refused in one line, and is let in when the first has gone."""
    with GuestRam() as ram, FrontEnd.connect(shared_guest.socket, ram) as first:
        first.negotiate()
        refused = shared_guest.vks("info", ok=False)
        assert refused.status == 1
        assert refused.stderr.splitlines() == [
            "vks: info: another program uses the guest's socket",
            "hint: end that one, or ask the host's operator for a guest of your own",
        ]
    shared_guest.vks("info")


def test_one_after_the_other(shared_guest: NativeGuest) -> None:
    """Whoever comes right behind the last one is not taken for a second."""
    for _ in range(30):
        shared_guest.vks("random", "1")


def test_no_way_to_a_device(tmpfs_folder: Path) -> None:
    """One clear line and a hint, whatever is wrong with the path."""
    plain = tmpfs_folder / "plain"
    plain.touch()
    cases = {
        tmpfs_folder / "absent": "no device",
        plain: "nobody serves the guest's socket",
        tmpfs_folder / ("long" * 26): "File name too long",
    }
    for path, text in cases.items():
        refused = NativeGuest(path).vks("info", ok=False)
        assert refused.status == 1
        assert refused.stderr.splitlines()[0] == f"vks: info: {text}"
        examined = NativeGuest(path).vks("doctor", ok=False)
        assert examined.status == 1
        assert str(path)[:60] in examined.stdout.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another user takes root")
def test_another_user_is_not_let_in(shared_guest: NativeGuest) -> None:
    """The socket's mode is the guest's identity."""
    shared_guest.socket.parent.chmod(0o711)
    program = shutil.copy(VKS, shared_guest.socket.parent / "vks")
    refused = subprocess.run(
        [program, "info", "--device", shared_guest.device],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[0] == "vks: info: no permission to use the device"

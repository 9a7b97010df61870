# SPDX-License-Identifier: Apache-2.0
"""vks-hsm-root with a real software HSM: what it has computed, of what, and what it takes from files."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from custodian.custodian_process import LIBEXEC
from custodian.wrapping import unwrap, unwrap_root_secret
from framework.patience import wait_for
from framework.processes import all_processes, descendants
from framework.software_hsm import KEY_LABEL, LABEL, MODULE, SoftwareHsm, only_root

from vmm_keystore._vks import lib
from vmm_keystore.workers.hsm import BLOB_BYTES, EXIT_PIN, LABEL_BYTES
from vmm_keystore.workers.secret_program import WRAPPED_BYTES

PRIVATE = X25519PrivateKey.generate()
OFFER = bytes(16) + PRIVATE.public_key().public_bytes_raw()
PADDED_LABEL = LABEL.encode().ljust(LABEL_BYTES)


@pytest.fixture
def hsm() -> Iterator[SoftwareHsm]:
    with SoftwareHsm() as made:
        yield made


def run(hsm: SoftwareHsm, verb: str, stdin: bytes = b"", module: Path = MODULE) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end."""
    with hsm.pin_file.open("rb") as pin:
        fd = pin.fileno()
        command: list[str | Path] = [LIBEXEC / "vks-hsm-root", verb, OFFER.hex(), str(fd), module]
        return subprocess.run(
            command, input=stdin, capture_output=True, check=False, pass_fds=[fd], timeout=60, env=hsm.environment
        )


def seal(hsm: SoftwareHsm, module: Path = MODULE) -> tuple[bytes, bytes]:
    """Secret and blob."""
    done = run(hsm, "seal", module=module)
    assert (done.returncode, done.stderr) == (0, b"")
    secret = unwrap_root_secret(PRIVATE, OFFER, done.stdout[:WRAPPED_BYTES])
    assert done.stdout[-LABEL_BYTES:] == PADDED_LABEL
    blob = done.stdout[WRAPPED_BYTES:-LABEL_BYTES]
    assert len(blob) == BLOB_BYTES
    return secret, blob


def test_token_gives_back_what_it_computed(hsm: SoftwareHsm) -> None:
    """Over and over; another secret each time one is made, by the same key."""
    secret, blob = seal(hsm)
    other, _ = seal(hsm)
    assert other != secret
    for _ in range(3):
        done = run(hsm, "unseal", blob)
        assert (done.returncode, done.stderr) == (0, b"")
        assert unwrap(PRIVATE, OFFER, done.stdout[:WRAPPED_BYTES]) == (lib.VKS_TYPE_ROOT_SECRET, secret)
        assert done.stdout[WRAPPED_BYTES:] == PADDED_LABEL
    assert hsm.keys() == 1


def test_another_program_computes_the_same(hsm: SoftwareHsm) -> None:
    """From the blob, as it is written down: HMAC-SHA256 of a label and the random bytes, under the key of that id."""
    secret, blob = seal(hsm)
    message = b"vmm-keystore root v1" + blob[33:]
    (hsm.folder / "message").write_bytes(message)
    words = ("--id", blob[17:33].hex(), "--input-file", str(hsm.folder / "message"))
    output = ("--output-file", str(hsm.folder / "mac"))
    hsm.tool("--sign", "--mechanism", "SHA256-HMAC", *words, *output)
    assert (hsm.folder / "mac").read_bytes() == secret


def test_key_stays_in_the_token(hsm: SoftwareHsm) -> None:
    """What the token says of it, to another program."""
    seal(hsm)
    listed = hsm.tool("--list-objects", "--type", "secrkey").decode()
    assert KEY_LABEL in listed
    assert {"sensitive", "always sensitive", "never extractable", "local"} <= {
        word.strip() for line in listed.splitlines() if "Access:" in line for word in line.split(":")[1].split(",")
    }


def test_blobs_that_are_refused(hsm: SoftwareHsm) -> None:
    """Of another length or version; of another token, key or random bytes it is another secret or none."""
    secret, blob = seal(hsm)
    for other in (b"", blob[:-1], blob + b"\0", b"\2" + blob[1:], bytes(4096)):
        done = run(hsm, "unseal", other)
        assert (done.returncode, done.stdout) == (4, b"")
        assert done.stderr == b"vks-hsm-root: what the kek file has for a token is not what was written there\n"
    for position, code in ((1, 3), (16, 3), (17, 4), (32, 4)):
        damaged = bytearray(blob)
        damaged[position] ^= 1
        done = run(hsm, "unseal", bytes(damaged))
        assert (done.returncode, done.stdout) == (code, b"")
    damaged = bytearray(blob)
    damaged[40] ^= 1
    assert unwrap(PRIVATE, OFFER, run(hsm, "unseal", bytes(damaged)).stdout[:WRAPPED_BYTES])[1] != secret


def test_serial_number_from_a_file_is_no_terminal_code(hsm: SoftwareHsm) -> None:
    """It is said as letters and digits, whatever it is."""
    _, blob = seal(hsm)
    done = run(hsm, "unseal", blob[:1] + b"\x1b[31m\n\xff\0serial  " + blob[17:])
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].endswith(b"its serial number is ?[31m???serial")


@only_root
def test_module_that_chats_is_not_heard(hsm: SoftwareHsm) -> None:
    """Neither as our result nor as our complaint."""
    shim = hsm.compile_shim()
    seal(hsm, shim)
    hsm.cause("locks")
    done = run(hsm, "seal", module=shim)
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr.startswith(b"vks-hsm-root: the token's user pin is locked\n")


@only_root
def test_refused_pin_is_said_whatever_comes_after(hsm: SoftwareHsm) -> None:
    """With the exit code that keeps keystored from trying it again, although the module crashes over its end."""
    shim = hsm.compile_shim()
    hsm.cause("crashes at its end")
    assert run(hsm, "seal", module=shim).returncode == -signal.SIGABRT
    hsm.write_pin("1234567")
    done = run(hsm, "seal", module=shim)
    assert (done.returncode, done.stdout) == (EXIT_PIN, b"")
    assert done.stderr.startswith(b"vks-hsm-root: this is not the token's pin\n")


@only_root
def test_ends_with_who_started_it(hsm: SoftwareHsm) -> None:
    """Nobody looks at the time any more then, and a module may hang for good."""
    shim = hsm.compile_shim()
    hsm.cause("hangs")
    with hsm.pin_file.open("rb") as pin:
        fd = pin.fileno()
        command = [str(LIBEXEC / "vks-hsm-root"), "seal", OFFER.hex(), str(fd), str(shim)]
        shell = subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *command], pass_fds=[fd], env=hsm.environment)
    with shell:
        wait_for((hsm.folder / "hanging").exists)
        (child,) = descendants(shell.pid)
        assert child.role == "vks-hsm-root"
        shell.kill()
    wait_for(lambda: not any(process.pid == child.pid and not process.is_zombie for process in all_processes()))


OF_GOOD_FORM = ["seal", "00" * 48, "3", "/m"]


@pytest.mark.parametrize("words", [[], ["seal"], OF_GOOD_FORM[:3], ["open", *OF_GOOD_FORM[1:]], ["seal", "zz" * 48, "3", "/m"],
                                   ["seal", "00" * 48, "-1", "/m"], ["unseal", *OF_GOOD_FORM[1:], "label"], [*OF_GOOD_FORM, "l", "x"]])  # fmt: skip
def test_usage(words: list[str]) -> None:
    """Exit code 2."""
    done = subprocess.run(
        [LIBEXEC / "vks-hsm-root", *words], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stderr) == (
        2,
        b"vks-hsm-root: usage: vks-hsm-root seal|unseal OFFER FD MODULE [LABEL]\n",
    )


@pytest.mark.parametrize("path", ["module.so", "./module.so", ""])
def test_module_without_an_absolute_path(hsm: SoftwareHsm, path: str) -> None:
    """The loader would look for it in places of its own."""
    done = run(hsm, "seal", module=path)  # type: ignore[arg-type]
    assert done.returncode == 3
    assert done.stderr == b"vks-hsm-root: the pkcs#11 module is not named by an absolute path\n"

# SPDX-License-Identifier: Apache-2.0
"""vks-tpm with a real software TPM: what it gives back, to whom, and what a bus sees and can do."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from custodian.custodian_process import LIBEXEC
from custodian.wrapping import unwrap, unwrap_root_secret
from framework.secret_forms import secret_bytes
from framework.secret_search import SecretSearch
from framework.software_tpm import Bus, SoftwareTpm

from vmm_keystore._vks import lib
from vmm_keystore.workers.secret_program import WRAPPED_BYTES

PRIVATE = X25519PrivateKey.generate()
OFFER = bytes(16) + PRIVATE.public_key().public_bytes_raw()
KINDS = ("flip", "cut", "grow", "size", "noise", "code")
INTEGRITY = b"vks-tpm: this tpm did not seal the key encryption key, or was cleared since\n"


@pytest.fixture
def tpm() -> Iterator[SoftwareTpm]:
    with SoftwareTpm() as running:
        yield running


def run(verb: str, fd: int, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run it to its end."""
    command: list[str | Path] = [LIBEXEC / "vks-tpm", verb, OFFER.hex(), str(fd)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, pass_fds=[fd], timeout=60, env={})


def ask(tpm: SoftwareTpm, verb: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    with tpm.connect() as connection:
        return run(verb, connection.fileno(), stdin)


def seal(tpm: SoftwareTpm) -> tuple[bytes, bytes]:
    """Secret and blob."""
    done = ask(tpm, "seal")
    assert done.returncode == 0, done.stderr
    return unwrap_root_secret(PRIVATE, OFFER, done.stdout[:WRAPPED_BYTES]), done.stdout[WRAPPED_BYTES:]


def test_tpm_gives_back_what_it_sealed(tpm: SoftwareTpm) -> None:
    """Over and over, and after it was switched off; another secret each time one is made."""
    secret, blob = seal(tpm)
    other, _ = seal(tpm)
    assert other != secret
    for _ in range(5):
        done = ask(tpm, "unseal", blob)
        assert done.returncode == 0, done.stderr
        assert unwrap(PRIVATE, OFFER, done.stdout) == (lib.VKS_TYPE_ROOT_SECRET, secret)
    tpm.stop()
    tpm.start()
    assert unwrap(PRIVATE, OFFER, ask(tpm, "unseal", blob).stdout)[1] == secret


def test_another_tpm_does_not(tpm: SoftwareTpm) -> None:
    """Nor this one once it was cleared; nor from a blob that was changed."""
    _, blob = seal(tpm)
    for position in range(0, len(blob), 5):
        damaged = bytearray(blob)
        damaged[position] ^= 1
        done = ask(tpm, "unseal", bytes(damaged))
        assert (done.returncode, done.stdout) == (4, b"")
    for cut in (b"", blob[:-1], blob + b"\0", bytes(4096)):
        assert ask(tpm, "unseal", cut).returncode == 4
    tpm.renew()
    done = ask(tpm, "unseal", blob)
    assert (done.returncode, done.stdout, done.stderr) == (4, b"", INTEGRITY)


def test_bus_does_not_see_the_secret(tpm: SoftwareTpm) -> None:
    """Parameters are encrypted on the way, in both directions; the public part of the blob is the control."""
    with tpm.connect() as connection, Bus(connection) as bus:
        done = run("seal", bus.fileno())
        secret = unwrap(PRIVATE, OFFER, done.stdout[:WRAPPED_BYTES])[1]
        blob = done.stdout[WRAPPED_BYTES:]
        assert run("unseal", bus.fileno(), blob).returncode == 0
    traffic = b"".join(bus.traffic)
    assert secret not in traffic
    assert blob[:40] in traffic


def test_lies_on_the_bus(tpm: SoftwareTpm) -> None:
    """Each response changed in many ways: it fails in order, never by a signal, and gives no result."""
    chance = random.Random(7)  # noqa: S311 - a mix
    _, blob = seal(tpm)
    with tpm.connect() as connection, Bus(connection) as quiet:
        assert run("unseal", quiet.fileno(), blob).returncode == 0
        responses = len(quiet.traffic) // 2
    assert responses >= 5
    refused = 0
    for number, kind in itertools.product(range(responses - 3), KINDS * 3):

        def lie(at: int, data: bytes, number: int = number, kind: str = kind) -> bytes:
            if at != number:
                return data
            changed = bytearray(data)
            if kind == "flip":
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            elif kind == "cut":
                del changed[chance.randrange(10, len(changed) + 1) :]
                changed[2:6] = len(changed).to_bytes(4, "big")
            elif kind == "grow":
                changed += bytes(chance.randrange(1, 3000))
                changed[2:6] = len(changed).to_bytes(4, "big")
            elif kind == "size":
                changed[2:6] = chance.choice([0, 9, 4097, 2**31, 2**32 - 1]).to_bytes(4, "big")
            elif kind == "noise":
                changed[10:] = chance.randbytes(len(changed) - 10)
            else:
                changed[6:10] = chance.choice([0x101, 0x8E, 0x9A2, 0x922, 2**32 - 1]).to_bytes(4, "big")
            return bytes(changed)

        with tpm.connect() as connection, Bus(connection, lie) as bus:
            done = run("unseal", bus.fileno(), blob)
        assert done.returncode in {0, 3, 4}, (number, kind, done)
        assert done.returncode == 0 or (done.stdout == b"" and done.stderr.startswith(b"vks-tpm: ")), (number, kind)
        refused += done.returncode != 0
        # What was left open in there by the one that gave up.
        tpm.stop()
        tpm.start()
    assert refused > (responses - 3) * len(KINDS) * 3 // 2


def test_tpm_that_hangs_up() -> None:
    """It is said as what it is."""
    reader, writer = os.pipe()
    os.close(writer)
    done = run("seal", reader)
    os.close(reader)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.splitlines()[0] == b"vks-tpm: the tpm does not answer as a tpm"


@pytest.mark.parametrize("words", [[], ["seal"], ["seal", "00" * 48], ["open", "00" * 48, "3"], ["seal", "zz" * 48, "3"],
                                   ["seal", "00" * 48, "-1"], ["seal", "00" * 48, "x"], ["seal", "00" * 48, "3", "4"]])  # fmt: skip
def test_usage(words: list[str]) -> None:
    """Exit code 2."""
    done = subprocess.run([LIBEXEC / "vks-tpm", *words], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (2, b"vks-tpm: usage: vks-tpm seal|unseal OFFER FD\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of a process that is not dumpable")
def test_secret_is_nowhere_in_its_memory(tpm: SoftwareTpm, tmp_path: Path) -> None:
    """Neither where libtss2 put it; the blob, which it read, is the control."""
    secret, blob = seal(tpm)
    (tmp_path / "blob").write_bytes(blob)
    reader, writer = os.pipe()
    os.write(writer, bytes(1 << 16))
    with tpm.connect() as connection, (tmp_path / "blob").open("rb") as stdin:
        fd = connection.fileno()
        command: list[str | Path] = [LIBEXEC / "vks-tpm", "unseal", OFFER.hex(), str(fd)]
        with subprocess.Popen(command, stdin=stdin, stdout=writer, pass_fds=[fd]) as process:
            os.close(writer)
            # Waiting to write its result: everything is done.
            while Path(f"/proc/{process.pid}/syscall").read_text().split()[:2] != ["1", "0x1"]:
                assert process.poll() is None
                os.sched_yield()
            known, planted = secret_bytes("secret", secret), secret_bytes("control", blob)
            report = SecretSearch([known, planted]).in_process(process.pid)
            process.kill()
    os.close(reader)
    assert report.of([planted])
    assert report.of([known]) == []

# SPDX-License-Identifier: Apache-2.0
"""No key, KEK or passphrase in memory that anybody else can read (promise P1): custodian and import are searched.

Each search must be able to fail: a control that went the same way in the clear is found by the same pass.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from custodian.custodian_process import KEY_ID, LIBEXEC, WITHOUT_CAPABILITIES, Custodian, Key
from custodian.test_certify import CN, certify
from custodian.wrapping import TYPES, pkcs8, wrap
from framework.secret_forms import PrivateKey, Secret, aes_secret, hmac_secret, private_key_secret, secret_bytes
from framework.secret_search import SecretSearch

from vmm_keystore._vks import lib

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may read the memory of a process that is not dumpable"
)

KEK_OFFSET = 19
PASSPHRASE = os.urandom(24).hex().encode()


def bring_in(custodian: Custodian, name: str, material: bytes) -> Key:
    """Import *material* and load it into a channel of its own that stays unread."""
    offer = custodian.offer()
    error, key = custodian.import_key(offer[:16], wrap(offer, TYPES[name], material))
    assert error == 0
    assert key is not None
    channel = int.from_bytes(offer[:8], "little")
    custodian.add_channel(channel)
    assert custodian.load(channel, 1, [(KEY_ID, 1, key.type, 0, key.sealed)]) == 0
    return key


def test_known_keys_are_not_in_the_custodians_memory(
    custodian: Custodian, private_keys: dict[str, PrivateKey], tmp_path: Path
) -> None:
    """Imported, sealed, unsealed, signed with and loaded: none of it is found, while a control in the last message is."""
    aes, mac, control = os.urandom(32), os.urandom(64), os.urandom(32)
    secrets: list[Secret] = [aes_secret("aes", aes), hmac_secret("hmac", mac)]
    bring_in(custodian, "aes-256", aes)
    bring_in(custodian, "hmac-sha512", mac)
    for name, private in private_keys.items():
        key = bring_in(custodian, name, pkcs8(private))
        assert certify(custodian, key, [CN])[0] == (-errno.EINVAL if name == "x25519" else 0)
        secrets.append(private_key_secret(name, private))
    kek = (tmp_path / "kek").read_bytes()[KEK_OFFSET : KEK_OFFSET + 32]
    secrets.append(secret_bytes("kek", kek))
    custodian.import_key(custodian.offer()[:16], control)

    planted = secret_bytes("control", control)
    report = SecretSearch([*secrets, planted]).in_process(custodian.pid)

    assert report.of([planted]), "the control was not found: the search proves nothing"
    if custodian.status().secret_memory == lib.VKS_SECRET_MEMORY_MEMFD:
        assert report.unreadable_bytes > 0
        assert report.of(secrets) == []


def may_look(pid: int) -> bool:
    """Whether a process of the same user, with no capabilities, may look into *pid*: proc(5), ptrace access check."""
    command = [*WITHOUT_CAPABILITIES, "cat", f"/proc/{pid}/environ"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_custodian_is_closed_to_its_own_user() -> None:
    """Not dumpable, so neither readable nor traceable by its own user; no core file, no new privileges."""
    with Custodian(*WITHOUT_CAPABILITIES) as custodian:
        custodian.status()
        status = Path(f"/proc/{custodian.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        limits = Path(f"/proc/{custodian.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        assert not may_look(custodian.pid)
    with subprocess.Popen([*WITHOUT_CAPABILITIES, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as control:
        assert control.stdin
        assert control.stdout
        control.stdin.write(b"x")
        control.stdin.flush()
        assert control.stdout.read(1) == b"x"
        assert may_look(control.pid), "an ordinary process is closed too: the test proves nothing"


@pytest.mark.parametrize("way", ["plain", "encrypted", "pkcs12"])
def test_import_leaves_nothing_to_find(private_keys: dict[str, PrivateKey], tmp_path: Path, way: str) -> None:
    """Searched at its last step, the write of the wrapped key to a pipe that is full: no key, no passphrase."""
    private = private_keys["rsa-2048"]
    assert isinstance(private, rsa.RSAPrivateKey)
    path = tmp_path / "control-file-name-that-is-long-enough"
    encryption = BestAvailableEncryption(PASSPHRASE)
    forms = {
        "plain": lambda: pkcs8(private),
        "encrypted": lambda: private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
        "pkcs12": lambda: serialize_key_and_certificates(None, private, None, None, encryption),
    }
    path.write_bytes(forms[way]())
    with Custodian() as custodian:
        offer = custodian.offer()
    reader, writer = os.pipe()
    os.write(writer, bytes(fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)))
    given, give = os.pipe()
    os.write(give, PASSPHRASE)
    os.close(give)
    command: list[str | Path] = [LIBEXEC / "vks-import", "--offer", offer.hex(), "--passphrase-fd", str(given), path]
    command += ["--format", "pkcs12"] if way == "pkcs12" else []
    with subprocess.Popen(command, stdout=writer, pass_fds=(given,)) as process:
        os.close(writer)
        os.close(given)
        wait_for_write(process.pid)
        secrets = [private_key_secret("rsa", private), secret_bytes("passphrase", PASSPHRASE)]
        planted = secret_bytes("argument", path.name.encode())
        report = SecretSearch([*secrets, planted]).in_process(process.pid)
        while os.read(reader, 65536):
            pass
    os.close(reader)
    assert process.returncode == 0
    assert report.of([planted])
    if report.unreadable_bytes:
        assert report.of(secrets) == []


def wait_for_write(pid: int) -> None:
    """Until the process sleeps in write(1, ...)."""
    write_to_stdout = ("1", "0x1")
    while tuple(Path(f"/proc/{pid}/syscall").read_text().split()[:2]) != write_to_stdout:
        os.sched_yield()

# SPDX-License-Identifier: Apache-2.0
"""The module in the hands of OpenSSH: a user's keys, and signatures by an agent that holds none of them."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from framework.keystored import environment
from framework.pkcs11_guest import MODULE, UNDER_SANITIZER
from pkcs11.conftest import Place

pytestmark = [
    pytest.mark.skipif(not shutil.which("ssh-agent"), reason="no ssh-agent (openssh-client)"),
    pytest.mark.skipif(UNDER_SANITIZER, reason="its agent starts programs without sanitizers"),
]


@pytest.fixture
def agent(shared_place: Place, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Run an agent with the module in it; the environment of its clients."""
    ask = tmp_path / "ask"
    ask.write_text("#!/bin/sh\necho 0000\n")
    ask.chmod(0o700)
    env = environment() | {"VKS_DEVICE": shared_place.guest.device, "SSH_AUTH_SOCK": str(tmp_path / "agent")}
    env |= {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    command = ["ssh-agent", "-D", "-a", env["SSH_AUTH_SOCK"], "-P", str(MODULE)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None:
                raise AssertionError
            # It says where it listens when it does.
            process.stdout.readline()
            run(["ssh-add", "-s", str(MODULE)], env)
            yield env
        finally:
            process.send_signal(signal.SIGTERM)


def run(command: list[str], env: dict[str, str], data: bytes = b"") -> str:
    """Run one command; what it printed."""
    done = subprocess.run(command, env=env, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_agent_signs(shared_place: Place, agent: dict[str, str], tmp_path: Path) -> None:
    """With ECDSA and RSA keys, which are those of the vault; this version passes over Ed25519."""
    listed = [line.split() for line in run(["ssh-add", "-L"], agent).splitlines()]
    labels = {"tls", "p384", "rsa"}
    assert labels <= {label for _type, _key, label in listed}
    for key_type, key, label in listed:
        if label not in labels:
            continue
        public = load_pem_public_key(shared_place.public_pem(label))
        assert f"{key_type} {key}".encode() == public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        (tmp_path / "key.pub").write_text(f"{key_type} {key}\n")
        (tmp_path / "signers").write_text(f"me {key_type} {key}\n")
        signed = run(["ssh-keygen", "-Y", "sign", "-f", str(tmp_path / "key.pub"), "-n", "file"], agent, b"message")
        (tmp_path / "signature").write_text(signed)
        verify = ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "signers"), "-I", "me", "-n", "file", "-s"]
        assert "Good" in run([*verify, str(tmp_path / "signature")], agent, b"message")

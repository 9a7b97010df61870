# SPDX-License-Identifier: Apache-2.0
"""The PKCS#11 module where it is meant to be: nginx with its processes at /dev/keystore0, kernel module, worker."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from framework.guest import Guest
from framework.keystored import Keystored
from framework.patience import wait_for
from guest.boot import Boot
from pkcs11.openssl_engine import CONFIGURATION, ENGINE, certificate_words
from pkcs11.web_server import configuration, curl, vault_servers, worker_pid
from qemu_images.keystore import content
from qemu_images.nginx import nginx

pytestmark = [
    pytest.mark.uml,
    pytest.mark.skipif(not ENGINE.exists(), reason="no engine (libengine-pkcs11-openssl)"),
    pytest.mark.skipif(not shutil.which("curl"), reason="no curl"),
]
KEYS = {"tls": "ec-p256", "rsa": "rsa-2048"}
FOLDER = Path("/media")
"""The guest's own, in its tree and in this machine's: whoever builds this has it elsewhere, in /tmp perhaps."""
CERTIFICATES = {label: FOLDER / f"{label}.pem" for label in KEYS}
PROCESSES = "user root; worker_processes 2;"
REQUESTS = 4
# This machine's programs, to read only, at the guest's own devices and processes.
ENTER = (
    f"mkdir -p /host {FOLDER} && mount -t hostfs -o ro host /host"
    f" && for name in /dev /proc /run {FOLDER}; do mount -o bind $name /host$name || exit 1; done"
)


def inside(*words: str) -> str:
    """A command line that runs one of this machine's programs in the guest, with the engine."""
    quoted = " ".join(f"'{word}'" for word in words)
    return f"OPENSSL_CONF={FOLDER}/openssl.cnf exec chroot /host {quoted}"


@pytest.fixture
def guest(vault: Keystored, boot: Boot) -> Guest:
    """Boot a guest with keys that sign and certificates made with them."""
    guest = boot("uml-plain", content(), devices=[(vault.add_guest("web"), 20)])
    for label, key_type in KEYS.items():
        vault.api.generate(label, key_type)
        vault.api.grant("web", label, ("sign", "verify"))
    guest.run(ENTER)
    guest.push(CONFIGURATION.encode(), f"{FOLDER}/openssl.cnf")
    for label, made in CERTIFICATES.items():
        guest.run(inside(*certificate_words(label, "localhost", made)))
    return guest


def configure(guest: Guest, text: str) -> None:
    """Write what nginx reads when it starts and when it is told to."""
    guest.push(
        configuration(FOLDER, vault_servers(FOLDER, CERTIFICATES, text), processes=PROCESSES).encode(),
        f"{FOLDER}/nginx.conf",
    )


def get(guest: Guest, label: str) -> str:
    """Ask the server of one key."""
    return guest.run(inside(*curl(FOLDER, label, CERTIFICATES[label]))).stdout.decode().strip()


@pytest.mark.timeout(180)
def test_web_server(vault: Keystored, guest: Guest) -> None:
    """Its processes are forked with the module in them; they are replaced by SIGHUP, and the vault's worker by another."""
    configure(guest, "first")
    server = guest.start(inside(str(nginx()), "-p", str(FOLDER), "-c", "nginx.conf"))
    wait_for(lambda: guest.run(f"test -S {FOLDER}/rsa.sock", check=False).status == 0)
    assert [get(guest, label) for label in KEYS] == ["first TLSv1.3"] * len(KEYS)
    for text in ("second", "third"):
        configure(guest, text)
        guest.run(f"kill -HUP $(cat {FOLDER}/pid)")
        assert wait_for(lambda: get(guest, "tls").startswith(text))  # noqa: B023 - called here and now
        assert get(guest, "rsa") == f"{text} TLSv1.3"
    for _ in range(REQUESTS):
        pid = worker_pid(vault, "web")
        os.kill(pid, signal.SIGKILL)
        assert [get(guest, label) for label in KEYS] == ["third TLSv1.3"] * len(KEYS)
        assert worker_pid(vault, "web") != pid
    guest.run(f"kill -QUIT $(cat {FOLDER}/pid)")
    assert server.wait(10)
    assert server.status == 0

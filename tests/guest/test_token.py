# SPDX-License-Identifier: Apache-2.0
"""``vks`` in a guest with a key that lies in a token of the host: kernel module, worker, vks-hsm, SoftHSM2."""

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.guest import Guest
from framework.hsm_vault import keystored
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.software_hsm import SoftwareHsm, only_root
from guest.boot import Boot
from qemu_images.keystore import content

pytestmark = [only_root, pytest.mark.uml]
MESSAGE = b"what the guest says"


@pytest.fixture
def hsm() -> Iterator[SoftwareHsm]:
    """A software HSM."""
    with SoftwareHsm() as made:
        yield made


@pytest.fixture
def vault(hsm: SoftwareHsm) -> Iterator[Keystored]:
    """A vault with a key in it, granted to a guest."""
    with keystored(hsm, hsm.compile_shim()) as started:
        started.add_guest("g")
        started.cli("key", "generate", "web", "--type", "ec-p256", "--in-token")
        started.api.grant("g", "web", ["sign", "verify"])
        yield started


@pytest.fixture
def guest(vault: Keystored, boot: Boot) -> Guest:
    """That guest."""
    return boot("uml-plain", content(), devices=[(vault.folder / "g.sock", 20)])


def test_signed_by_the_token(vault: Keystored, hsm: SoftwareHsm, guest: Guest) -> None:
    """As with any other key; a token that is gone is said to be that, and when it is back everything works."""
    public: Any = load_pem_public_key(vault.cli("key", "public", "web").stdout.encode())
    signature = guest.run("vks sign web", stdin=MESSAGE).stdout
    public.verify(signature, MESSAGE, ec.ECDSA(hashes.SHA256()))
    hsm.begin("gone")
    refused = guest.run("vks sign web", stdin=MESSAGE, check=False)
    assert refused.status == 1
    assert refused.stderr.decode().splitlines() == [
        "vks: sign: the host cannot do this now: its token, or what makes its keys, does not answer",
        "hint: try again; the host's operator knows what is wrong with it",
    ]
    hsm.end("gone")
    wait_for(lambda: vault.api.get("/status")["token"]["open"])
    again = guest.run("vks sign web", stdin=MESSAGE).stdout
    public.verify(again, MESSAGE, ec.ECDSA(hashes.SHA256()))

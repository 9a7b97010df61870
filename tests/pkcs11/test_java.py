# SPDX-License-Identifier: Apache-2.0
"""The module in the hands of Java's SunPKCS11: a key is an entry by its certificate, and signs an archive."""

import os
from pathlib import Path

import pytest
from framework.keystored import Keystored
from framework.recipes import recipe
from framework.userland_chroot import UserlandChroot, java

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")


@pytest.mark.timeout(400)
def test_recipe(shared_vault: Keystored, tmp_path: Path) -> None:
    """Keytool lists the key, jarsigner signs with it and verifies against its certificate."""
    script = recipe("java.sh")
    socket = shared_vault.add_guest("java")
    script.prepare(shared_vault, "java")
    ended = UserlandChroot(socket, java()).run(script, tmp_path)
    assert ended.status == 0, ended
    said = ended.stdout.decode()
    assert "Your keystore contains 1 entry" in said
    assert "\nreleases, PrivateKeyEntry" in said
    assert "jar signed." in said
    assert "jar verified." in said
    assert not script.unused(shared_vault, "java")

# SPDX-License-Identifier: Apache-2.0
"""The module in the hands of python-pkcs11, by the script that users copy."""

import sys
from pathlib import Path

import pytest
from framework.keystored import Keystored
from framework.pkcs11_guest import MODULE, UNDER_SANITIZER, Pkcs11Guest
from framework.recipes import recipe


@pytest.mark.skipif(UNDER_SANITIZER, reason="its own extension is not built with sanitizers")
def test_recipe(vault: Keystored, tmp_path: Path) -> None:
    """It signs and encrypts; a key's value is not to be had."""
    script = recipe("python-pkcs11.py")
    guest = Pkcs11Guest(vault.add_guest("app"))
    script.prepare(vault, "app")
    # -P: the tests' own folder of that name is not the library.
    used = guest.use(sys.executable, "-P", str(script.path), variables={"MODULE": str(MODULE)}, folder=tmp_path)
    assert used.stdout == b"app: the vault signs and encrypts, and keeps its keys\n"
    assert script.unused(vault, "app") == {"box"}

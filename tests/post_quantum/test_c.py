# SPDX-License-Identifier: Apache-2.0
"""The C tests of secret memory, keys and operations with Debian 13's C library, compiler and OpenSSL."""

import subprocess
from pathlib import Path

import pytest
from framework.debian13 import C_TESTS


@pytest.mark.parametrize("name", C_TESTS)
def test_c(debian13: Path, name: str) -> None:
    """It ends well there as well."""
    done = subprocess.run([debian13 / f"test_{name}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

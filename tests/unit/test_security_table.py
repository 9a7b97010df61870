# SPDX-License-Identifier: Apache-2.0
"""Every proof that SECURITY.md names is a test that exists, and every row names one."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| .* \|$", re.MULTILINE)
PROOF = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> list[str]:
    text = (ROOT / "SECURITY.md").read_text()
    table = text.partition("## Asset, adversary, defence, proof")[2].partition("\n## ")[0]
    return ROW.findall(table)[1:]


def test_every_row_names_a_proof() -> None:
    """A defence that no test proves has no place in the table."""
    assert len(rows()) > 15
    assert [row for row in rows() if not PROOF.search(row)] == []


def test_every_proof_exists() -> None:
    """A test that is renamed is renamed there as well."""
    named = [proof for row in rows() for proof in PROOF.findall(row)]
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / "tests" / path).is_file() or f"def {name}(" not in (ROOT / "tests" / path).read_text()
    ]
    assert missing == []

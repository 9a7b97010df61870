# SPDX-License-Identifier: Apache-2.0
"""The audit log through the CLI: what was exported is what was chained, and an edit of the files is found."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

from cli.operator_view import assert_one_clear_line, run_program
from framework.keystored import Keystored


def test_exported_lines_are_those_that_were_chained(tmp_path: Path) -> None:
    """An auditor checks the chain with nothing but a hash function; a copy of the files without keystored."""
    with Keystored() as keystored:
        for label in ("one", "two", "three"):
            keystored.cli("key", "generate", label, "--type", "ed25519")
        exported = tmp_path / "log.jsonl"
        keystored.cli("audit", "export", "--output", exported)
        copy = tmp_path / "audit"
        shutil.copytree(keystored.state_dir / "audit", copy)
        tail = keystored.cli("audit", "tail", "--count", "2").stdout.splitlines()
    lines = exported.read_bytes().splitlines()
    assert [json.loads(line).get("key") for line in lines][-3:] == ["one", "two", "three"]
    for before, line in itertools.pairwise(lines):
        assert json.loads(line)["prev"] == hashlib.sha256(before).hexdigest()
    assert [line.split()[5] for line in tail] == ["two", "three"]
    assert run_program("audit", "verify", copy).status == 0
    segment = next(path for path in sorted(copy.iterdir()) if b'"key":"two"' in path.read_bytes())
    segment.write_bytes(segment.read_bytes().replace(b'"key":"two"', b'"key":"six"'))
    outcome = run_program("audit", "verify", copy, "--json")
    assert not outcome.facts["ok"]
    assert_one_clear_line(type(outcome)(outcome.status, "", outcome.stderr), "does not hold")

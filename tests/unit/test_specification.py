# SPDX-License-Identifier: Apache-2.0
"""Each numbered MUST of the device specification is named by a test that proves it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def rules() -> list[int]:
    text = (ROOT / "guest_driver" / "include" / "SPECIFICATION.md").read_text()
    return [int(number) for number in re.findall(r"^- \*\*MUST-(\d+)\*\*", text, flags=re.MULTILINE)]


def test_rules_are_numbered_without_gap() -> None:
    """A number is given once and never reused."""
    assert rules() == list(range(1, len(rules()) + 1))


def test_every_rule_is_proven_by_a_named_test() -> None:
    """A rule that no test names is a promise nobody checks; a test that names an unknown rule checks nothing."""
    named = set()
    for path in (ROOT / "tests").rglob("*"):
        if path.suffix in {".py", ".c"} and path != Path(__file__):
            named |= {int(number) for number in re.findall(r"\bMUST-(\d+)\b", path.read_text())}
    assert sorted(set(rules()) - named) == []
    assert sorted(named - set(rules())) == []

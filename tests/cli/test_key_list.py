# SPDX-License-Identifier: Apache-2.0
"""``key list``: what was asked for, all of it, and what a person reads when there is nothing."""

from collections.abc import Iterator

import pytest
from framework.keystored import Keystored

MANY = 1100
"""More than the command asks for at once."""


@pytest.fixture(scope="module")
def keys() -> Iterator[Keystored]:
    with Keystored() as vault:
        lines = [f'[keys.k{number}]\ntype = "aes-128"' for number in range(MANY)]
        path = vault.folder / "vault.toml"
        path.write_text("\n".join([*lines, '[keys.web-1]\ntype = "ed25519"', '[keys.web-2]\ntype = "ed25519"']))
        vault.cli("apply", "-f", path)
        vault.api.post("/keys/web-2/suspend")
        yield vault


def listed(vault: Keystored, *arguments: str) -> list[str]:
    return [key["label"] for key in vault.facts("key", "list", *arguments)]


def test_all_of_it(keys: Keystored) -> None:
    """Page after page, each key once, by label."""
    assert listed(keys) == sorted([*(f"k{number}" for number in range(MANY)), "web-1", "web-2"])
    assert len(listed(keys, "k*", "--type", "aes-128")) == MANY
    assert len(listed(keys, "--limit", "1050")) == 1050


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("web*",), ["web-1", "web-2"]),
        (("web-?", "--state", "suspended"), ["web-2"]),
        (("--type", "ed25519", "--state", "active"), ["web-1"]),
        (("k109?", "--limit", "2"), ["k1090", "k1091"]),
        (("*-2",), ["web-2"]),
        (("web",), []),
        (("WEB*",), []),
    ],
)
def test_some_of_it(keys: Keystored, arguments: tuple[str, ...], found: list[str]) -> None:
    """Every option narrows it."""
    assert listed(keys, *arguments) == found


def test_what_a_person_reads(keys: Keystored) -> None:
    """A table, a line where nothing is found, and what is wrong with a question."""
    assert [line.split()[0] for line in keys.cli("key", "list", "web*").stdout.splitlines()] == [
        "LABEL",
        "web-1",
        "web-2",
    ]
    assert len(keys.cli("key", "list", "nothing*").stdout.splitlines()) == 1
    for arguments, said in (
        (("--state", "asleep"), "unknown key state 'asleep'"),
        (("--type", "rot13"), "unknown key type 'rot13'"),
        (("a/b",), "label: string should match pattern"),
    ):
        outcome = keys.cli("key", "list", *arguments, ok=False)
        assert outcome.status == 1
        assert said in outcome.stderr


def test_completion_asks_for_few(keys: Keystored) -> None:
    """Of a million keys a shell needs those that fit."""
    keys.api.generate("only-one", "aes-128")
    found = keys.api.get("/keys?label=onl*&limit=200")["keys"]
    assert [key["label"] for key in found] == ["only-one"]

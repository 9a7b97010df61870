# SPDX-License-Identifier: Apache-2.0
"""Nonsense is refused in one line, before anything is started."""

import pytest
from bench.__main__ import parse


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "'0' is no number from 1 on"),
        (["--milliseconds", "fast"], "'fast' is no number from 1 on"),
        (["--only", "p512"], "nothing begins with 'p512'"),
        (["--granted", "10,10"], "'10,10' does not grow"),
        (["--attached", "10,"], "'' is no number from 1 on"),
        (["--speed", "9"], "unrecognized arguments"),
    ],
)
def test_refusals(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says what was wrong."""
    with pytest.raises(SystemExit) as ended:
        parse(words)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("bench: ")
    assert said in error
    assert error.count("\n") == 1


def test_numbers_that_grow() -> None:
    """Several are given with commas."""
    assert parse(["--attached", "1,20"]).attached == [1, 20]

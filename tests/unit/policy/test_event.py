# SPDX-License-Identifier: Apache-2.0
"""What events say, and when it is time to."""

from vmm_keystore.policy.event import (
    destruction_edge,
    expiry_edge,
    grant_expiry_near,
    is_destruction_near,
    is_expiry_near,
    is_low,
    key_destruction_near,
    was_low,
    worker_death,
)
from vmm_keystore.policy.refusals import WINDOW_S, RefusalWindow

DAY_S = 86400


def test_budgets() -> None:
    """Low from nine tenths on, and until it is below eight."""
    assert [is_low(used, 10) for used in (0, 8, 9, 10)] == [False, False, True, True]
    assert [was_low(used, 10) for used in (7, 8, 10)] == [False, True, True]
    assert is_low(1, 1)
    assert not is_low(0, 1)


def test_ends() -> None:
    """A week before a grant's, a day before a key's; what is over is near no more."""
    assert [is_expiry_near(at_s, 0) for at_s in (-1, 0, 1, 7 * DAY_S, 7 * DAY_S + 1)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert [is_destruction_near(at_s, 0) for at_s in (-1, DAY_S, DAY_S + 1)] == [True, True, False]
    # An end that is put off is another one.
    assert expiry_edge(1, 2) != expiry_edge(1, 3)
    assert destruction_edge("k", 2) != destruction_edge("k", 3)


def test_sentences() -> None:
    """Somebody understands them without this program's words; a time that no calendar has is a number."""
    assert grant_expiry_near("@web", "tls", 1, 10**9).text == (
        "the grant of key tls to role web ends 2001-09-09T01:46:40Z; after that it is refused"
    )
    assert " ends @10000000000000000;" in grant_expiry_near("vm", "tls", 1, 10**16).text
    assert worker_death("vm", 1).text.startswith("the worker of guest vm died")
    assert worker_death("vm", 7).text.startswith("7 workers of guest vm died")
    many = key_destruction_near("tls", list(range(1, 1000)), 10**9)
    assert len(many.text) < 250
    assert many.facts["versions"] == ",".join(map(str, range(1, 21))) + ",…"


def test_window_of_refusals() -> None:
    """What is older than the window does not count any more; a daemon that starts anew begins at nothing."""
    window = RefusalWindow()
    assert window.note(0, {"a": 3}) == {"a": 3}
    assert window.note(10, {"a": 3, "b": 1}) == {"a": 3, "b": 1}
    assert window.note(WINDOW_S - 1, {"a": 5, "b": 1}) == {"a": 5, "b": 1}
    assert window.note(WINDOW_S, {"a": 5, "b": 1}) == {"a": 2, "b": 1}
    assert window.note(WINDOW_S + 10, {"a": 5, "b": 1}) == {"a": 2}
    assert window.note(3 * WINDOW_S, {"a": 5, "b": 1}) == {}

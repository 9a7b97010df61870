# SPDX-License-Identifier: Apache-2.0
"""Calls that are wrong: what the standard says of them is what they return, and nothing crashes."""

import pytest
from framework.own_keys import allow
from pkcs11.conftest import Place, guard


def test_documented_errors(shared_place: Place) -> None:
    """Each call by itself."""
    said = shared_place.guest.run("misuse", "all").splitlines()
    assert said == ["initialising", "slots and sessions", "beginning", "room", "data", "objects"]


@pytest.mark.parametrize("seed", range(6))
def test_random_calls(shared_place: Place, seed: int) -> None:
    """Right and wrong ones, in no order."""
    assert shared_place.guest.run("random", str(seed), "6000") == "calls 6000\n"


def test_random_calls_with_all_that_a_guest_may_have(place: Place) -> None:
    """The same with keys that want a login, and with keys of the guest's own, which some calls make and destroy."""
    guard(place.vault)
    allow(place.vault, "app", 5)
    for seed in range(100, 106):
        assert place.guest.run("random", str(seed), "6000") == "calls 6000\n"

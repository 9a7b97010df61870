# SPDX-License-Identifier: Apache-2.0
"""What the standard promises to callers who do nothing wrong, by a C program that calls the module."""

import time

import pytest
from framework.pkcs11_guest import Program
from pkcs11.conftest import Place

DAY_S = 86400


def test_interfaces(shared_place: Place) -> None:
    """All functions of 2.40, 3.0 and 3.2; none that a child of fork() could go on with."""
    assert shared_place.guest.run("standard", "interfaces") == "interfaces\n"


def test_slots(shared_place: Place) -> None:
    """New ones appear when their number is asked for; one may be named without asking."""
    assert shared_place.guest.run("standard", "slots") == "slots\n"


def test_session_limit(shared_place: Place) -> None:
    """Is where the token says that it is; a session that is closed makes room for another."""
    assert shared_place.guest.run("standard", "session-limit") == "sessions\n"


def test_wrapping(shared_place: Place) -> None:
    """Says which of the two keys is wrong."""
    assert shared_place.guest.run("standard", "wrapping") == "wrapping\n"


def test_token_goes_and_comes_back(place: Place) -> None:
    """With keystored: slots say whether there is somebody, and sessions go on."""
    with Program(place.guest.device, "standard", "presence") as program:
        program.wait_for("there")
        place.vault.stop()
        program.go_on()
        program.wait_for("gone")
        place.vault.start()
        program.go_on()
        program.wait_for("back")
        assert program.finish().status == 0


@pytest.mark.parametrize("rotations", [3])
def test_handles_that_are_never_looked_for_again(place: Place, rotations: int) -> None:
    """After each rotation everything that was made before it is verified and decrypted."""
    with Program(place.guest.device, "standard", "held", str(rotations)) as program:
        for _ in range(rotations):
            program.wait_for("made")
            for label in ("tls", "tag", "box"):
                place.vault.cli("key", "rotate", label)
            program.go_on()
        program.wait_for("held")
        assert program.finish().status == 0


def test_key_that_may_not_be_used_yet(place: Place) -> None:
    """Is listed; its public key is not given, and keeps nobody from finding others by theirs."""
    place.vault.api.generate("later", "ec-p256")
    place.vault.api.grant("app", "later", ("sign", "verify"), not_before=int(time.time()) + DAY_S)
    assert place.guest.run("standard", "withheld") == "withheld\n"

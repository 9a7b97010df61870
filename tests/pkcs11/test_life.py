# SPDX-License-Identifier: Apache-2.0
"""Many sessions, threads, children, keys and deaths: nothing is lost, nothing is left, nobody waits for ever."""

import os
import signal

import pytest
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.pkcs11_guest import Pkcs11Guest, Program
from pkcs11.conftest import Place

SIGNATURES = 70_000
KEYS = 10_000
PIECE = 2_000


@pytest.mark.timeout(300)
def test_more_signatures_than_16_bits_count(shared_place: Place) -> None:
    """In one session."""
    assert shared_place.guest.run("exercise", "signatures", str(SIGNATURES)) == f"signatures {SIGNATURES}\n"


def test_sessions(shared_place: Place) -> None:
    """A thousand at once, each with an operation of its own."""
    assert shared_place.guest.run("exercise", "sessions", "1000") == "sessions 1000\n"


def test_threads(shared_place: Place) -> None:
    """64 of them open, find, sign, verify and close."""
    assert shared_place.guest.run("exercise", "threads", "12") == f"rounds {64 * 12}\n"


def test_threads_in_one_session(shared_place: Place) -> None:
    """Which is closed under them."""
    assert shared_place.guest.run("exercise", "one-session", "200") == "closed under them\n"


def test_end_while_threads_are_inside(shared_place: Place) -> None:
    """C_Finalize lets each of them out first."""
    assert shared_place.guest.run("life", "finalize", "20") == "as new\n"


def test_children(shared_place: Place) -> None:
    """Beside busy threads: a child has no library until it initialises it, and its parent does not notice."""
    assert shared_place.guest.run("life", "forks", "60") == "children 60\n"


def test_child_of_an_idle_parent(shared_place: Place) -> None:
    """As servers do that look at the module first and fork then."""
    assert shared_place.guest.run("life", "child-alone") == "the child signed\n"


def test_first_look_of_many_threads(shared_place: Place) -> None:
    """Each of them finds the slot, whoever is first."""
    assert shared_place.guest.run("life", "first-look", "500") == "looks 500\n"


def test_lives(shared_place: Place) -> None:
    """C_Initialize and C_Finalize in turn leave no descriptor behind."""
    assert shared_place.guest.run("life", "lives", "30") == "lives 30\n"


def test_clients_are_killed(shared_place: Place) -> None:
    """One after the other, at work; the next one finds everything as it was."""
    for _ in range(8):
        with Program(shared_place.guest.device, "exercise", "until-killed") as program:
            program.wait_for("more")
            program.wait_for("more")
    wait_for(lambda: shared_place.guest.operate("sign", "eddsa", "sig", b"m", ok=False).status == 0)


def test_rotation_and_grants_are_seen(place: Place) -> None:
    """Without a new session: handles go on, what older versions made is read, what is taken is gone."""
    with Program(place.guest.device, "life", "rotation") as program:
        program.wait_for("ready")
        for label in ("tls", "box"):
            place.vault.cli("key", "rotate", label)
        program.go_on()
        program.wait_for("rotated")
        place.vault.api.revoke("app", "tls")
        program.go_on()
        program.wait_for("taken")
        place.vault.api.generate("late", "ec-p256")
        place.vault.api.grant("app", "late", ("sign", "verify"))
        program.go_on()
        program.wait_for("given")
        assert program.finish().status == 0


def test_worker_is_killed(place: Place) -> None:
    """Whoever is at work does not notice."""

    def worker_pid() -> int:
        return int(wait_for(lambda: place.vault.api.get("/guests/app")["worker"]["pid"]))

    with Program(place.guest.device, "exercise", "until-killed") as program:
        for _ in range(3):
            program.wait_for("more")
            pid = worker_pid()
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: worker_pid() != pid)  # noqa: B023 - called here and now
            program.wait_for("more")
            program.wait_for("more")


@pytest.mark.timeout(400)
def test_ten_thousand_keys(vault: Keystored) -> None:
    """Each is found by its label and by its id."""
    labels = [f"k-{number}" for number in range(KEYS)]
    roles = []
    # In pieces: each request has its time.
    for at in range(0, KEYS, PIECE):
        piece = labels[at : at + PIECE]
        roles.append(f"r-{at}")
        role = {"grants": [{"key": label, "ops": ["encrypt", "decrypt"]} for label in piece]}
        keys = {label: {"type": "aes-256"} for label in piece}
        vault.api.post("/apply", {"declaration": {"keys": keys, "roles": {roles[-1]: role}}})
    socket = vault.folder / "app.sock"
    vault.api.post("/apply", {"declaration": {"guests": {"app": {"socket": str(socket), "roles": roles}}}})
    guest = Pkcs11Guest(socket)
    assert guest.run("exercise", "find", str(KEYS)) == f"found {KEYS}\n"

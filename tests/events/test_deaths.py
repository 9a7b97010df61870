# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of keystored at any step loses no event: each is delivered at least once, always under the same id."""

import functools
import threading
import time

import pytest
from events.conftest import make_event
from framework.event_program import EventProgram
from framework.keystored import Keystored
from framework.patience import wait_for
from workers.test_deaths import alive


def test_while_a_program_has_it(program: EventProgram, vault: Keystored) -> None:
    """The program ends with keystored; the next one gives the same event once more."""
    program.obey(sleep_s=1000)
    make_event(vault)
    (first,) = wait_for(program.told)
    vault.kill()
    wait_for(lambda: not alive(first["pid"]))
    program.obey()
    vault.start()
    (listed,) = wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    assert [line["event"] for line in program.told()] == [first["event"]] * 2
    assert listed["id"] == first["event"]["id"]


def test_while_it_waits_for_the_next_attempt(program: EventProgram, vault: Keystored) -> None:
    """How often it was tried is not forgotten."""
    program.obey(status=1)
    make_event(vault)
    wait_for(lambda: len(program.told()) >= 2)
    vault.kill()
    before = len(program.told())
    program.obey()
    vault.start()
    (listed,) = wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    # The attempt under way when it was killed may not be written down.
    assert listed["deliveries"][0]["attempts"] in {before, before + 1}


@pytest.mark.timeout(240)
def test_at_any_moment(program: EventProgram, vault: Keystored) -> None:
    """An administrator makes changes that are told of, and keystored is killed a little later each time.

    Every change that was answered is told of; no change is told of under two ids.
    """
    answered: list[str] = []
    for turn in range(8):
        ended = threading.Event()

        def work(turn: int = turn, ended: threading.Event = ended) -> None:
            for number in range(1000):
                if ended.is_set():
                    return
                name = f"vm{turn}-{number}"
                try:
                    make_event(vault, name)
                except Exception:  # noqa: BLE001 -- whatever a killed server is to a client
                    return
                answered.append(name)

        administrator = threading.Thread(target=work)
        seen = len(answered)
        administrator.start()
        wait_for(functools.partial(has_more_than, answered, seen))
        time.sleep(turn * 0.007)  # which moment is hit is no matter, only that it is another one each time
        vault.kill()
        ended.set()
        administrator.join()
        vault.start()
    wait_for(lambda: not vault.facts("events", "list", "--state", "pending"))
    told: dict[str, set[str]] = {}
    for line in program.told():
        told.setdefault(line["event"]["subject"]["guest"], set()).add(line["event"]["id"])
    assert set(answered) <= told.keys()
    assert all(len(ids) == 1 for ids in told.values())


def has_more_than(names: list[str], count: int) -> bool:
    return len(names) > count

# SPDX-License-Identifier: Apache-2.0
"""Many threads, deaths on the other side, and children: each request of libvks has its own right answer, once."""

import os
import signal

import pytest
from framework.keystored import Keystored
from framework.native_guest import Exercise, NativeGuest
from framework.patience import wait_for

THREADS = 8
BATCH = 256


def worker_pid(vault: Keystored) -> int:
    """Who serves the guest now."""
    return int(wait_for(lambda: vault.api.get("/guests/app")["worker"]["pid"]))


def end_well(exercise: Exercise) -> None:
    """Have the threads get on and end: whoever got a wrong answer, or none, has said so."""
    exercise.go_on()
    exercise.wait_for("every answer was right")
    assert exercise.finish().status == 0


def test_many_threads(guest: NativeGuest) -> None:
    """Eight threads sign, verify, encrypt and decrypt over one device, small and large."""
    rounds = 60
    assert guest.exercise("threads", str(rounds)).stdout.endswith(f"rounds {THREADS * rounds}\n")


def test_whoever_waits_longest(guest: NativeGuest) -> None:
    """One thread reaps for all, and hands that on when its own answer is there."""
    assert guest.exercise("together", "60").stdout == "nobody was left behind\n"


def test_batch_larger_than_the_shared_memory(guest: NativeGuest) -> None:
    """It waits for its own answers rather than for ever; what is refused in it costs the others nothing."""
    refused = len([number for number in range(BATCH) if number % 5 == 1])
    assert guest.exercise("batch").stdout == f"good {BATCH - refused} refused {refused}\n"


def test_enqueue_and_reap(guest: NativeGuest) -> None:
    """As many as are taken; poll tells when there is something to reap, and stops telling."""
    assert guest.exercise("asynchronous", "5000").stdout == "done 5000\n"


def test_who_reaps_too_early_misses_nothing(guest: NativeGuest) -> None:
    """An answer that comes while somebody looks whether the connection is still there is told of as any other."""
    assert guest.exercise("impatient", "60000").stdout == "nothing was missed\n"


def test_who_does_not_reap_holds_up_nobody(guest: NativeGuest) -> None:
    """Answers that nobody fetches do not lie in the memory that others need."""
    assert guest.exercise("unreaped", "10").stdout == "all\n"


def test_children_are_kept_out(guest: NativeGuest) -> None:
    """MUST-52: a child of fork() can do nothing but close, from whatever thread, and its parent does not notice."""
    assert guest.exercise("forks", "25").stdout == "parent goes on\n"


def test_worker_is_killed_again_and_again(vault: Keystored, guest: NativeGuest) -> None:
    """Nobody of those who wait notices: no request is lost, and none has another one's answer."""
    with Exercise(guest.socket, "until_told") as exercise:
        for _ in range(6):
            exercise.wait_for("more")
            pid = worker_pid(vault)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: worker_pid(vault) != pid)  # noqa: B023 - called here and now
            # A request that two workers die over is answered as an error: they have to get on in between.
            for _ in range(3):
                exercise.wait_for("more")
        end_well(exercise)


@pytest.mark.parametrize("way", ["kill", "hand_over"])
def test_keystored_is_replaced(vault: Keystored, guest: NativeGuest, way: str) -> None:
    """It carries the session over, and threads at work do not notice."""
    with Exercise(guest.socket, "until_told") as exercise:
        exercise.wait_for("more")
        getattr(vault, way)()
        vault.start()
        end_well(exercise)
    wait_for(lambda: "session of pid" in vault.log_text)
    assert vault.log_text.count("session of pid") == 1


@pytest.mark.parametrize("threads", ["0", "1"])
def test_guest_is_removed(vault: Keystored, guest: NativeGuest, threads: str) -> None:
    """MUST-52: whoever waits is told that the device is gone; it works again when the guest is back."""
    with Exercise(guest.socket, "lost", threads) as exercise:
        exercise.wait_for("ready")
        # So that everything is on its way when the guest goes.
        os.kill(worker_pid(vault), signal.SIGSTOP)
        exercise.go_on()
        exercise.wait_for("sent")
        vault.api.delete("/guests/app")
        exercise.wait_for("lost 8")
        exercise.wait_for("without: the device is gone")
        exercise.wait_for("waiting")
        vault.add_guest("app")
        exercise.go_on()
        exercise.wait_for("again: no error")
        assert exercise.finish().status == 0


def test_all_of_ours_are_killed(vault: Keystored, guest: NativeGuest) -> None:
    """With keystored and holder gone there is no device, with the next ones there is."""
    with Exercise(guest.socket, "lost") as exercise:
        exercise.wait_for("ready")
        os.kill(worker_pid(vault), signal.SIGSTOP)
        exercise.go_on()
        exercise.wait_for("sent")
        vault.kill_all()
        exercise.wait_for("lost 8")
        exercise.wait_for("waiting")
        vault.start()
        exercise.go_on()
        exercise.wait_for("again: no error")
        assert exercise.finish().status == 0

# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore events``: lists, the dead-letter store, and what is refused."""

import json
import os
import subprocess
import threading

import pytest
from events.conftest import make_event
from framework.event_program import EventProgram
from framework.keystored import PROGRAM, Keystored, environment
from framework.patience import wait_for

NOBODY = "0123456789abcdef"


def test_lists(program: EventProgram, vault: Keystored) -> None:
    """By state and kind; each event with what became of it."""
    assert vault.facts("events", "list") == []
    make_event(vault)
    (event,) = wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    assert vault.facts("events", "list", "--kind", "grant-expiry-near", "--limit", "1") == [event]
    assert vault.facts("events", "list", "--kind", "budget-low") == []
    assert vault.facts("events", "list", "--state", "dead") == []
    assert vault.facts("events", "show", event["id"]) == event
    shown = vault.cli("events", "show", event["id"]).stdout
    assert f"id:        {event['id']}\n" in shown
    assert "HANDLER  STATE      ATTEMPTS" in shown
    head, line = vault.cli("events", "list").stdout.splitlines()
    assert head.split() == ["ID", "TIME", "KIND", "STATE", "WHAT"]
    assert line.split()[0] == event["id"]
    (handler,) = vault.facts("events", "handler", "list")
    assert {name: handler[name] for name in ("name", "way", "target", "delivered", "failed", "dead")} == {
        "name": "pager",
        "way": "exec",
        "target": str(program.path),
        "delivered": 1,
        "failed": 0,
        "dead": 0,
    }
    assert vault.cli("events", "handler", "list").stdout.splitlines()[1].split()[-1] == "all"


def test_dead_letters(program: EventProgram, vault: Keystored) -> None:
    """Retried by id, dropped by id or all of them; each on record with whoever did it."""
    vault.stop()
    program.configure({"pager": {"exec": str(program.path), "attempts": 1}})
    program.obey(status=1)
    vault.start()
    for name in ("web1", "web2", "web3"):
        make_event(vault, name)
    dead = wait_for(lambda: (found := vault.facts("events", "list", "--state", "dead"))[2:] and found)
    assert 'vmm_keystore_events_dead{handler="pager"} 3.0' in vault.cli("metrics").stdout
    assert vault.cli("events", "retry", dead[0]["id"]).stdout == "1 event is delivered anew\n"
    # Tried anew, and dead anew: there is one attempt.
    wait_for(lambda: len(program.told()) == 4)
    wait_for(lambda: len(vault.facts("events", "list", "--state", "dead")) == 3)
    assert vault.cli("events", "drop", dead[1]["id"]).stdout == "1 event is dropped\n"
    assert vault.facts("events", "drop", "--all", "--yes") == {"events": 2}
    assert vault.facts("events", "list") == []
    lines = [line for line in vault.api.get("/audit?after=0&limit=1000")["lines"] if line["kind"] == "admin"]
    of_events = [
        (line["action"], line["event"], line["events"]) for line in lines if line["action"].startswith("event")
    ]
    assert of_events == [
        ("event-retry", dead[0]["id"], 1),
        ("event-drop", dead[1]["id"], 1),
        ("event-drop", None, 2),
    ]
    assert all(line["uid"] == os.geteuid() for line in lines)


def test_only_kinds_that_it_wants(program: EventProgram, vault: Keystored) -> None:
    """What no handler wants is kept to look at, and is nobody's to retry."""
    vault.stop()
    program.configure({"pager": {"exec": str(program.path), "kinds": ["budget-low"]}})
    vault.start()
    make_event(vault)
    (event,) = vault.facts("events", "list", "--state", "unhandled")
    assert event["deliveries"] == []
    outcome = vault.cli("events", "retry", event["id"], ok=False)
    assert (outcome.status, outcome.stderr) == (
        1,
        f"vmm-keystore: no handler was to have event '{event['id']}'\nhint: vmm-keystore events handler list\n",
    )
    assert vault.cli("events", "handler", "list").stdout.splitlines()[1].split()[-1] == "budget-low"
    assert program.told() == []


def test_handler_that_is_there_no_more(program: EventProgram, vault: Keystored) -> None:
    """What waits for it is dead when keystored starts without it, and alive when it is back."""
    program.obey(status=1)
    make_event(vault)
    wait_for(program.told)
    vault.stop()
    program.configure({"other": {"exec": str(program.path)}})
    vault.start()
    (event,) = vault.facts("events", "list", "--state", "dead")
    assert event["deliveries"][0]["reason"] == "there is no such handler any more"
    assert "1 events were for handlers that there are no more" in vault.log_text
    outcome = vault.cli("events", "retry", event["id"], ok=False)
    assert outcome.stderr == (
        f"vmm-keystore: the handlers of event '{event['id']}' are there no more\n"
        "hint: name them in the file of serve --event-handlers again, or: vmm-keystore events drop\n"
    )
    assert vault.facts("events", "retry", "--all") == {"events": 0}
    vault.stop()
    program.configure({"pager": {"exec": str(program.path)}})
    program.obey()
    vault.start()
    assert vault.facts("events", "retry", "--all") == {"events": 1}
    wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))


def test_refusals(program: EventProgram, vault: Keystored) -> None:
    """One line and a hint each."""
    make_event(vault)
    (event,) = wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    unknown = "hint: vmm-keystore events list shows those there are\n"
    for command in (("show",), ("retry",), ("drop",)):
        outcome = vault.cli("events", *command, NOBODY, ok=False)
        assert (outcome.status, outcome.stderr) == (1, f"vmm-keystore: no event '{NOBODY}'\n{unknown}")
    outcome = vault.cli("events", "retry", event["id"], ok=False)
    assert outcome.stderr == (
        f"vmm-keystore: event '{event['id']}' is delivered\nhint: vmm-keystore events show says to whom\n"
    )
    outcome = vault.cli("events", "handler", "test", "nobody", ok=False)
    assert (outcome.status, outcome.stderr) == (
        1,
        (
            "vmm-keystore: no event handler 'nobody'\n"
            "hint: the file that serve --event-handlers names says which there are\n"
        ),
    )
    program.obey(status=9)
    outcome = vault.cli("events", "handler", "test", "pager", "--json", ok=False)
    assert json.loads(outcome.stdout) == {"handler": "pager", "delivered": False, "reason": "exit status 9"}
    assert outcome.stderr == "vmm-keystore: event handler pager did not take a test: exit status 9\n"


def test_one_test_at_a_time(program: EventProgram, vault: Keystored) -> None:
    """Nobody has programs run side by side as he likes."""
    program.obey(sleep_s=1000)
    first = threading.Thread(target=lambda: vault.cli("events", "handler", "test", "pager", ok=False))
    first.start()
    wait_for(lambda: program.told("test"))
    outcome = vault.cli("events", "handler", "test", "pager", ok=False)
    os.kill(program.told("test")[0]["pid"], 9)
    first.join()
    assert outcome.stderr == (
        "vmm-keystore: another test of an event handler is under way\nhint: try again when it has ended\n"
    )


@pytest.mark.parametrize("state", ["none", "Dead"])
def test_api_takes_no_other_words(vault: Keystored, state: str) -> None:
    """As its document says."""
    with pytest.raises(AssertionError, match=r"400.*state: input should be 'pending', 'delivered', 'dead' or 'unh"):
        vault.api.get(f"/events?state={state}")


def test_names_for_the_shell(vault: Keystored) -> None:
    """Ids, kinds and handlers are proposed."""
    make_event(vault)
    (event,) = vault.facts("events", "list")

    def proposed(*words: str) -> list[str]:
        env = environment() | {
            "VMM_KEYSTORE_CONTROL_SOCKET": str(vault.control_socket),
            "_VMM_KEYSTORE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["vmm-keystore", *words]),
            "COMP_CWORD": str(len(words)),
        }
        return subprocess.run([PROGRAM], env=env, capture_output=True, text=True, check=True).stdout.split()

    assert proposed("events", "show", event["id"][:3]) == [event["id"]]
    assert proposed("events", "handler", "test", "pa") == ["pager"]
    assert proposed("events", "list", "--kind", "b") == ["budget-low"]

# SPDX-License-Identifier: Apache-2.0
"""Tags and aliases: on record, within bounds; a name is a label or an alias, whoever asks for it at the same time."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.fakes import FakeDaemon

from vmm_keystore.errors import AlreadyExistsError, InvalidRequestError, KeystoreError, NotFoundError
from vmm_keystore.policy.tags import TAGS_MAX, check_filter, check_name, parse_tags
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Op
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest, Question
from vmm_keystore.service.guest_values import Guest
from vmm_keystore.service.keystore import Keystore
from vmm_keystore.store.key_list import KeyFilter

ROOT = Actor(uid=0, pid=99)
RACES = 20


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """A guest, and two keys of which one has an alias."""
    opened = FakeDaemon(tmp_path)
    keystore = opened.keystore
    keystore.guests.add(ROOT, Guest("vm1", "/run/vm1.sock"))
    keystore.keys.generate(ROOT, "k1", KeyType.EC_P256, activate=True, tags={"env": "prod"})
    keystore.keys.generate(ROOT, "k2", KeyType.EC_P256, activate=True)
    keystore.names.set_alias(ROOT, "now", "k1")
    yield opened
    opened.close()


def test_tags(daemon: FakeDaemon) -> None:
    """Set, changed, found by and taken away, each on record; the guest's keys are what they were."""
    names, before = daemon.keystore.names, dict(daemon.workers.in_force)
    assert names.tag(ROOT, "k1", {"team": "a b", "env": "test"}).tags == {"env": "test", "team": "a b"}
    assert [key.label for key in daemon.keystore.keys.list(KeyFilter(tags=("env=test", "team")))] == ["k1"]
    assert names.untag(ROOT, "k1", ["env"]).tags == {"team": "a b"}
    made, tagged, untagged = (daemon.admin_lines()[index] for index in (1, -2, -1))
    assert (made["action"], made["tags"]) == ("key-generate", {"env": "prod"})
    assert (tagged["action"], tagged["key"], tagged["tags"]) == ("key-tag", "k1", {"team": "a b", "env": "test"})
    assert (untagged["action"], untagged["key"], untagged["tags"]) == ("key-untag", "k1", ["env"])
    assert daemon.workers.in_force == before


def test_moved_alias(daemon: FakeDaemon) -> None:
    """It stands for one key, then for the other; the line says both."""
    names, keys = daemon.keystore.names, daemon.keystore.keys
    assert keys.show("now").label == "k1"
    row, moved_from = names.set_alias(ROOT, "now", "k2")
    assert (row.key, moved_from) == ("k2", "k1")
    assert [keys.show(name).aliases for name in ("k1", "k2", "now")] == [(), ("now",), ("now",)]
    line = daemon.admin_lines()[-1]
    assert (line["action"], line["alias"], line["key"], line["moved_from"]) == ("key-alias-set", "now", "k2", "k1")
    # An alias of an alias is one of its key.
    assert names.set_alias(ROOT, "next", "now")[0].key == "k2"
    assert (daemon.admin_lines()[-1]["alias"], daemon.admin_lines()[-1]["key"]) == ("next", "k2")
    assert names.remove_alias(ROOT, "now").key == "k2"
    assert [alias.name for alias in names.aliases()] == ["next"]
    with pytest.raises(NotFoundError, match="no key 'now'"):
        keys.show("now")


BY_ALIAS: dict[str, Callable[[Keystore], object]] = {
    "grant-add": lambda keystore: keystore.grants.add(ROOT, GrantRequest("vm1", "now", [Op.SIGN])),
    "grant-remove": lambda keystore: keystore.grants.remove(ROOT, "vm1", "now"),
    "key-rotate": lambda keystore: keystore.keys.rotate(ROOT, "now"),
    "key-suspend": lambda keystore: keystore.keys.move(ROOT, "now", KeyState.SUSPENDED, None),
    "key-activate": lambda keystore: keystore.keys.move(ROOT, "now", KeyState.ACTIVE, None),
    "key-rotation": lambda keystore: keystore.plans.set_rotation(ROOT, "now", 99),
    "key-min-version": lambda keystore: keystore.plans.set_min_version(ROOT, "now", 2),
    "key-destroy-plan": lambda keystore: keystore.plans.destroy_later(ROOT, "now", None, 2**33),
    "key-destroy-cancel": lambda keystore: keystore.plans.keep(ROOT, "now", None),
    "key-tag": lambda keystore: keystore.names.tag(ROOT, "now", {"a": "b"}),
    "key-untag": lambda keystore: keystore.names.untag(ROOT, "now", ["a"]),
    "key-destroy": lambda keystore: keystore.keys.move(ROOT, "now", KeyState.DESTROYED, None),
}


def test_alias_wherever_a_key_is_named(daemon: FakeDaemon) -> None:
    """The same change as by the label, whose line says the label and the alias."""
    keystore = daemon.keystore
    keystore.schedule.stop()
    keystore.grants.add(ROOT, GrantRequest("vm1", "now", [Op.SIGN]))
    assert [key.label for key in daemon.workers.in_force["vm1"]] == ["k1"]
    assert [grant.key for grant in keystore.grants.list(key="now")] == ["k1"]
    explained = keystore.grants.explain(Question("vm1", "now", Op.SIGN))
    assert (explained.question.key, explained.status.text) == ("k1", "ok")
    assert keystore.keys.public_pem("now", None) == keystore.keys.public_pem("k1", None)
    keystore.grants.remove(ROOT, "vm1", "now")
    for action, change in BY_ALIAS.items():
        change(keystore)
        line = daemon.admin_lines()[-1]
        assert (line["action"], line["key"], line["alias"]) == (action, "k1", "now")
    assert keystore.keys.show("k2").state == KeyState.ACTIVE


def test_grants_stay_with_their_keys(daemon: FakeDaemon) -> None:
    """A grant is of the key that the alias stood for; what a guest sees does not change when it is moved."""
    daemon.keystore.grants.add(ROOT, GrantRequest("vm1", "now", [Op.SIGN]))
    before = daemon.workers.in_force["vm1"]
    daemon.keystore.names.set_alias(ROOT, "now", "k2")
    assert daemon.workers.in_force["vm1"] == before
    with pytest.raises(NotFoundError, match="guest 'vm1' has no grant of key 'k2'"):
        daemon.keystore.grants.remove(ROOT, "vm1", "now")
    assert daemon.admin_lines()[-1]["key"] == "k2"


def test_rotation_while_the_alias_moves(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that was made for one key never becomes another's."""
    keystore, generate = daemon.keystore, daemon.custodian.generate

    def moved_meanwhile(*arguments: object) -> object:
        keystore.names.set_alias(ROOT, "now", "k2")
        return generate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(daemon.custodian, "generate", moved_meanwhile)
    key, _applied = keystore.keys.rotate(ROOT, "now")
    assert (key.label, key.current_version) == ("k1", 2)
    assert keystore.keys.show("k2").current_version == 1


REFUSED: dict[str, tuple[Callable[[Keystore], object], type[KeystoreError], str, str]] = {
    "label that is an alias": (
        lambda keystore: keystore.keys.generate(ROOT, "now", KeyType.AES_128, activate=True),
        AlreadyExistsError,
        "'now' is an alias of key 'k1'",
        "choose another label, or free this one: vmm-keystore key alias remove now",
    ),
    "alias that is a label": (
        lambda keystore: keystore.names.set_alias(ROOT, "k2", "k1"),
        AlreadyExistsError,
        "there is a key 'k2': it cannot be an alias",
        "a name is a label or an alias; choose another",
    ),
    "alias of nothing": (
        lambda keystore: keystore.names.set_alias(ROOT, "new", "no"),
        NotFoundError,
        "no key 'no'",
        "vmm-keystore key list shows those there are",
    ),
    "no alias": (
        lambda keystore: keystore.names.remove_alias(ROOT, "k1"),
        NotFoundError,
        "no alias 'k1'",
        "vmm-keystore key alias list shows those there are",
    ),
    "tags of nothing": (
        lambda keystore: keystore.names.tag(ROOT, "no", {"a": "b"}),
        NotFoundError,
        "no key 'no'",
        "vmm-keystore key list shows those there are",
    ),
    "too many tags": (
        lambda keystore: keystore.names.tag(ROOT, "k1", {f"t{number}": "x" for number in range(TAGS_MAX)}),
        InvalidRequestError,
        "key 'k1' would have 33 tags, 32 is the most",
        "vmm-keystore key untag takes some away",
    ),
    "tag that is not there": (
        lambda keystore: keystore.names.untag(ROOT, "now", ["env", "no"]),
        NotFoundError,
        "key 'k1' has no tag 'no'",
        "vmm-keystore key show says which",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(daemon: FakeDaemon, case: str) -> None:
    """With the cause and what to do, on record; nothing is changed."""
    keystore = daemon.keystore
    before = keystore.keys.list(), keystore.names.aliases()
    attempt, error, message, hint = REFUSED[case]
    with pytest.raises(error) as caught:
        attempt(keystore)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert (keystore.keys.list(), keystore.names.aliases()) == before
    assert daemon.admin_lines()[-1]["reason"] == message


def test_label_and_alias_asked_for_at_once(daemon: FakeDaemon) -> None:
    """One of the two gets the name, again and again."""
    keystore = daemon.keystore

    def outcome(attempt: Callable[[], object], outcomes: list[str]) -> None:
        try:
            attempt()
            outcomes.append("done")
        except AlreadyExistsError:
            outcomes.append("refused")

    for number in range(RACES):
        name, outcomes = f"race{number}", list[str]()
        attempts = (
            lambda name=name: keystore.keys.generate(ROOT, name, KeyType.AES_128, activate=True),
            lambda name=name: keystore.names.set_alias(ROOT, name, "k1"),
        )
        threads = [threading.Thread(target=outcome, args=(attempt, outcomes)) for attempt in attempts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["done", "refused"]
    labels = {key.label for key in keystore.keys.list()}
    assert labels.isdisjoint(alias.name for alias in keystore.names.aliases())


def test_alias_set_while_a_key_is_made(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the custodian was asked and before the key is stored: the label is looked at once more."""
    generate = daemon.custodian.generate

    def taken_meanwhile(*arguments: object) -> object:
        daemon.keystore.names.set_alias(ROOT, "new", "k1")
        return generate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(daemon.custodian, "generate", taken_meanwhile)
    with pytest.raises(AlreadyExistsError, match="'new' is an alias of key 'k1'"):
        daemon.keystore.keys.generate(ROOT, "new", KeyType.AES_128, activate=True)
    assert daemon.keystore.keys.show("new").label == "k1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env"], "tag 'env' has no value"),
        (["=prod"], "'' is no name of a tag"),
        (["a/b=c"], "'a/b' is no name of a tag"),
        (["-a=c"], "'-a' is no name of a tag"),
        (["a\n=c"], r"'a\n' is no name of a tag"),
        (["x" * 64 + "=c"], "is no name of a tag"),
        (["a="], "tag 'a' cannot have the value ''"),
        (["a= b"], "tag 'a' cannot have the value ' b'"),
        (["a=b "], "tag 'a' cannot have the value 'b '"),
        (["a=b\n"], r"tag 'a' cannot have the value 'b\n'"),
        (["a=\x1b[31m"], r"tag 'a' cannot have the value '\x1b[31m'"),
        (["a=" + "x" * 129], "tag 'a' cannot have the value"),
        (["a=1", "a=2"], "tag 'a' is given twice"),
    ],
)
def test_words_that_are_no_tags(words: list[str], message: str) -> None:
    """Said by what is wrong with them, with a hint, and without a byte that a terminal would act on."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_tags(words)
    assert message in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.hint


def test_words_that_are_tags() -> None:
    """Up to the bounds; an equals sign belongs to the value."""
    assert parse_tags(["a=b=c", "n.o_t-e=x y", "x" * 63 + "=" + "y" * 128]) == {
        "a": "b=c",
        "n.o_t-e": "x y",
        "x" * 63: "y" * 128,
    }
    assert [check_filter("a"), check_filter("a=b"), check_name("a")] == ["a", "a=b", "a"]
    for word in ("", "a=", "a b"):
        with pytest.raises(InvalidRequestError):
            check_filter(word)

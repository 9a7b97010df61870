# SPDX-License-Identifier: Apache-2.0
"""What becomes of keystored's answers: refusals, silence, nonsense, and lists."""

from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.control_fake import Answer, ControlFake


def test_a_refusal_is_said_in_keystoreds_words(cli: Cli, fake: ControlFake) -> None:
    refusal = {"error": {"code": "not-found", "message": "no key 'x'", "hint": "vmm-keystore key list"}}
    fake.answer("GET /v1/keys/x", refusal, status=404)
    outcome = cli("key", "show", "x")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr == "vmm-keystore: no key 'x'\nhint: vmm-keystore key list\n"


def test_an_empty_hint_is_no_line(cli: Cli, fake: ControlFake) -> None:
    fake.answer("GET /v1/keys/x", {"error": {"code": "internal", "message": "no", "hint": ""}}, status=500)
    assert cli("key", "show", "x").stderr == "vmm-keystore: no\n"


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (Answer(None), 3, "keystored closed the connection before it answered"),
        (Answer(b"<html>", 502), 1, "keystored answered http status 502 without a reason"),
        (Answer(b'{"error": "x"}', 500), 1, "keystored answered http status 500 without a reason"),
        (Answer(b"[]", 500), 1, "keystored answered http status 500 without a reason"),
        (Answer(b"not json"), 1, "keystored answered with something that is not json"),
    ],
)
def test_answers_that_are_none(cli: Cli, fake: ControlFake, answer: Answer, status: int, message: str) -> None:
    fake.answers["GET /v1/keys?limit=1000"] = answer
    outcome = cli("key", "list")
    assert outcome.status == status
    assert outcome.stderr.splitlines()[0] == f"vmm-keystore: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "keystored is not running: no socket "),
        ("file", "keystored is not running: nobody listens on "),
        ("x" * 120, "the socket path is too long: "),
    ],
)
def test_no_keystored_is_exit_status_3(cli: Cli, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    outcome = cli("--control-socket", tmp_path / name, "key", "list")
    first, hint = outcome.stderr.splitlines()
    assert (outcome.status, outcome.stdout) == (3, "")
    assert first.startswith(f"vmm-keystore: {message}")
    assert hint.startswith("hint: ")


def test_the_socket_may_be_named_before_and_behind_the_command(cli: Cli, fake: ControlFake) -> None:
    fake.answer("GET /v1/keys?limit=1000", {"keys": []})
    folder = fake.socket.parent
    for arguments in (
        ["--control-socket", fake.socket, "key", "list"],
        ["key", "list", "--control-socket", fake.socket],
        ["--state-dir", folder, "key", "list"],
        ["key", "list", "--state-dir", folder],
    ):
        assert cli(*arguments).status == 0
    assert len(fake.asked) == 4


def test_labels_are_quoted_into_the_path(cli: Cli, fake: ControlFake) -> None:
    """A label cannot turn into another resource."""
    cli("key", "show", "../guests/web?x=1")
    assert fake.asked == [("GET /v1/keys/..%2Fguests%2Fweb%3Fx%3D1", None)]


def test_a_list_is_aligned_text_on_a_pipe_and_whole_in_json(cli: Cli, fake: ControlFake) -> None:
    keys = [
        {"label": "tls", "type": "ec-p256", "state": "active", "current_version": 2, "guests": ["web", "db"]}
        | {"last_used": "2026-11-28T10:00:00Z", "tags": {"env": "prod", "a": "b"}},
        {"label": "backup-2026", "type": "aes-256", "state": "suspended", "current_version": 1, "guests": []}
        | {"last_used": None, "tags": {}},
    ]
    fake.answer("GET /v1/keys?limit=1000", {"keys": keys})
    assert cli("key", "list").stdout.splitlines() == [
        "LABEL        TYPE     STATE      VERSION  GUESTS  LAST USED             TAGS",
        "tls          ec-p256  active     2        web,db  2026-11-28T10:00:00Z  a=b,env=prod",
        "backup-2026  aes-256  suspended  1        -       -                     -",
    ]
    assert cli("key", "list", "--json").facts == keys


def test_a_grant_carries_every_limit(cli: Cli, fake: ControlFake) -> None:
    fake.answer("POST /v1/grants", {"guest": "web"})
    outcome = cli(
        *("grant", "add", "web", "tls", "--ops", "sign, verify", "--mechanisms", "ecdsa-sha256", "--max-bytes", "64"),
        *("--uid", "1000", "--uid", "1001", "--not-before", "2030-01-31T12:00:00+01:00", "--not-after", "2031-01-31"),
    )
    assert outcome.stdout == "guest web may use key tls: sign, verify\n"
    assert fake.asked[0][1] == {
        "guest": "web",
        "key": "tls",
        "ops": ["sign", "verify"],
        "mechanisms": ["ecdsa-sha256"],
        "input_bytes_max": 64,
        "uids": [1000, 1001],
        "not_before": "2030-01-31T12:00:00+01:00",
        "not_after": "2031-01-31T00:00:00+00:00",
    }


def test_export_never_overwrites(cli: Cli, fake: ControlFake, tmp_path: Path) -> None:
    fake.answer("GET /v1/audit?after=0&limit=1000", {"lines": [{"seq": 1}], "last_seq": 1})
    fake.answer("GET /v1/audit?after=1&limit=1000", {"lines": [], "last_seq": 1})
    target = tmp_path / "log.jsonl"
    assert cli("audit", "export", "--output", target).stdout == f"1 lines written to {target}\n"
    assert target.read_text() == '{"seq":1}\n'
    assert target.stat().st_mode & 0o777 == 0o600
    again = cli("audit", "export", "-o", target)
    assert again.status == 1
    assert again.stderr.startswith(f"vmm-keystore: {target} exists\n")
    assert target.read_text() == '{"seq":1}\n'


def test_a_broken_chain_is_a_failure(cli: Cli, fake: ControlFake) -> None:
    found = {"ok": False, "lines": 3, "segments": 1, "last_seq": 3, "last_hash": "00", "problem": "line 2 was edited"}
    fake.answer("GET /v1/audit/verify", found)
    outcome = cli("audit", "verify")
    assert outcome.status == 1
    assert outcome.stderr.startswith("vmm-keystore: the audit log does not hold: line 2 was edited\n")
    assert cli("audit", "verify", "--json").facts == found


def test_a_worker_that_was_ended_for_a_change_is_told(cli: Cli, fake: ControlFake) -> None:
    applied = [
        {"guest": "web", "outcome": "worker-killed", "detail": ""},
        {"guest": "db", "outcome": "acknowledged", "detail": ""},
    ]
    fake.answer("POST /v1/keys/tls/suspend", {"label": "tls", "applied": applied})
    assert cli("key", "suspend", "tls").stdout.splitlines() == [
        "key tls is suspended",
        "guest web: its worker did not confirm in time and was ended, a new one follows",
    ]

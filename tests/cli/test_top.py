# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore top``: rates out of two readings, for people and programs, and how it ends."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cli
from cli.control_fake import Answer, ControlFake
from framework.keystored import PROGRAM, environment
from framework.patience import PATIENCE_S

Counts = Mapping[tuple[str, str, str, str], tuple[int, int]]
BEFORE: Counts = {
    ("web1", "tls", "sign", "ok"): (1000, 32_000),
    ("web1", "tls", "verify", "denied"): (3, 0),
    ("web2", "tls", "sign", "ok"): (50, 50),
}
AFTER: Counts = {
    ("web1", "tls", "sign", "ok"): (1100, 35_200),
    ("web1", "tls", "verify", "denied"): (43, 0),
    ("web2", "tls", "sign", "ok"): (50, 50),
    ("db", "[bold]disk", "mac", "ok"): (400, 400),
}
ONCE = ("top", "--interval", "0.2", "--count", "1")


def metrics(counts: Counts, uptime_s: int = 100) -> bytes:
    """Metrics as keystored gives them."""
    lines = [f"vmm_keystore_uptime_seconds {uptime_s}.0"]
    for use, (operations, input_bytes) in counts.items():
        labels = ",".join(
            f'{name}="{value}"' for name, value in zip(("guest", "key", "op", "status"), use, strict=True)
        )
        lines.append(f"vmm_keystore_operations_total{{{labels}}} {operations}.0")
        lines.append(f"vmm_keystore_input_bytes_total{{{labels}}} {input_bytes}.0")
    return "\n".join([*lines, ""]).encode()


def readings(fake: ControlFake, first: bytes, second: bytes) -> None:
    """Answer two readings; later ones are like the second."""
    fake.answers["GET /v1/metrics"] = Answer(first, then=Answer(second))


def near(count: int, line: dict[str, Any]) -> object:
    """That many within the time that the line tells."""
    return pytest.approx(count / line["seconds"], rel=0.01)


def test_rates_of_what_happened_between(cli: Cli, fake: ControlFake) -> None:
    """The busiest first, the idle not at all."""
    readings(fake, metrics(BEFORE), metrics(AFTER))
    line = cli(*ONCE, "--json").facts
    assert line["seconds"] >= 0.2
    db, sign, verify = line["uses"]
    assert db == {
        "guest": "db",
        "key": "[bold]disk",
        "op": "mac",
        "operations_per_s": near(400, line),
        "bytes_per_s": near(400, line),
        "refused_per_s": 0,
        "p50_us": None,
        "p99_us": None,
    }
    assert (sign["guest"], sign["operations_per_s"], sign["bytes_per_s"]) == ("web1", near(100, line), near(3200, line))
    assert (verify["op"], verify["operations_per_s"], verify["refused_per_s"]) == (
        "verify",
        near(40, line),
        near(40, line),
    )


def test_counted_by_fewer_names(cli: Cli, fake: ControlFake) -> None:
    """Several uses of a guest are one line."""
    readings(fake, metrics(BEFORE), metrics(AFTER))
    line = cli(*ONCE, "--json", "--by", "guest").facts
    assert [use["guest"] for use in line["uses"]] == ["db", "web1"]
    assert line["uses"][1]["operations_per_s"] == near(140, line)
    assert line["uses"][1]["refused_per_s"] == near(40, line)


def durations(key: str, *within: int) -> bytes:
    """How many requests of one key took no longer than 10 us, 100 us, a second; and all."""
    lines = [
        f'vmm_keystore_request_duration_seconds_bucket{{guest="web1",key="{key}",op="sign",le="{bound}"}} {count}.0'
        for bound, count in zip(("1e-05", "0.0001", "1", "+Inf"), within, strict=True)
    ]
    return "\n".join([*lines, ""]).encode()


@pytest.mark.parametrize(
    ("within", "p50_us", "p99_us"),
    [
        ((0, 100, 100, 100), 55.0, 99.1),
        ((100, 100, 100, 100), 5.0, 9.9),
        ((50, 99, 100, 100), 10.0, 100.0),
        ((0, 0, 0, 100), 1e6, 1e6),
        ((0, 0, 0, 0), None, None),
        ((-5, -5, -5, -5), None, None),
    ],
)
def test_how_long_they_took(
    cli: Cli, fake: ControlFake, within: tuple[int, ...], p50_us: float | None, p99_us: float | None
) -> None:
    """Of the interval alone, by Prometheus' own estimate; a histogram that began anew says nothing."""
    before = (10, 20, 30, 40)
    after = tuple(old + new for old, new in zip(before, within, strict=True))
    readings(fake, metrics(BEFORE) + durations("tls", *before), metrics(AFTER) + durations("tls", *after))
    uses = cli(*ONCE, "--json").facts["uses"]
    (sign,) = [use for use in uses if use["guest"] == "web1" and use["op"] == "sign"]
    assert (sign["p50_us"], sign["p99_us"]) == (p50_us, p99_us)
    assert {use["p50_us"] for use in uses if use is not sign} == {None}


def test_times_of_several_keys_are_put_together(cli: Cli, fake: ControlFake) -> None:
    """By guest they are one; by outcome they are not known."""
    after = durations("tls", 100, 100, 100, 100) + durations("old", 0, 0, 100, 100)
    for by, p50_us in (("guest", 10.0), ("guest,status", None)):
        readings(fake, metrics(BEFORE), metrics(AFTER) + after)
        (use, *_) = [use for use in cli(*ONCE, "--json", "--by", by).facts["uses"] if use["guest"] == "web1"]
        assert use["p50_us"] == p50_us


def test_times_go_on_where_keystored_began_anew(cli: Cli, fake: ControlFake) -> None:
    """They are the workers', and lie where keystored's death does not reach."""
    first = metrics(AFTER) + durations("tls", 1000, 1000, 1000, 1000)
    readings(fake, first, metrics(BEFORE, 1) + durations("tls", 1000, 1100, 1100, 1100))
    (use,) = [use for use in cli(*ONCE, "--json").facts["uses"] if (use["guest"], use["op"]) == ("web1", "sign")]
    assert use["p50_us"] == 55.0


@pytest.mark.parametrize("uptime_s", [1, 100])
def test_keystored_began_anew(cli: Cli, fake: ControlFake, uptime_s: int) -> None:
    """What it has counted since then is what happened; nothing is negative."""
    readings(fake, metrics(AFTER), metrics(BEFORE, uptime_s))
    line = cli(*ONCE, "--json", "--by", "op,status").facts
    assert [(use["op"], use["status"], use["operations_per_s"]) for use in line["uses"]] == [
        ("sign", "ok", near(1050, line)),
        ("verify", "denied", near(3, line)),
    ]


def test_on_a_pipe(cli: Cli, fake: ControlFake) -> None:
    """A sentence and a table each time."""
    readings(fake, metrics(BEFORE), metrics(AFTER))
    outcome = cli("top", "--interval", "0.2", "--count", "2")
    first, second = outcome.stdout.rstrip("\n").split("\n\n")
    sentence, header, *rows = first.splitlines()
    assert " operations/s, " in sentence
    assert header.split() == ["GUEST", "KEY", "OP", "OPS/S", "BYTES/S", "REFUSED/S", "P50", "US", "P99", "US"]
    assert [row.split()[:3] for row in rows] == [
        ["db", "[bold]disk", "mac"],
        ["web1", "tls", "sign"],
        ["web1", "tls", "verify"],
    ]
    assert "  0.0 operations/s, 0.0 of them refused" in second
    assert len(second.splitlines()) == 2


@pytest.mark.parametrize("by", ["", "guest,guest", "guest,uid", "guest,"])
def test_what_cannot_be_counted_by(cli: Cli, fake: ControlFake, by: str) -> None:
    outcome = cli(*ONCE, "--by", by)
    assert outcome.status == 2
    assert outcome.stderr == (
        f"vmm-keystore: cannot count by '{by}'\nhint: names of guest, key, op, status, each at most once\n"
    )
    assert fake.asked == []


@pytest.mark.parametrize("option", [("--interval", "0.1"), ("--interval", "nan"), ("--count", "0")])
def test_values_out_of_range(cli: Cli, fake: ControlFake, option: tuple[str, str]) -> None:
    outcome = cli("top", "--count", "1", *option)
    assert outcome.status == 2
    assert outcome.stderr.endswith("hint: vmm-keystore top --help\n")
    assert fake.asked == []


def test_keystored_goes_away(cli: Cli, fake: ControlFake) -> None:
    """The reason, and the status for that."""
    fake.answers["GET /v1/metrics"] = Answer(metrics(BEFORE), then=Answer(None))
    outcome = cli("top", "--interval", "0.2")
    assert outcome.status == 3
    assert outcome.stderr.startswith("vmm-keystore: keystored closed the connection before it answered")


def test_interrupted_it_ends_well(fake: ControlFake) -> None:
    """Ctrl-C is how one leaves it: no word about that, and success."""
    readings(fake, metrics(BEFORE), metrics(AFTER))
    command: list[str | Path] = [PROGRAM, "--control-socket", fake.socket, "top", "--interval", "0.2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert "operations/s" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (0, "")


def test_on_a_terminal(fake: ControlFake) -> None:
    """One picture, no longer than the terminal, with words taken as they are; the screen is given back at the end."""
    many = {(f"guest{number:03}", "tls", "sign", "ok"): (number, number) for number in range(1, 100)}
    readings(fake, metrics({}), metrics(many | {("db", "[bold]disk", "mac", "ok"): (500, 1)}))
    shown = on_terminal(
        [PROGRAM, "--control-socket", fake.socket, "top", "--interval", "0.2", "--count", "1"], lines=12
    )
    assert "[bold]disk" in shown
    assert "guest099" in shown
    assert "guest050" not in shown
    assert "and 93 more" in shown
    assert "\x1b[?1049h" in shown
    assert shown.rindex("\x1b[?1049l") > shown.rindex("\x1b[?1049h")


def on_terminal(command: list[str | Path], *, lines: int) -> str:
    """Run a command on a terminal of its own; all that it showed."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 100, 0, 0))
    env = {**environment(), "TERM": "xterm"}
    for name in ("LINES", "COLUMNS"):  # of whatever terminal the tests are watched on
        env.pop(name, None)
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env) as process:
        os.close(slave)
        shown = b""
        try:
            while select.select([master], [], [], PATIENCE_S)[0]:
                shown += os.read(master, 4096)
        except OSError:  # EIO: the program has ended
            pass
        os.close(master)
        assert process.wait(PATIENCE_S) == 0
    return shown.decode()

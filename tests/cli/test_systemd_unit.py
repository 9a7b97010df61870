# SPDX-License-Identifier: Apache-2.0
"""What ``vmm-keystore systemd-unit`` prints; a real systemd tries it in ``workers/test_systemd.py``."""

import pytest
from cli.conftest import Cli

SYSTEM, HOME = "ProtectSystem=full", "ProtectHome=read-only"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {SYSTEM, HOME}),
        (("--state-dir", "/srv/vault"), {SYSTEM, HOME}),
        (("--state-dir", "/home/of-somebody/vault"), {SYSTEM}),
        (("--state-dir", "/srv/../root/vault"), {SYSTEM}),
        (("--state-dir", "/homes/vault"), {SYSTEM, HOME}),
        (("--control-socket", "/run/user/1000/vault/control.sock"), {SYSTEM}),
        (("--control-socket", "/run/vault/control.sock"), {SYSTEM, HOME}),
        (("--state-dir", "/etc/vault", "--control-socket", "/root/control.sock"), set()),
    ],
)
def test_own_files_stay_in_reach(cli: Cli, arguments: tuple[str, ...], expected: set[str]) -> None:
    """No folder that keystored is told to write to is closed to it."""
    lines = cli("systemd-unit", *arguments).stdout.splitlines()
    assert {line for line in lines if line.startswith(("ProtectSystem", "ProtectHome"))} == expected
    assert "CapabilityBoundingSet=CAP_CHOWN CAP_KILL CAP_SETGID CAP_SETPCAP CAP_SETUID" in lines


def test_words_are_quoted_as_systemd_reads_them(cli: Cli) -> None:
    """Blanks, percent and dollar signs of a path stay what they are."""
    said = cli("systemd-unit", "--state-dir", "/srv/a b%c$d").stdout
    (start,) = [line for line in said.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith('--state-dir "/srv/a b%%c$$d"')


def test_event_handlers(cli: Cli) -> None:
    """Their file is named to keystored, from wherever it was said."""
    said = cli("systemd-unit", "--event-handlers", "/etc/vmm-keystore/../handlers.toml").stdout
    (start,) = [line for line in said.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith(" --event-handlers /etc/vmm-keystore/../handlers.toml")

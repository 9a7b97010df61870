# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore metrics``: what guests really did, in the format that Prometheus reads, bounded whatever a guest asks."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from framework.event_program import EventProgram
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import ring_guest
from prometheus_client.parser import text_string_to_metric_families
from qemu_images.prometheus import promtool
from workers.test_deaths import worker_pid

from vmm_keystore._vks import lib
from vmm_keystore.cli.alert_rules import RULES

README = Path(__file__).resolve().parents[2] / "README.md"


def figures(vault: Keystored) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    text = vault.cli("metrics").stdout
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_operations_are_counted(vault: Keystored) -> None:
    """By guest, key, operation and status; the same numbers as the audit report's."""
    socket = vault.add_guest("web1")
    vault.api.generate("tls", "ed25519")
    vault.api.grant("web1", "tls", ["sign"])
    with ring_guest(socket) as guest:
        key_id = guest.key_id("tls")
        for _ in range(7):
            assert guest.sign(key_id, b"message").status == lib.VKS_STATUS_OK
        for _ in range(3):
            assert guest.ask(lib.VKS_OP_VERIFY, key_id, b"m", parameter=bytes(64)).status == lib.VKS_STATUS_DENIED
        signed = ("vmm_keystore_operations_total", "web1", "tls", "sign", "ok")
        denied = ("vmm_keystore_operations_total", "web1", "tls", "verify", "denied")
        wait_for(lambda: figures(vault).get(denied) == 3 and figures(vault).get(signed) == 7)
        found = figures(vault)
    assert found["vmm_keystore_input_bytes_total", "web1", "tls", "sign", "ok"] == 7 * len(b"message")
    report = {(row["op"]): row for row in vault.facts("audit", "report", "--by", "op")}
    assert report["sign"]["operations"] == 7
    assert found["vmm_keystore_worker_up", "web1"] == found["vmm_keystore_worker_keys_hidden", "web1"] == 1
    assert found["vmm_keystore_front_end_connected", "web1"] == 1
    assert found["vmm_keystore_requests_in_flight", "web1"] == found["vmm_keystore_audit_records_waiting", "web1"] == 0
    assert found["vmm_keystore_custodian_up",] == 1
    assert found["vmm_keystore_audit_problem",] == 0


def test_a_guest_cannot_make_series_up(vault: Keystored) -> None:
    """Keys that do not exist and operations without a name share one each."""
    socket = vault.add_guest("web1")
    with ring_guest(socket) as guest:
        for number in range(50):
            guest.vault.request(lib.VKS_OP_SIGN, key_id=os.urandom(16), data=b"m", output_bytes=64)
            guest.vault.request(100 + number, key_id=os.urandom(16), data=b"m", output_bytes=64)
        of_guest = ("vmm_keystore_operations_total", "web1")

        def series() -> dict[tuple[str, ...], float]:
            return {key: value for key, value in figures(vault).items() if key[:2] == of_guest}

        wait_for(lambda: sum(series().values()) == 100)
        assert {key[2:] for key in series()} == {("", "sign", "no-key"), ("", "other", "unsupported")}


def test_deaths_are_counted(vault: Keystored) -> None:
    """And what a dead keystored had not stored is counted by the next one."""
    socket = vault.add_guest("web1")
    vault.api.generate("tls", "ed25519")
    vault.api.grant("web1", "tls", ["sign"])
    with ring_guest(socket) as guest:
        key_id = guest.key_id("tls")
        os.kill(worker_pid(vault, "web1"), signal.SIGKILL)
        assert guest.sign(key_id, b"m").status == lib.VKS_STATUS_OK
        wait_for(lambda: figures(vault)["vmm_keystore_workers_replaced_total", "web1"] == 1)
        vault.kill()
        for _ in range(5):
            guest.sign(key_id, b"m")
        vault.start()
        signed = ("vmm_keystore_operations_total", "web1", "tls", "sign", "ok")
        wait_for(lambda: figures(vault).get(signed, 0) >= 5)


def test_top_shows_what_a_guest_does(vault: Keystored) -> None:
    """While it does: operations and bytes of the same interval."""
    socket = vault.add_guest("web1")
    vault.api.generate("tls", "ed25519")
    vault.api.grant("web1", "tls", ["sign"])
    ended = threading.Event()

    def work() -> None:
        with ring_guest(socket) as guest:
            key_id = guest.key_id("tls")
            while not ended.is_set():
                guest.sign(key_id, b"message")

    worker = threading.Thread(target=work)
    worker.start()
    try:

        def signs() -> list[dict[str, Any]]:
            line = vault.facts("top", "--count", "1", "--interval", "0.3")
            return [use for use in line["uses"] if use["op"] == "sign"]

        (use,) = wait_for(signs)
    finally:
        ended.set()
        worker.join()
    assert (use["guest"], use["key"], use["refused_per_s"]) == ("web1", "tls", 0)
    assert 0 < use["p50_us"] <= use["p99_us"]
    assert use["bytes_per_s"] == pytest.approx(use["operations_per_s"] * len(b"message"), abs=len(b"message"))


def test_grants_with_bounds(vault: Keystored) -> None:
    """What is used of what is allowed, in all, of guests and of those of a role; when a grant ends."""
    socket = vault.add_guest("web1")
    vault.add_guest("web2")
    for label in ("tls", "ssh", "free"):
        vault.api.generate(label, "ed25519")
    vault.cli("role", "add", "web")
    vault.cli("role", "assign", "web", "web1", "web2")
    vault.cli("grant", "add", "@web", "tls", "--ops", "sign", "--max-ops", "100")
    vault.cli(
        "grant", "add", "web1", "ssh", "--ops", "sign", "--max-rate", "1000", "--not-after", "2100-01-01T00:00:00Z"
    )
    vault.cli("grant", "add", "web1", "free", "--ops", "sign")
    with ring_guest(socket) as guest:
        for label in ("tls", "ssh", "free"):
            for _ in range(3):
                assert guest.sign(guest.key_id(label), b"m").status == lib.VKS_STATUS_OK
        found = {key: value for key, value in figures(vault).items() if key[0].startswith("vmm_keystore_grant_")}
    assert found == {
        ("vmm_keystore_grant_operations_max", "web1", "tls"): 100,
        ("vmm_keystore_grant_operations_used", "web1", "tls"): 3,
        ("vmm_keystore_grant_operations_max", "web2", "tls"): 100,
        ("vmm_keystore_grant_operations_used", "web2", "tls"): 0,
        ("vmm_keystore_grant_not_after_seconds", "web1", "ssh"): 4102444800,
    }


OF_A_TOKEN = {"vmm_keystore_token_up"}
"""Only where a key lies in one: ``test_token_keys.py``."""


def test_alert_rules_and_promtool() -> None:
    """Rules name nothing that there is not, and Prometheus' own check has nothing to say about the figures."""
    with EventProgram() as program, Keystored(arguments=program.arguments) as vault:
        check_rules_and_figures(vault)


def check_rules_and_figures(vault: Keystored) -> None:
    socket = vault.add_guest("web1")
    vault.api.generate("tls", "ed25519")
    until = "2100-01-01T00:00:00Z"
    vault.cli("grant", "add", "web1", "tls", "--ops", "sign", "--max-ops", "9", "--not-after", until)
    chain = vault.folder / "chain.pem"
    chain.write_text(vault.cli("key", "self-sign", "tls", "--subject", "CN=web", "--days", "30").stdout)
    vault.cli("key", "certificate", "set", "tls", chain)
    with ring_guest(socket) as guest:
        guest.sign(bytes(16), b"m")
        wait_for(lambda: any(name == "vmm_keystore_operations_total" for name, *_ in figures(vault)))
        text = vault.cli("metrics").stdout
    named = set(re.findall(r"\bvmm_keystore_\w+", RULES))
    assert named - OF_A_TOKEN <= {name for name, *_ in figures(vault)}
    check_readme({family.name for family in text_string_to_metric_families(text)})
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def check_readme(families: set[str]) -> None:
    """Every family has its place in the README's table, and nothing else has."""
    table = README.read_text().partition("**Metrics.**")[2].partition("\n\n`key` is empty")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {f"vmm_keystore_{name.removesuffix('_total')}" for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == families | OF_A_TOKEN


def test_as_json(vault: Keystored) -> None:
    """The same samples."""
    vault.add_guest("web1")
    facts: list[dict[str, Any]] = vault.facts("metrics")
    assert {"name": "vmm_keystore_worker_up", "labels": {"guest": "web1"}, "value": 0.0} in facts
    assert {sample["name"] for sample in facts} <= {key[0] for key in figures(vault)}

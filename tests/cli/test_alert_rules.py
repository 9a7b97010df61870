# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore alert-rules``: each rule speaks when it should, and only then, by Prometheus' own evaluation."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli.conftest import Cli
from qemu_images.prometheus import promtool

WEB1 = {"guest": "web1"}
WEB1_TLS = WEB1 | {"key": "tls"}
OF_WEB1 = '{guest="web1"}'
DENIED = 'vmm_keystore_operations_total{guest="web1",key="tls",op="sign",status="denied"}'
FAILED = 'vmm_keystore_operations_total{guest="web1",key="tls",op="sign",status="auth-failed"}'
LIMIT = 'vmm_keystore_operations_total{guest="web1",key="tls",op="sign",status="limit"}'
USED = 'vmm_keystore_grant_operations_used{guest="web1",key="tls"}'
MAX = 'vmm_keystore_grant_operations_max{guest="web1",key="tls"}'
NOT_AFTER = "vmm_keystore_grant_not_after_seconds"
CERTIFICATE = "vmm_keystore_key_certificate_not_after_seconds"
READ_AT_S = 12 * 60


@dataclass(frozen=True)
class Case:
    """Series that raise an alert after twelve minutes, series that do not, and what somebody reads."""

    alert: str
    loud: dict[str, str]
    quiet: dict[str, str]
    severity: str
    summary: str
    labels: dict[str, str] = field(default_factory=dict)


def duration(key: str, buckets: dict[str, int]) -> dict[str, str]:
    """So many requests with a key a minute, by how long they took at most."""
    name = "vmm_keystore_request_duration_seconds_bucket"
    return {
        f'{name}{{guest="web1",key="{key}",op="sign",le="{bound}"}}': f"0+{count}x20"
        for bound, count in buckets.items()
    }


CASES = [
    Case(
        "KeystoreGone",
        {"vmm_keystore_uptime_seconds": "0+60x2"},
        {"vmm_keystore_uptime_seconds": "0+60x20"},
        "critical",
        "keystored gives no figures",
    ),
    Case(
        "KeystoreGone",
        # What a file says that nobody writes any more.
        {"vmm_keystore_uptime_seconds": "60x20"},
        {"vmm_keystore_uptime_seconds": "60x4 60+60x20"},
        "critical",
        "keystored gives no figures",
    ),
    Case(
        "KeystoreRestartsOften",
        {"vmm_keystore_uptime_seconds": "60 0 60 0 60 0+60x20"},
        {"vmm_keystore_uptime_seconds": "60 0 60 0+60x20"},
        "warning",
        "keystored started 3 times anew within 30 minutes",
    ),
    Case(
        "KeystoreAuditStuck",
        {"vmm_keystore_audit_problem": "0x9 1x10"},
        {"vmm_keystore_audit_problem": "1x5 0x20"},
        "critical",
        "audit lines cannot be stored",
    ),
    Case(
        "KeystoreAuditRingFills",
        {f"vmm_keystore_audit_records_waiting{OF_WEB1}": "5000x20"},
        {f"vmm_keystore_audit_records_waiting{OF_WEB1}": "4096x20"},
        "critical",
        "5000 audit records of guest web1 wait to be stored",
        WEB1,
    ),
    Case(
        "KeystoreAuditUnsigned",
        {"vmm_keystore_audit_upkeep_problem": "1x20"},
        {"vmm_keystore_audit_upkeep_problem": "0x4 1x20"},
        "warning",
        "the audit log cannot be signed",
    ),
    Case(
        "KeystoreCustodianDown",
        {"vmm_keystore_custodian_up": "1x5 0x20"},
        {"vmm_keystore_custodian_up": "0x5 1x20"},
        "critical",
        "keys can be neither made nor loaded",
    ),
    Case(
        "KeystoreTokenDown",
        {"vmm_keystore_token_up": "1x8 0x12"},
        # Where there is no token, or no key in it, there is no such series.
        {"vmm_keystore_token_up": "0x9 1x12", "vmm_keystore_custodian_up": "1x20"},
        "critical",
        "the keys of the PKCS#11 token cannot be used",
    ),
    Case(
        "KeystoreWorkerDown",
        {f"vmm_keystore_worker_up{OF_WEB1}": "1x5 0x20", f"vmm_keystore_front_end_connected{OF_WEB1}": "1x25"},
        {f"vmm_keystore_worker_up{OF_WEB1}": "0x25", f"vmm_keystore_front_end_connected{OF_WEB1}": "0x25"},
        "critical",
        "guest web1 has no worker",
        WEB1,
    ),
    Case(
        "KeystoreWorkersDie",
        {f"vmm_keystore_workers_replaced_total{OF_WEB1}": "0+1x20"},
        {f"vmm_keystore_workers_replaced_total{OF_WEB1}": "0 1x20"},
        "warning",
        "workers of guest web1 die again and again",
        WEB1,
    ),
    Case(
        "KeystoreRequestSetAside",
        {f"vmm_keystore_requests_set_aside_total{OF_WEB1}": "0x5 1x20"},
        {f"vmm_keystore_requests_set_aside_total{OF_WEB1}": "1x20"},
        "warning",
        "two workers of guest web1 died over one request",
        WEB1,
    ),
    Case(
        "KeystoreGuestProblem",
        {f"vmm_keystore_worker_problem{OF_WEB1}": "1x20"},
        {f"vmm_keystore_worker_problem{OF_WEB1}": "0x9 1x20"},
        "warning",
        "there is something to look at with guest web1",
        WEB1,
    ),
    Case(
        "KeystoreKeysReadable",
        {f"vmm_keystore_worker_keys_hidden{OF_WEB1}": "0x20", f"vmm_keystore_worker_up{OF_WEB1}": "1x20"},
        # Without a worker there are no keys to read.
        {f"vmm_keystore_worker_keys_hidden{OF_WEB1}": "0x20", f"vmm_keystore_worker_up{OF_WEB1}": "0x20"},
        "warning",
        "root of the host can read the keys of guest web1 in memory",
        WEB1,
    ),
    Case(
        "KeystoreRefusals",
        {DENIED: "0+120x20"},
        # Somebody's wrong signature is no refusal of ours.
        {DENIED: "0+12x20", FAILED: "0+6000x20"},
        "warning",
        "guest web1 is refused 2 operations a second",
        WEB1,
    ),
    Case(
        "KeystoreLimitReached",
        {LIMIT: "0x9 5x10"},
        {LIMIT: "5x20"},
        "warning",
        "guest web1 has reached a limit of its grant for tls",
        WEB1_TLS,
    ),
    Case(
        "KeystoreSlow",
        # Those of several keys together: a hundred a minute, of which two take longer than half a second.
        duration("tls", {"0.2": 50, "0.5": 50, "1.0": 50, "+Inf": 50})
        | duration("old", {"0.2": 0, "0.5": 48, "1.0": 50, "+Inf": 50}),
        # Few of these are slow; of one key alone they would be many.
        duration("tls", {"0.2": 990, "0.5": 990, "1.0": 990, "+Inf": 990})
        | duration("old", {"0.2": 0, "0.5": 2, "1.0": 10, "+Inf": 10}),
        "warning",
        "one in a hundred requests of guest web1 takes longer than 750ms",
        WEB1,
    ),
    Case(
        "KeystoreBudgetLow",
        {USED: "900x9 901x20", MAX: "1000x20"},
        {USED: "900x20", MAX: "1000x20"},
        "warning",
        "guest web1 has used 90.1% of its operations with tls",
        WEB1_TLS,
    ),
    Case(
        "KeystoreGrantEnds",
        {f'{NOT_AFTER}{{holder="@web",key="tls"}}': f"{READ_AT_S + 3600}x20"},
        {
            f'{NOT_AFTER}{{holder="@web",key="ended"}}': f"{READ_AT_S - 1}x20",
            f'{NOT_AFTER}{{holder="@web",key="far"}}': f"{READ_AT_S + 7 * 86400}x20",
        },
        "warning",
        "the grant of tls to @web ends in 1h 0m 0s",
        {"holder": "@web", "key": "tls"},
    ),
    Case(
        "KeystoreEventsDead",
        {'vmm_keystore_events_dead{handler="pager"}': "0x9 3x10"},
        {'vmm_keystore_events_dead{handler="pager"}': "3x5 0x20"},
        "warning",
        "event handler pager did not take 3 events",
        {"handler": "pager"},
    ),
    Case(
        "KeystoreCertificateEnds",
        {f'{CERTIFICATE}{{key="tls",version="2"}}': f"{READ_AT_S + 14 * 86400 - 1}x20"},
        {f'{CERTIFICATE}{{key="tls",version="2"}}': f"{READ_AT_S + 14 * 86400}x20"},
        "warning",
        "the certificate of key tls version 2 ends within 14 days, or has ended",
        {"key": "tls", "version": "2"},
    ),
    Case(
        "KeystoreCertificateEnds",
        {f'{CERTIFICATE}{{key="tls",version="2"}}': f"{READ_AT_S - 86400}x20"},
        {},
        "warning",
        "the certificate of key tls version 2 ends within 14 days, or has ended",
        {"key": "tls", "version": "2"},
    ),
]


@pytest.fixture
def rules(cli: Cli, tmp_path: Path) -> Path:
    """The rules, as somebody would install them."""
    path = tmp_path / "vmm-keystore.rules.yml"
    path.write_text(cli("alert-rules").stdout)
    return path


def evaluate(rules: Path, case: Case, series: dict[str, str], *, loud: bool) -> subprocess.CompletedProcess[str]:
    """Let promtool compare what the rules say of *series* with what *case* expects."""
    expected: list[dict[str, Any]] = []
    if loud:
        (rule,) = [rule for rule in rules_of(rules) if rule["alert"] == case.alert]
        description = rule["annotations"]["description"]
        for name, value in case.labels.items():
            description = description.replace(f"{{{{ $labels.{name} }}}}", value)
        labels = {"severity": case.severity, **case.labels}
        expected = [{"exp_labels": labels, "exp_annotations": {"summary": case.summary, "description": description}}]
    test = {
        "rule_files": [rules.name],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [{"eval_time": f"{READ_AT_S}s", "alertname": case.alert, "exp_alerts": expected}],
            }
        ],
    }
    path = rules.with_name("test.yml")
    path.write_text(json.dumps(test))  # JSON is YAML
    return subprocess.run([promtool(), "test", "rules", path], capture_output=True, text=True, check=False)


def rules_of(path: Path) -> list[dict[str, Any]]:
    """The rules of a file."""
    (group,) = yaml.safe_load(path.read_text())["groups"]
    return list(group["rules"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_speaks_when_it_should(rules: Path, case: Case) -> None:
    """With the text that somebody reads at night."""
    done = evaluate(rules, case, case.loud, loud=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_is_silent_otherwise(rules: Path, case: Case) -> None:
    """On the other side of its bound."""
    done = evaluate(rules, case, case.quiet, loud=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tried_and_tells_what_to_do(rules: Path) -> None:
    """No rule without a case; texts are whole sentences, without holes that nothing fills."""
    assert [rule["alert"] for rule in rules_of(rules)] == list(dict.fromkeys(case.alert for case in CASES))
    for rule in rules_of(rules):
        assert rule["annotations"]["description"].endswith(".")
        holes = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert holes <= {"guest", "key", "holder", "handler", "version"}


def test_promtool_finds_nothing_wrong(rules: Path) -> None:
    done = subprocess.run([promtool(), "check", "rules", rules], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

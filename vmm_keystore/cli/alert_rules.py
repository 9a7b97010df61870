# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore alert-rules``: what Prometheus should tell somebody about, as a rule file."""

from __future__ import annotations

import typer

app = typer.Typer()

RULES = """\
# Alert rules for vmm-keystore; every series is one of "vmm-keystore metrics".
# critical: guests wait, or soon will. warning: somebody should look within the day.
groups:
  - name: vmm-keystore
    rules:
      - alert: KeystoreGone
        # The second part is a text file that is not written any more.
        expr: absent(vmm_keystore_uptime_seconds) or changes(vmm_keystore_uptime_seconds[5m]) == 0
        for: 3m
        labels: {severity: critical}
        annotations:
          summary: keystored gives no figures
          description: Guests work on without it, but nothing can be revoked. Look at "systemctl status vmm-keystore".

      - alert: KeystoreRestartsOften
        expr: resets(vmm_keystore_uptime_seconds[30m]) > 2
        labels: {severity: warning}
        annotations:
          summary: keystored started {{ $value }} times anew within 30 minutes
          description: Its log says why.

      - alert: KeystoreAuditStuck
        expr: vmm_keystore_audit_problem == 1
        for: 1m
        labels: {severity: critical}
        annotations:
          summary: audit lines cannot be stored
          description: Operations wait until they can. "vmm-keystore status" says the reason, often a full disk.

      - alert: KeystoreAuditRingFills
        expr: vmm_keystore_audit_records_waiting > 4096
        for: 1m
        labels: {severity: critical}
        annotations:
          summary: "{{ $value }} audit records of guest {{ $labels.guest }} wait to be stored"
          description: Its operations wait from 8192 on. The disk is slow or full, or the guest floods.

      - alert: KeystoreAuditUnsigned
        expr: vmm_keystore_audit_upkeep_problem == 1
        for: 10m
        labels: {severity: warning}
        annotations:
          summary: the audit log cannot be signed
          description: >-
            "vmm-keystore status" says the reason.

      - alert: KeystoreCustodianDown
        expr: vmm_keystore_custodian_up == 0
        for: 1m
        labels: {severity: critical}
        annotations:
          summary: keys can be neither made nor loaded
          description: Guests that have their keys work on; no worker can be replaced. Look at "vmm-keystore status".

      - alert: KeystoreTokenDown
        expr: vmm_keystore_token_up == 0
        for: 1m
        labels: {severity: critical}
        annotations:
          summary: the keys of the PKCS#11 token cannot be used
          description: Guests with such keys are told so, all others work on. "vmm-keystore status" says the reason.

      - alert: KeystoreWorkerDown
        expr: vmm_keystore_worker_up == 0 and vmm_keystore_front_end_connected == 1
        for: 1m
        labels: {severity: critical}
        annotations:
          summary: guest {{ $labels.guest }} has no worker
          description: Its requests wait. "vmm-keystore guest show {{ $labels.guest }}" says the reason.

      - alert: KeystoreWorkersDie
        expr: increase(vmm_keystore_workers_replaced_total[15m]) > 3
        labels: {severity: warning}
        annotations:
          summary: workers of guest {{ $labels.guest }} die again and again
          description: Its requests are answered, but something brings workers down. Look at keystored's log.

      - alert: KeystoreRequestSetAside
        expr: increase(vmm_keystore_requests_set_aside_total[1h]) > 0
        labels: {severity: warning}
        annotations:
          summary: two workers of guest {{ $labels.guest }} died over one request
          description: A fault of ours or an attack by the guest. The audit log names the request.

      - alert: KeystoreGuestProblem
        expr: vmm_keystore_worker_problem == 1
        for: 5m
        labels: {severity: warning}
        annotations:
          summary: there is something to look at with guest {{ $labels.guest }}
          description: >-
            "vmm-keystore guest show {{ $labels.guest }}" says what.

      - alert: KeystoreKeysReadable
        expr: vmm_keystore_worker_keys_hidden == 0 and vmm_keystore_worker_up == 1
        for: 1m
        labels: {severity: warning}
        annotations:
          summary: root of the host can read the keys of guest {{ $labels.guest }} in memory
          description: >-
            "vmm-keystore doctor" says what this host lacks.

      - alert: KeystoreRefusals
        expr: sum by (guest) (rate(vmm_keystore_operations_total{status=~"denied|no-key|key-state"}[5m])) > 1
        for: 5m
        labels: {severity: warning}
        annotations:
          summary: guest {{ $labels.guest }} is refused {{ $value | humanize }} operations a second
          description: A grant is missing, or somebody in the guest tries keys. See "vmm-keystore audit report".

      - alert: KeystoreLimitReached
        expr: sum by (guest, key) (increase(vmm_keystore_operations_total{status="limit"}[5m])) > 0
        labels: {severity: warning}
        annotations:
          summary: guest {{ $labels.guest }} has reached a limit of its grant for {{ $labels.key }}
          description: >-
            "vmm-keystore grant explain" says which one: the operations it may do in all are used up, or it does more a
            second than it may.

      - alert: KeystoreSlow
        expr: >-
          histogram_quantile(0.99, sum by (guest, le) (rate(vmm_keystore_request_duration_seconds_bucket[5m]))) > 0.5
        for: 5m
        labels: {severity: warning}
        annotations:
          summary: one in a hundred requests of guest {{ $labels.guest }} takes longer than {{ $value | humanizeDuration }}
          description: >-
            It asks for more slow operations (RSA, large inputs) than its worker can do, the host is short of processor
            time, or its worker died. "vmm-keystore top" says which keys.

      - alert: KeystoreBudgetLow
        expr: vmm_keystore_grant_operations_used / vmm_keystore_grant_operations_max > 0.9
        labels: {severity: warning}
        annotations:
          summary: guest {{ $labels.guest }} has used {{ $value | humanizePercentage }} of its operations with {{ $labels.key }}
          description: After the last one every further operation is refused. Grant the key anew to give it more.

      - alert: KeystoreGrantEnds
        expr: (vmm_keystore_grant_not_after_seconds - time() < 7 * 86400) > 0
        labels: {severity: warning}
        annotations:
          summary: the grant of {{ $labels.key }} to {{ $labels.holder }} ends in {{ $value | humanizeDuration }}
          description: Operations are refused from then on. Grant the key anew to go on.

      - alert: KeystoreEventsDead
        expr: vmm_keystore_events_dead > 0
        labels: {severity: warning}
        annotations:
          summary: event handler {{ $labels.handler }} did not take {{ $value }} events
          description: >-
            "vmm-keystore events list --state dead" says why; "vmm-keystore events retry --all" has them tried anew.

      - alert: KeystoreCertificateEnds
        # Also when it has ended: whoever is shown it refuses it then.
        expr: vmm_keystore_key_certificate_not_after_seconds - time() < 14 * 86400
        labels: {severity: warning}
        annotations:
          summary: the certificate of key {{ $labels.key }} version {{ $labels.version }} ends within 14 days, or has ended
          description: Get another one with "vmm-keystore key csr {{ $labels.key }}", and attach it with "key certificate set".
"""


@app.command("alert-rules")
def alert_rules() -> None:
    """Print alert rules for Prometheus.

    vmm-keystore alert-rules >/etc/prometheus/vmm-keystore.rules.yml, and name that file under rule_files.
    """
    print(RULES, end="")

# SPDX-License-Identifier: Apache-2.0
"""The daemon's figures in Prometheus' text format (OpenMetrics is not asked for)."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from vmm_keystore.control.histogram_text import histogram_text
from vmm_keystore.errors import CustodianError
from vmm_keystore.service.guest_values import WorkerStatus
from vmm_keystore.service.keystore import Keystore
from vmm_keystore.store.events import DeliveryState

PREFIX = "vmm_keystore_"
HIDDEN = "memfd-secret"
DURATION = "request_duration_seconds"
DURATION_TEXT = "From taking a request from the ring to its answer, by the guest's worker; kept while the host runs."


class KeystoreCollector(Collector):
    """Everything but latencies, read when it is asked for."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        yield from self._uses()
        yield from self._grants()
        yield from self._certificates()
        yield from self._guests()
        yield from self._events()
        yield from self._daemon()

    def _uses(self) -> Iterator[Metric]:
        labels = ["guest", "key", "op", "status"]
        operations = CounterMetricFamily(
            PREFIX + "operations",
            "Operations on record since the daemon started; a redone one counts again.",
            labels=labels,
        )
        sizes = CounterMetricFamily(PREFIX + "input_bytes", "Input of these operations.", labels=labels)
        for use, requests, input_bytes in self._keystore.uses.totals():
            operations.add_metric(list(use), requests)
            sizes.add_metric(list(use), input_bytes)
        yield operations
        yield sizes

    def _grants(self) -> Iterator[Metric]:
        labels = ["guest", "key"]
        most = GaugeMetricFamily(
            PREFIX + "grant_operations_max", "Operations that a guest's grant allows in all.", labels=labels
        )
        used = GaugeMetricFamily(
            PREFIX + "grant_operations_used", "Those of them that count as used, over the grant's life.", labels=labels
        )
        for use in self._keystore.grants.bounded():
            most.add_metric([use.guest, use.key], use.ops_max)
            used.add_metric([use.guest, use.key], use.ops_used)
        ends = GaugeMetricFamily(
            PREFIX + "grant_not_after_seconds", "When a grant ends, since 1970.", labels=["holder", "key"]
        )
        for grant in self._keystore.grants.ending():
            ends.add_metric([grant.holder, grant.key], grant.permission.not_after_s)
        yield most
        yield used
        yield ends

    def _certificates(self) -> Iterator[Metric]:
        ends = GaugeMetricFamily(
            PREFIX + "key_certificate_not_after_seconds",
            "When the certificate of a key version that signs ends, since 1970.",
            labels=["key", "version"],
        )
        for label, version, not_after_s in self._keystore.certificates.ends():
            ends.add_metric([label, str(version)], not_after_s)
        yield ends

    def _guests(self) -> Iterator[Metric]:
        guests = [(view.guest.name, view.worker) for view in self._keystore.guests.list()]

        def gauge(name: str, text: str, holds: Callable[[WorkerStatus], float]) -> Metric:
            family = GaugeMetricFamily(PREFIX + name, text, labels=["guest"])
            for guest, worker in guests:
                family.add_metric([guest], float(holds(worker)))
            return family

        yield gauge(
            "worker_up",
            "Whether the guest has a worker; the first is made for its first front-end.",
            lambda w: w.pid is not None,
        )
        text = "Whether the guest's virtual machine is connected."
        yield gauge("front_end_connected", text, lambda w: w.front_end_pid is not None)
        text = "Whether its keys are in memory that root cannot read."
        yield gauge("worker_keys_hidden", text, lambda w: w.secret_memory == HIDDEN)
        text = "Whether there is something to look at in: guest show."
        yield gauge("worker_problem", text, lambda w: bool(w.problem))
        text = "Requests taken from the ring and not answered yet."
        yield gauge("requests_in_flight", text, lambda w: w.in_flight)
        text = "Audit records committed and not stored yet, of 8192 at most; then requests wait."
        yield gauge("audit_records_waiting", text, lambda w: w.records_waiting)
        replaced = CounterMetricFamily(
            PREFIX + "workers_replaced", "Workers that died and were replaced.", labels=["guest"]
        )
        aside = CounterMetricFamily(
            PREFIX + "requests_set_aside", "Requests that two workers died over.", labels=["guest"]
        )
        filled = CounterMetricFamily(
            PREFIX + "worker_keys_filled",
            "Keys brought to the guest's worker when a request waited for them, since it serves.",
            labels=["guest"],
        )
        for name, worker in guests:
            filled.add_metric([name], worker.keys_filled_count)
            replaced.add_metric([name], worker.replaced_count)
            aside.add_metric([name], worker.set_aside_count)
        yield replaced
        yield aside
        yield filled

    def _events(self) -> Iterator[Metric]:
        labels = ["handler"]
        pending = GaugeMetricFamily(PREFIX + "events_pending", "Events that wait to be delivered.", labels=labels)
        dead = GaugeMetricFamily(
            PREFIX + "events_dead", "Events that a handler did not take; see: events list --state dead.", labels=labels
        )
        delivered = CounterMetricFamily(
            PREFIX + "events_delivered", "Events that a handler took, since the daemon started.", labels=labels
        )
        failed = CounterMetricFamily(
            PREFIX + "event_attempts_failed", "Attempts to deliver that failed, since then.", labels=labels
        )
        refused = CounterMetricFamily(
            PREFIX + "events_refused", "Findings that met a full outbox, and wait, since then.", labels=[]
        )
        events = self._keystore.events
        counts, attempts = events.counts(), events.attempts()
        for name in sorted({handler for handler, _state in counts} | attempts.keys()):
            pending.add_metric([name], counts.get((name, DeliveryState.PENDING), 0))
            dead.add_metric([name], counts.get((name, DeliveryState.DEAD), 0))
        for name, (taken, failures) in sorted(attempts.items()):
            delivered.add_metric([name], taken)
            failed.add_metric([name], failures)
        refused.add_metric([], events.refused_count)
        yield from (pending, dead, delivered, failed, refused)

    def _daemon(self) -> Iterator[Metric]:
        status = self._keystore.status()
        well = not isinstance(status.custodian, CustodianError) and status.custodian.root_open
        figures: list[tuple[str, str, float]] = [
            ("uptime_seconds", "Since the daemon started.", status.uptime_s),
            ("keys", "Keys in the store, destroyed ones too.", status.keys),
            ("grants", "Grants.", status.grants),
            ("guests", "Guests.", status.guests),
            ("custodian_up", "Whether keys can be made and loaded.", well),
            ("audit_lines", "Number of the newest line of the audit log.", status.audit.last_seq),
            ("audit_signed_lines", "Number of the newest line under a signed checkpoint.", status.audit.signed_seq),
            ("audit_problem", "Whether lines cannot be stored: operations wait then.", bool(status.audit.problem)),
            ("audit_upkeep_problem", "Whether the log cannot be signed.", bool(status.audit.upkeep_problem)),
        ]
        if status.token is not None and status.token.was_asked:
            text = "Whether the keys of the PKCS#11 token can be used; from the first one on that lies there."
            figures.append(("token_up", text, status.token.token is not None))
        for name, text, value in figures:
            yield GaugeMetricFamily(PREFIX + name, text, value=float(value))


def metrics_text(keystore: Keystore) -> bytes:
    """Everything as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(KeystoreCollector(keystore))
    latencies = histogram_text(PREFIX + DURATION, DURATION_TEXT, keystore.latencies.histograms())
    return generate_latest(registry) + latencies

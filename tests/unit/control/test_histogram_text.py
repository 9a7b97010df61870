# SPDX-License-Identifier: Apache-2.0
"""Histograms as text say to a reader what the library's own text says."""

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from vmm_keystore.control.histogram_text import histogram_text
from vmm_keystore.service.latencies import BOUNDS_S, Histogram, Kind

NAME, TEXT = "vmm_keystore_request_duration_seconds", "How long."
HISTOGRAMS = {
    Kind("web1", "tls", "sign"): Histogram(tuple(range(len(BOUNDS_S) + 1)), 1_234_567_891),
    Kind("web1", 'a"b\\c\nd', ""): Histogram((0,) * len(BOUNDS_S) + (1 << 53,), (1 << 63) - 1),
}


class Library(Collector):
    """The same by the library."""

    def collect(self) -> list[Metric]:
        """Give the one family."""
        family = HistogramMetricFamily(NAME, TEXT, labels=list(Kind._fields))
        for kind, histogram in HISTOGRAMS.items():
            bounds = [*map(str, BOUNDS_S), "+Inf"]
            family.add_metric(list(kind), list(zip(bounds, histogram.counts, strict=True)), histogram.sum_ns / 1e9)
        return [family]


def samples(text: bytes) -> list[tuple[str, dict[str, str], float]]:
    (family,) = text_string_to_metric_families(text.decode())
    assert (family.name, family.type, family.documentation) == (NAME, "histogram", TEXT)
    numbers = [sample.labels | {"le": str(float(sample.labels.get("le", "nan")))} for sample in family.samples]
    return [(sample.name, labels, sample.value) for sample, labels in zip(family.samples, numbers, strict=True)]


def sort_key(sample: tuple[str, dict[str, str], float]) -> str:
    return repr(sample)


def test_as_the_library_says_it() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Library())
    ours, theirs = samples(histogram_text(NAME, TEXT, HISTOGRAMS)), samples(generate_latest(registry))
    assert sorted(ours, key=sort_key) == sorted(theirs, key=sort_key)


def test_of_nothing() -> None:
    """A family without samples, which is one all the same."""
    assert samples(histogram_text(NAME, TEXT, {})) == []

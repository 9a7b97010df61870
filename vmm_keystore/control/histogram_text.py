# SPDX-License-Identifier: Apache-2.0
"""A histogram family in Prometheus' text format, twenty times as fast as the library: there may be 44000 samples."""

from collections.abc import Iterator, Mapping

from vmm_keystore.service.latencies import BOUNDS_S, Histogram, Kind

_BOUNDS = (*(format(bound, ".6g") for bound in BOUNDS_S), "+Inf")


def histogram_text(name: str, documentation: str, histograms: Mapping[Kind, Histogram]) -> bytes:
    """Everything of the family *name*."""
    lines = [f"# HELP {name} {documentation}", f"# TYPE {name} histogram"]
    for kind, histogram in histograms.items():
        lines += _lines(name, kind, histogram)
    return "".join(f"{line}\n" for line in lines).encode()


def _lines(name: str, kind: Kind, histogram: Histogram) -> Iterator[str]:
    labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in kind._asdict().items())
    start = f'{name}_bucket{{{labels},le="'
    for bound, count in zip(_BOUNDS, histogram.counts, strict=True):
        yield f'{start}{bound}"}} {count}'
    yield f"{name}_sum{{{labels}}} {histogram.sum_ns / 1e9}"
    yield f"{name}_count{{{labels}}} {histogram.counts[-1]}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore metrics``: the figures that Prometheus reads, for a collector of text files or to look at."""

from __future__ import annotations

import typer

from vmm_keystore.cli.output import show_json
from vmm_keystore.cli.session import Session, command

app = typer.Typer()


@command(app, "metrics")
def metrics(session: Session) -> None:
    """Print the daemon's figures in Prometheus' text format.

    Into a file of node_exporter's textfile collector: vmm-keystore metrics >keystore.prom.new && mv keystore.prom.new
    keystore.prom
    """
    text = session.keystored.get_text("metrics")
    if not session.as_json:
        print(text, end="")
        return
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415  # for this form only

    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    show_json([{"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in samples])

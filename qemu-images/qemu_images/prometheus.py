# SPDX-License-Identifier: Apache-2.0
"""Prometheus' promtool, from an unpacked tree: the package would start a server where it is installed."""

from pathlib import Path

from qemu_images.packages import unpack

LEAVE_OUT = ("./etc/*", "./usr/bin/prometheus", "./usr/share/*", "./var/*")


def promtool() -> Path:
    """The program that checks rules and metrics."""
    return unpack("prometheus", LEAVE_OUT)[0] / "usr/bin/promtool"

# SPDX-License-Identifier: Apache-2.0
"""The options of ``serve`` that say how workers run."""

from __future__ import annotations

import os
import re
from typing import Annotated

import typer

from vmm_keystore.cli.failure import UsageError

POLL_US_MAX = 1000
"""VKS_SNAPSHOT_POLL_US_MAX, and so on: which only the daemon can import."""
POLL_WORKERS_MAX = 64
CPUS_MAX = 1024
RINGS_MAX = 4

PollUs = Annotated[
    int,
    typer.Option(
        "--poll-us",
        metavar="N",
        min=0,
        max=POLL_US_MAX,
        help="Microseconds that a worker looks for the next request before it sleeps: quicker answers for the time "
        "of a processor. 0, the default: it sleeps at once.",
    ),
]
PollWorkers = Annotated[
    int | None,
    typer.Option(
        "--poll-workers",
        metavar="N",
        min=1,
        max=POLL_WORKERS_MAX,
        help="How many workers may look at the same time, on the whole host; others sleep at once. Half of the "
        "processors when not given.",
    ),
]
Accelerators = Annotated[
    bool,
    typer.Option(
        "--accelerators/--no-accelerators",
        help="Use libcrypto_mb and libipsec-mb for what they are faster at, where they are installed and come out "
        "right; or libcrypto alone.",
    ),
]
NoncePool = Annotated[
    bool,
    typer.Option(
        "--nonce-pool",
        help="Make the part of P-256 signatures that needs no message in advance, with libcrypto_mb: a signature that "
        "comes alone is several times as quick. Read SECURITY before.",
    ),
]
Rings = Annotated[
    int,
    typer.Option(
        "--rings",
        metavar="N",
        min=1,
        max=RINGS_MAX,
        help="How many rings a guest may have, where its front-end has several: each has a fast and a slow thread of "
        "its worker. QEMU's own devices have one.",
    ),
]
WorkerCpus = Annotated[
    str,
    typer.Option(
        "--worker-cpus", metavar="LIST", help="Processors that workers may run on, such as 2-5,8; anywhere by default."
    ),
]


def parse_cpus(text: str) -> frozenset[int]:
    """Processors of a list such as ``2-5,8``; none of an empty one.

    Raises:
        UsageError: it is no such list, or names none that keystored may use.
    """
    cpus: set[int] = set()
    for part in filter(None, text.split(",")):
        bounds = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        first, last = (int(bounds[1]), int(bounds[2] or bounds[1])) if bounds else (1, 0)
        if first > last or last >= CPUS_MAX:
            raise UsageError(
                f"--worker-cpus: {part.strip()!r} is no processor or range of them below {CPUS_MAX}",
                "give a list such as 2-5,8",
            )
        cpus.update(range(first, last + 1))
    present = os.sched_getaffinity(0)
    if cpus and not cpus & present:
        raise UsageError(
            f"--worker-cpus {text}: there is none of them", f"keystored may use {', '.join(map(str, sorted(present)))}"
        )
    return frozenset(cpus)

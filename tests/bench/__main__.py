# SPDX-License-Identifier: Apache-2.0
"""``python -m bench``: measure, print the table, write build/bench.json and build/bench-administration.json."""

import argparse
import itertools
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from framework.ring_load import Sample, read_sample, start_program

from bench.administration import GUESTS, KEYS, measure_administration
from bench.operation import OPERATIONS, Cell, cells
from bench.result import Row, make_row, print_table, write_json
from bench.vault_subject import CRYPTO_CPU, VaultSubject, vault_subject

ROUNDS = 5
MILLISECONDS = 150
ADMINISTRATION = "administration"
SPIN_US = 50
"""How long both sides of a polling ring look at it before they sleep."""
JSON = Path(__file__).resolve().parents[2] / "build/bench.json"


def main() -> int:
    """Run everything."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--milliseconds", type=int, default=MILLISECONDS, help="of each figure in each round")
    parser.add_argument("--only", default="", help="operations whose name begins so, or administration")
    parser.add_argument("--json", type=Path, default=JSON, help="where the rows go")
    parser.add_argument("--guests", type=int, default=GUESTS, help="of the administration's figures")
    parser.add_argument("--keys", type=int, default=KEYS, help="of the administration's figures")
    options = parser.parse_args()
    rows: list[Row] = []
    with vault_subject(0) as asleep, vault_subject(SPIN_US) as polling:
        for operation in OPERATIONS:
            if not operation.name.startswith(options.only):
                continue
            for size_bytes in operation.sizes:
                print(f"bench: {operation.name}, {size_bytes} bytes", file=sys.stderr, flush=True)
                wanted = list(cells(operation, size_bytes))
                rows += measure({False: asleep, True: polling}, wanted, options.rounds, options.milliseconds)
    write_json(rows, options.json)
    if rows:
        print_table(rows)
    if ADMINISTRATION.startswith(options.only):
        path = options.json.with_name("bench-administration.json")
        measure_administration(path, guests=options.guests, keys=options.keys)
    return 0


def measure(subjects: dict[bool, VaultSubject], wanted: list[Cell], rounds: int, milliseconds: int) -> list[Row]:
    """Every depth of one operation and size, asleep and polling, in turn with plain libcrypto."""
    operation, size_bytes = wanted[0].operation, wanted[0].size_bytes
    depth_max = max(cell.depth for cell in wanted)
    raw: list[Sample] = []
    vault: dict[tuple[bool, int], list[Sample]] = defaultdict(list)
    with ExitStack() as stack:
        loads = {
            polling: stack.enter_context(subject.connected(operation, size_bytes, depth_max))
            for polling, subject in subjects.items()
        }
        for _ in range(rounds):
            arguments = [operation.name, size_bytes, milliseconds]
            raw.append(read_sample(start_program("vks-bench-raw", arguments, cpu=CRYPTO_CPU)))
            for cell, (polling, load) in itertools.product(wanted, loads.items()):
                # Who is asleep is asked by who sleeps: both sides, or neither.
                spin_us = SPIN_US if polling else 0
                vault[polling, cell.depth].append(load.run(cell.depth, milliseconds, spin_us))
    rows = [make_row("libcrypto", operation.name, size_bytes, 1, "libcrypto", polling=False, samples=raw, baseline=raw)]
    rows += [
        make_row(
            "vault", operation.name, size_bytes, depth, "libcrypto", polling=polling, samples=samples, baseline=raw
        )
        for (polling, depth), samples in vault.items()
    ]
    return rows


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""``python -m bench``: measure, print tables, write build/bench*.json and build/bench*.svg."""

import argparse
import itertools
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from framework.ring_load import Sample

from bench.administration import GUESTS, KEYS, measure_administration
from bench.engines import crypto_mb_if_there
from bench.growth_guests import GUESTS as GUESTS_ATTACHED
from bench.growth_guests import measure_guests
from bench.growth_keys import KEYS as KEYS_GRANTED
from bench.growth_keys import STORED as KEYS_STORED
from bench.growth_keys import measure_keys, measure_stored
from bench.growth_report import print_growth, write_growth
from bench.guest_side import guest_side
from bench.handshakes import measure_handshakes, print_handshakes, write_handshakes
from bench.libcryptos import RawSubject, later_libcrypto
from bench.module_subject import module_subject
from bench.operation import OPERATIONS, Operation
from bench.peers import peers
from bench.pictures import write_pictures
from bench.result import Row, make_row, print_table, write_json
from bench.take import CPUS, Subject, Take
from bench.vault_subject import SPIN_US, VARIANTS, vault_subject

ROUNDS = 5
MILLISECONDS = 150
GROWTH, ADMINISTRATION, HANDSHAKES = "growth", "administration", "handshakes"
JSON = Path(__file__).resolve().parents[2] / "build/bench.json"
WHATS = (*(operation.name for operation in OPERATIONS), GROWTH, ADMINISTRATION, HANDSHAKES)


def main() -> int:
    """Run everything."""
    options = parse()
    # For all that is started from here: nothing has more than these two.
    os.sched_setaffinity(0, CPUS)
    operations = [operation for operation in OPERATIONS if operation.name.startswith(options.only)]
    rows: list[Row] = []
    if operations:
        with subjects(all_libcryptos=options.all_libcryptos) as everybody:
            for operation in operations:
                for size_bytes in operation.sizes:
                    rows += measure(everybody, operation, size_bytes, options.rounds, options.milliseconds)
        write_json(rows, options.json)
        write_pictures(rows, options.json.parent)
        print_table(rows)
    if GROWTH.startswith(options.only):
        with crypto_mb_if_there():
            guests = list(measure_guests(options.attached, options.rounds, options.milliseconds))
        keys = list(measure_keys(options.granted, options.rounds, options.milliseconds))
        stored = list(measure_stored(options.stored, options.rounds, options.milliseconds))
        write_growth(guests, keys, stored, options.json.with_name("bench-growth.json"))
        print_growth(guests)
        print_growth(keys)
        print_growth(stored)
    if ADMINISTRATION.startswith(options.only):
        path = options.json.with_name("bench-administration.json")
        measure_administration(path, guests=options.guests, keys=options.keys)
    if HANDSHAKES.startswith(options.only):
        handshakes = measure_handshakes(options.rounds)
        write_handshakes(handshakes, options.json.with_name("bench-handshakes.json"))
        print_handshakes(handshakes)
    return 0


class Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        """Say what was wrong, and not what would be right: --help does."""
        self.exit(2, f"bench: {message}\n")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; what makes no sense ends the program with one line."""
    parser = Parser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument(
        "--milliseconds",
        type=positive,
        default=MILLISECONDS,
        metavar="N",
        help=f"of each figure in each round; default: {MILLISECONDS}",
    )
    parser.add_argument(
        "--only", default="", metavar="NAME", help=f"what begins so; there are {', '.join(WHATS)}; default: all"
    )
    parser.add_argument(
        "--all-libcryptos", action="store_true", help="besides this machine's Debian 13's, which is built as root once"
    )
    parser.add_argument("--json", type=Path, default=JSON, metavar="FILE", help="where the rows go")
    parser.add_argument(
        "--attached",
        type=numbers,
        default=GUESTS_ATTACHED,
        metavar="N,N",
        help=f"guests of the growth's figures; default: {','.join(map(str, GUESTS_ATTACHED))}",
    )
    parser.add_argument(
        "--granted",
        type=numbers,
        default=KEYS_GRANTED,
        metavar="N,N",
        help=f"keys of one guest of the growth's figures; default: {','.join(map(str, KEYS_GRANTED))}",
    )
    parser.add_argument(
        "--stored",
        type=numbers,
        default=KEYS_STORED,
        metavar="N,N",
        help=f"keys in the store of the growth's figures; default: {','.join(map(str, KEYS_STORED))}",
    )
    parser.add_argument("--guests", type=positive, default=GUESTS, metavar="N", help="of the administration's figures")
    parser.add_argument("--keys", type=positive, default=KEYS, metavar="N", help="of the administration's figures")
    options = parser.parse_args(words)
    if not any(what.startswith(options.only) for what in WHATS):
        parser.error(f"nothing begins with {options.only!r}; there are {', '.join(WHATS)}")
    if missing := set(CPUS) - os.sched_getaffinity(0):
        parser.error(f"processor {missing.pop()} is not there for it: one computes, another asks")
    return options


def positive(text: str) -> int:
    """Read how many of something."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def numbers(text: str) -> list[int]:
    """Read several of these, which become more."""
    found = [positive(part) for part in text.split(",")]
    if found != sorted(set(found)):
        raise argparse.ArgumentTypeError(f"{text!r} does not grow")
    return found


@contextmanager
def subjects(*, all_libcryptos: bool) -> Iterator[list[Subject]]:
    """Start everybody; the first is what all others are compared with."""
    with ExitStack() as stack:
        everybody: list[Subject] = [RawSubject(), *(later_libcrypto() if all_libcryptos else [])]
        with crypto_mb_if_there():
            for variant, poll_us in itertools.product(VARIANTS, (0, SPIN_US)):
                everybody.append(stack.enter_context(vault_subject(variant, poll_us)))
            everybody += stack.enter_context(guest_side())
            everybody += [stack.enter_context(module_subject(poll_us)) for poll_us in (0, SPIN_US)]
            everybody.append(stack.enter_context(module_subject(SPIN_US, nonce_pool=True)))
        yield everybody + stack.enter_context(peers())


def measure(
    everybody: Sequence[Subject], operation: Operation, size_bytes: int, rounds: int, milliseconds: int
) -> list[Row]:
    """Each subject at each depth in turn, round by round; before each subject the first, which it is compared with."""
    with ExitStack() as stack:
        [baseline], *others = [stack.enter_context(subject.takes(operation, size_bytes)) for subject in everybody]
        bases: list[Sample] = []
        measured: dict[Take, list[tuple[Sample, Sample]]] = defaultdict(list)
        for number in range(1, rounds + 1):
            what = f"{operation.name}, {size_bytes} bytes: round {number} of {rounds}"
            print(f"bench: {what}", file=sys.stderr, flush=True)
            for takes in filter(None, others):
                base = baseline.run(milliseconds)
                bases.append(base)
                for take in takes:
                    measured[take].append((take.run(milliseconds), base))
    pairs = {baseline: [(base, base) for base in bases], **measured}
    return [make_row(take, operation.name, size_bytes, rounds, found) for take, found in pairs.items()]


if __name__ == "__main__":
    sys.exit(main())

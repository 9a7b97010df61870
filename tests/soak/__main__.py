# SPDX-License-Identifier: Apache-2.0
"""``python -m soak --minutes 10``: prints how it goes and a summary; exit status 1 when anything was wrong."""

import argparse
import sys

from soak.run import Soak, SoakFailed


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the load runs")
    parser.add_argument("--guests", type=int, default=4, help="how many guests work at once")
    parser.add_argument("--seed", type=int, default=1, help="of the mix of requests, kills and changes")
    options = parser.parse_args()
    try:
        report = Soak(options.guests, options.seed, say=lambda text: print(f"soak: {text}", flush=True)).run(
            options.minutes * 60
        )
    except SoakFailed as error:
        print(f"soak: failed: {error}", file=sys.stderr)
        return 1
    print(report.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Points in time as people give them: ISO 8601, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from vmm_keystore.cli.failure import UsageError

_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def as_seconds(text: str) -> int:
    """Read a length of time: 90s, 15m, 2h, 7d.

    Raises:
        UsageError: it is none.
    """
    age = _AGE.fullmatch(text)
    if not age or not int(age[1]):
        raise UsageError(f"'{text}' is no length of time", "give 90s, 15m, 2h or 7d")
    return int(timedelta(**{_UNITS[age[2]]: int(age[1])}).total_seconds())


def as_time(text: str | None) -> str | None:
    """Read a point in time; give it as audit lines write it.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    age = _AGE.fullmatch(text)
    if age:
        time = datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    else:
        try:
            time = datetime.fromisoformat(text)
        except ValueError as error:
            raise UsageError(
                f"'{text}' is no time", "give 2026-11-23T15:00:00Z, or an age as 90s, 15m, 2h, 7d"
            ) from error
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")

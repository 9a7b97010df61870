# SPDX-License-Identifier: Apache-2.0
"""One thing that ``vmm-keystore doctor`` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How well it is: *warn* costs something, *bad* keeps something from working."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; *hint* says what to do."""

    level: Level
    name: str
    detail: str
    hint: str = ""

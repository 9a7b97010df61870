# SPDX-License-Identifier: Apache-2.0
"""A guest's console: what it wrote, and the kernel's complaints in it."""

import re
from dataclasses import dataclass, field

# First lines of what a kernel prints when something is wrong with it.
COMPLAINT = re.compile(
    r"(?m)^(?:\[ *\d+\.\d+\] ?)?"
    r"((?:BUG: |WARNING: |Oops|general protection|Kernel panic|INFO: task .* blocked|refcount_t: |"
    r"=+\[ cut here|UBSAN: |kernel BUG at |INFO: trying to register non-static key|"
    r"watchdog: BUG|rcu: INFO: .* stall).*)$"
)


@dataclass
class Console:
    """The console's text. The reader thread appends, any thread looks."""

    known: tuple[re.Pattern[str], ...] = ()
    _text: bytearray = field(default_factory=bytearray)
    _taken: int = 0

    def received(self, data: bytes) -> None:
        """Append what the guest wrote."""
        self._text += data

    @property
    def text(self) -> str:
        """Everything so far."""
        return self._text.decode(errors="replace").replace("\r", "")

    def tail(self, lines: int = 30) -> str:
        """The last lines."""
        return "\n".join(self.text.splitlines()[-lines:])

    def complaints(self) -> list[str]:
        """The kernel's complaints since the last ``take_complaints``.

        A complaint is left out if one of ``known`` matches at its first line; such patterns may span lines.
        """
        text = self.text[self._taken :]
        return [
            match[1]
            for match in COMPLAINT.finditer(text)
            if not any(pattern.match(text, match.start(1)) for pattern in self.known)
        ]

    def take_complaints(self) -> list[str]:
        """The complaints so far, which are not reported again: for tests that provoke them."""
        found = self.complaints()
        self._taken = len(self.text)
        return found

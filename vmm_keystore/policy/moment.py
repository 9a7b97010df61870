# SPDX-License-Identifier: Apache-2.0
"""Times as people read them."""

from datetime import UTC, datetime


def moment_text(at_s: int) -> str:
    """UNIX time as ISO 8601 in UTC, to the second; as a number behind an ``@`` where no calendar reaches."""
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"@{at_s}"

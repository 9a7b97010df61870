# SPDX-License-Identifier: Apache-2.0
"""The audit log: who used or changed what, as JSON Lines in a hash chain. Start reading at ``log.py``.

One line is one record. ``prev`` is the SHA-256 of the line before it (without its newline; zeros for the first), ``seq``
counts from 1 without a gap across segments. A segment is named by the ``seq`` of its first line.
"""

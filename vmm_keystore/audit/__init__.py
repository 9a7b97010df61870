# SPDX-License-Identifier: Apache-2.0
"""The audit log: who used or changed what. Start reading at ``log.py``; ``verify.py`` is what an auditor runs.

**Format.** A folder of segments, ``audit-N.jsonl`` while open, ``audit-N.jsonl.zst`` (one zstd frame with length and
checksum) once closed; N is the number of the first line, 16 digits. A segment is closed by size or age. A segment is
JSON Lines, UTF-8, one line a record, spelled without blanks::

    {"seq":7, …members… ,"prev":"<64 hex digits>"}

``seq`` counts from 1 without a gap over all segments. ``prev`` is the SHA-256 of the line before, without its newline;
zeros in the first line. ``time`` is ISO 8601 in UTC with nanoseconds. ``kind`` says what the line is:

``use``         requests of a guest: ``guest``, its ``uid`` if its kernel gave one, ``op``, ``mechanism``, ``key`` (label),
                ``key_id``, ``version``, ``status``, ``bytes`` of input (``digest``: it was one), ``request`` (sequence of
                the first request covered, as the device told it to the guest), ``count`` of requests, ``attempt``
                (runs of it so far), ``queue`` (the guest's ring, also in ``request`` from bit 48 on), ``record`` (number in the guest's ring); ``set_aside``, only where true:
                it was not run again because two workers died over it. ``time`` is the worker's.
``admin``       an administrative change: ``action``, peer's ``uid`` and ``pid``, to what; ``change`` (a number that grows)
                and ``applied`` where it was made, ``status`` and ``reason`` where it was refused.
``notice``      what the daemon has to say: ``event``.
``checkpoint``  ``note``: a signed note (C2SP signed-note and tlog-checkpoint, see ``note.py``) on the line before. Size
                is its ``seq``, hash is its SHA-256: the head of the chain, not a Merkle root.

The file ``checkpoint`` holds the newest note. ``torn-*`` files are ends that a crash left unfinished, reported in the
line that follows; nobody was told that they were stored.

**Checking it** without this program: hash every line, compare with the next one's ``prev``; check each note with the
public key (``vmm-keystore audit public-key``) and against ``seq`` and ``prev`` of its own line. Cut off at the end it
still holds: keep a checkpoint elsewhere (``vmm-keystore audit checkpoint``) to compare with.
"""

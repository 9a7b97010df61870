# SPDX-License-Identifier: Apache-2.0
"""Which rows go into which picture."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.operation import OPERATIONS
from bench.peers import P11
from bench.result import Row
from bench.svg import Line, Panel, draw
from bench.vault_subject import LIBCRYPTO, VAULT

TITLES = {
    "p256-sign": "P-256 sign",
    "p384-sign": "P-384 sign",
    "ed25519-sign": "Ed25519 sign",
    "rsa2048-sign": "RSA-2048 sign",
    "rsa3072-sign": "RSA-3072 sign",
    "aes256gcm-encrypt": "AES-256-GCM",
    "chacha20poly1305-encrypt": "ChaCha20-Poly1305",
    "p256-ecdh": "P-256 ECDH",
    "x25519-ecdh": "X25519",
    "hmac-sha256": "HMAC-SHA-256",
}
PICTURED_BYTES = {"aes256gcm-encrypt": 16384, "chacha20poly1305-encrypt": 16384}
"""Of the others the smallest size is drawn."""
DEPTH = "requests under way"


def write_pictures(rows: Sequence[Row], folder: Path) -> None:
    """Write bench-ratio.svg and bench-latency.svg; neither where there is nothing of the vault to draw."""
    modes = [mode for mode in _modes() if _select(rows, mode)]
    if not modes:
        return
    note = f"medians of {max(row.rounds for row in rows)} interleaved rounds; 1: plain libcrypto on one core, same run"
    ratio = [_panel(rows, mode, "times libcrypto", lambda row: row.ratio_to_libcrypto, one_at=1) for mode in modes]
    grid = [ratio[start : start + 2] for start in range(0, len(ratio), 2)]
    text = draw("Throughput of one worker core, by queue depth", note, grid, shared_y=False)
    (folder / "bench-ratio.svg").write_text(text)
    grid = [
        [
            _panel(rows, mode, "p50, µs", lambda row: row.p50_us),
            _panel(rows, mode, "p99, µs", lambda row: row.p99_us),
        ]
        for mode in modes
        if mode[1] == VAULT
    ]
    note = "from a request's place in the ring to its answer's; requests wait for those before them"
    (folder / "bench-latency.svg").write_text(draw("Latency, by queue depth", note, grid, shared_y=True))


Mode = tuple[str, str, bool, bool]
"""Title, subject, whether an engine other than libcrypto is at work, polling."""


def _modes() -> list[Mode]:
    return [
        ("vault, asleep between requests", VAULT, False, False),
        ("vault, polling", VAULT, False, True),
        ("vault with accelerators, asleep between requests", VAULT, True, False),
        ("vault with accelerators, polling", VAULT, True, True),
        ("p11-kit server + SoftHSM2", P11, False, False),
    ]


def _select(rows: Sequence[Row], mode: Mode) -> list[Row]:
    _title, subject, accelerated, polling = mode
    return [
        row
        for row in rows
        if row.subject == subject
        and row.polling == polling
        and (row.engine not in {"", LIBCRYPTO}) == accelerated
        and row.size_bytes == pictured_bytes(row.op)
    ]


def pictured_bytes(op: str) -> int:
    """Of which size an operation is drawn."""
    smallest = next(operation.sizes[0] for operation in OPERATIONS if operation.name == op)
    return PICTURED_BYTES.get(op, smallest)


def size_text(size_bytes: int) -> str:
    """A size as it is read."""
    return f"{size_bytes >> 10} KiB" if size_bytes >= 1024 else f"{size_bytes} B"


def _panel(
    rows: Sequence[Row], mode: Mode, y_title: str, figure: Callable[[Row], float], *, one_at: float | None = None
) -> Panel:
    lines = []
    for style, operation in enumerate(OPERATIONS):
        own = sorted((row for row in _select(rows, mode) if row.op == operation.name), key=lambda row: row.queue_depth)
        points = tuple((row.queue_depth, figure(row)) for row in own)
        size_bytes = pictured_bytes(operation.name)
        name = f"{TITLES[operation.name]}, {size_text(size_bytes)}" if size_bytes else TITLES[operation.name]
        if points:
            lines.append(Line(name, points, style))
    return Panel(mode[0], DEPTH, y_title, tuple(lines), one_at=one_at)

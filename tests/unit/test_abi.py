# SPDX-License-Identifier: Apache-2.0
"""The ABI header says the same to C, to Python and to the guest's kernel module."""

import re
import subprocess
from pathlib import Path

import pytest

from vmm_keystore._vks import ffi, lib

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "guest_driver" / "include"

# Sizes and offsets as the specification fixes them, written down by hand so that a change cannot pass unseen.
SIZES = {
    "request_head": 72,
    "result": 24,
    "info_request": 16,
    "info": 120,
    "list_request": 24,
    "list_head": 8,
    "key_entry": 112,
    "generate_request": 72,
    "ioc_request": 144,
    "ioc_batch": 16,
}
HEAD_OFFSETS = {
    "opcode": 0,
    "mechanism": 4,
    "cookie": 8,
    "flags": 16,
    "uid": 20,
    "key_id": 24,
    "key_version": 40,
    "parameter_bytes": 44,
    "aad_bytes": 48,
    "input_bytes": 52,
    "output_bytes": 56,
    "abi_version": 60,
    "reserved0": 62,
    "reserved1": 64,
}

PROBE = """
#include <stddef.h>
#include <stdio.h>
#include "vmm_keystore.h"
int main(void)
{
%s
    return 0;
}
"""


def python_layout(name: str) -> dict[str, tuple[int, int]]:
    fields = ffi.typeof(f"struct vks_{name}").fields
    assert fields is not None
    return {field: (info.offset, ffi.sizeof(info.type)) for field, info in fields}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_structure_sizes_are_the_specified_ones(name: str, size: int) -> None:
    """Every structure has its specified size and no byte that belongs to no field."""
    assert ffi.sizeof(f"struct vks_{name}") == size
    assert sum(field_size for _, field_size in python_layout(name).values()) == size


def test_head_offsets_are_the_specified_ones() -> None:
    """The head's first 24 bytes are virtio-crypto's op header, the rest is ours (specification, section 2)."""
    assert {field: offset for field, (offset, _) in python_layout("request_head").items()} == HEAD_OFFSETS


@pytest.mark.parametrize("flags", [[], ["-fpack-struct=1"]], ids=["natural", "packed"])
def test_c_sees_the_same_layout(tmp_path: Path, flags: list[str]) -> None:
    """A C compiler, with and without packing, finds the offsets that cffi computed: there is no implicit padding."""
    lines = []
    expected = []
    for name in SIZES:
        for field, (offset, size) in python_layout(name).items():
            lines.append(
                f'printf("{name}.{field} %zu %zu\\n", offsetof(struct vks_{name}, {field}),'
                f" sizeof(((struct vks_{name} *)0)->{field}));"
            )
            expected.append(f"{name}.{field} {offset} {size}")
    source = tmp_path / "probe.c"
    source.write_text(PROBE % "\n".join(lines))
    program = tmp_path / "probe"
    subprocess.run(["cc", "-Wall", "-Werror", *flags, f"-I{INCLUDE}", source, "-o", program], check=True)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines() == expected


def test_every_constant_of_the_header_is_visible_to_python() -> None:
    """The constants are read from the header itself: each enumerator of the text has the value Python sees."""
    text = re.sub(r"/\*.*?\*/", "", (INCLUDE / "vmm_keystore.h").read_text(), flags=re.DOTALL)
    found = re.findall(r"^\s+(VKS_\w+) = (0x[0-9a-f]+|\d+),", text, flags=re.MULTILINE)
    assert len(found) > 80
    assert {name: getattr(lib, name) for name, _ in found} == {name: int(value, 0) for name, value in found}


def test_opcode_is_of_a_private_service() -> None:
    """No opcode of ours can be taken for one of virtio-crypto's services, which are small numbers (virtio 1.2, 5.9.7.2)."""
    assert lib.VKS_SERVICE << 8 | lib.VKS_OP_RANDOM == 0x766B730A

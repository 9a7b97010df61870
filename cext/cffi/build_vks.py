# SPDX-License-Identifier: Apache-2.0
"""Generate the source of vmm_keystore._vks from the C headers themselves, so that no layout is written twice.

The headers keep to what cffi reads once comments, preprocessor lines and static assertions are gone: enums,
structures of fixed-width fields and plain prototypes.
"""

import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]
HEADERS = [
    ROOT / "guest_driver/include/vmm_keystore.h",
    ROOT / "cext/sandbox/privileges.h",
    ROOT / "cext/shared/audit.h",
    ROOT / "cext/shared/audit_chain.h",
    ROOT / "cext/shared/budget.h",
    ROOT / "cext/shared/engine_function.h",
    ROOT / "cext/shared/ipc.h",
    ROOT / "cext/shared/ipc_hsm.h",
    ROOT / "cext/shared/ipc_order.h",
    ROOT / "cext/shared/latency.h",
    ROOT / "cext/shared/policy.h",
    ROOT / "cext/shared/poll_board.h",
    ROOT / "cext/shared/snapshot.h",
    ROOT / "cext/shared/state.h",
]
KERNEL_TYPES = {"__u8": "uint8_t", "__le16": "uint16_t", "__u32": "uint32_t", "__le32": "uint32_t"}
KERNEL_TYPES |= {"__s32": "int32_t", "__u64": "uint64_t", "__le64": "uint64_t"}


def declarations(header: str) -> str:
    """Reduce the text of a header to what a cdef may hold."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = text.replace("\\\n", " ")
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"_Static_assert\s*\(.*?\);", "", text, flags=re.DOTALL)
    text = re.sub(r"static inline[^{;]*\{.*?^\}", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", text)
    for kernel_type, c_type in KERNEL_TYPES.items():
        text = re.sub(rf"\b{kernel_type}\b", c_type, text)
    return text


ffibuilder = FFI()
ffibuilder.set_source("vmm_keystore._vks", "\n".join(f'#include "{header.name}"' for header in HEADERS))
for path in HEADERS:
    ffibuilder.cdef(declarations(path.read_text()))

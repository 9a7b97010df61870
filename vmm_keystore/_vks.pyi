# SPDX-License-Identifier: Apache-2.0
# The extension generated from the C headers (cext/cffi/build_vks.py): their structures, constants and functions.
from typing import Any

from cffi import FFI

ffi: FFI
lib: Any

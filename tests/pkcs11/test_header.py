# SPDX-License-Identifier: Apache-2.0
"""The names and numbers that the module was written with are those of another project's header: p11-kit's."""

import re
import subprocess
from pathlib import Path

import pytest

OWN = Path(__file__).parents[2] / "guest_driver/pkcs11"
OTHER = Path("/usr/include/p11-kit-1/p11-kit/pkcs11.h")
COMMON_MIN = 200
STRUCTURES = (
    *(
        "CK_INFO",
        "CK_SLOT_INFO",
        "CK_TOKEN_INFO",
        "CK_SESSION_INFO",
        "CK_ATTRIBUTE",
        "CK_MECHANISM",
        "CK_MECHANISM_INFO",
    ),
    *("CK_C_INITIALIZE_ARGS", "CK_RSA_PKCS_PSS_PARAMS", "CK_RSA_PKCS_OAEP_PARAMS"),
    *("CK_ECDH1_DERIVE_PARAMS", "CK_AES_CTR_PARAMS", "CK_GCM_PARAMS", "CK_FUNCTION_LIST"),
)
PRINT = '#ifdef {0}\nprintf("{0} %lx\\n", (unsigned long)({0}));\n#endif\n'
MEASURE = 'printf("{0} %zu\\n", sizeof({0}));\n'


def said_by(header: Path, names: list[str], folder: Path) -> dict[str, str]:
    """What a C program prints of the names that the header has, and of sizes."""
    body = "".join(PRINT.format(name) for name in names) + "".join(MEASURE.format(name) for name in STRUCTURES)
    source, program = folder / "program.c", folder / "program"
    source.write_text(f'#include <stdio.h>\n#include "{header}"\nint main(void) {{\n{body}return 0; }}\n')
    subprocess.run(["gcc", "-w", "-I", OWN, "-DCRYPTOKI_COMPAT=1", "-o", program, source], check=True)
    lines = subprocess.run([program], capture_output=True, check=True, text=True).stdout.splitlines()
    return dict(line.split() for line in lines)


@pytest.mark.skipif(not OTHER.exists(), reason="no p11-kit/pkcs11.h (libp11-kit-dev)")
def test_numbers_and_sizes(tmp_path: Path) -> None:
    """All that both have; p11-kit 0.24 has little of version 3.0 and nothing of 3.2."""
    names = re.findall(r"^#define (CK[A-Z]*_\w+) ", (OWN / "cryptoki_values.h").read_text(), re.MULTILINE)
    own, other = (said_by(header, names, tmp_path) for header in (OWN / "cryptoki.h", OTHER))
    common = own.keys() & other.keys()
    assert len(common) >= COMMON_MIN
    assert {name: own[name] for name in common} == {name: other[name] for name in common}

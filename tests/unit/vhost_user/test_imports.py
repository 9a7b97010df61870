# SPDX-License-Identifier: Apache-2.0
"""The package stands alone, and its pure modules do no I/O."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "vmm_keystore" / "vhost_user"
WITH_IO = {"acl", "calls", "connection", "descriptors", "listener", "peer", "reactor", "reader", "server"}
IO = {
    "array",
    "asyncio",
    "fcntl",
    "logging",
    "mmap",
    "os",
    "pathlib",
    "select",
    "selectors",
    "socket",
    "threading",
    "time",
}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def imports(module: str) -> set[str]:
    """Modules it names; siblings with a leading dot."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found |= {f".{node.module}"} if node.module else {f".{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_nothing_else_of_the_project_is_imported(module: str) -> None:
    assert not any(name.startswith("vmm_keystore") for name in imports(module))


@pytest.mark.parametrize("module", sorted(set(MODULES) - WITH_IO))
def test_pure_modules_do_no_io(module: str) -> None:
    assert imports(module) & (IO | {f".{name}" for name in WITH_IO}) == set()

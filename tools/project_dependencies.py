# SPDX-License-Identifier: Apache-2.0
"""Print the run-time dependencies of pyproject.toml, one a line, so that they can be installed without building."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
print("\n".join(project["dependencies"]))

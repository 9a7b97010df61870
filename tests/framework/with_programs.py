# SPDX-License-Identifier: Apache-2.0
"""``with_programs FOLDER ARGUMENT...``: vmm-keystore with the C programs of another folder."""

import sys
from pathlib import Path

from vmm_keystore.workers import programs

if __name__ == "__main__":
    programs.LIBEXEC = Path(sys.argv[1])
    del sys.argv[1]
    from vmm_keystore.cli.main import main

    main()

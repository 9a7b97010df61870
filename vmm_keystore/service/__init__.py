# SPDX-License-Identifier: Apache-2.0
"""The verbs of the daemon: guests, keys, grants. Start reading at ``ports.py`` and ``keystore.py``."""

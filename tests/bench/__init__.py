# SPDX-License-Identifier: Apache-2.0
"""How fast the vault is, as ratios to this machine's libcrypto in the same run; ``make bench``."""

# SPDX-License-Identifier: Apache-2.0
"""The PKCS#11 module and programs that load it. A package, or Python's library of this name would be taken for it."""

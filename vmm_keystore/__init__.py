# SPDX-License-Identifier: Apache-2.0
"""A key vault in the hypervisor: the host holds keys, guests use them and can never read them."""

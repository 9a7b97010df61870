# SPDX-License-Identifier: Apache-2.0
"""The admin API: HTTP and JSON on a UNIX socket, for peers the kernel vouches for."""

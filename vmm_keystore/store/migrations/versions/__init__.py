# SPDX-License-Identifier: Apache-2.0
"""Schema revisions, oldest first by number."""

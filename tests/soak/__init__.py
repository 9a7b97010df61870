# SPDX-License-Identifier: Apache-2.0
"""A long run of everything at once; ``make soak MINUTES=10``."""

# SPDX-License-Identifier: Apache-2.0
"""``make demo``: the whole path once, told step by step, with every claim checked from outside the vault."""

# SPDX-License-Identifier: Apache-2.0
"""What is allowed: the words, a key's life cycle, and the decision. Pure: no I/O, no clock, no state."""

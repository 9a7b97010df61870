# SPDX-License-Identifier: Apache-2.0
"""One file a schema change under ``versions/``, named ``rNNNN_what.py``; a released one is never edited."""

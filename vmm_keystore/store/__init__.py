# SPDX-License-Identifier: Apache-2.0
"""What must survive: guests, keys as sealed blobs, grants. Start reading at ``store.py`` and ``tables.py``.

Never sees a key: blobs are sealed by the custodian, public keys are public.
"""

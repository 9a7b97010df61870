# SPDX-License-Identifier: Apache-2.0
"""Guest kernels, images and emulators made from Debian packages by a lock file.

Everything made lands in a user cache keyed by content (``cache``), so that a second run is fast and a fresh clone
never needs it to be there. Nothing here needs root.
"""

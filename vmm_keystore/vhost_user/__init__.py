# SPDX-License-Identifier: Apache-2.0
"""A vhost-user back-end: message codec and state machine without I/O, connections, listeners and their one loop.

Complete in itself: nothing here imports another part of the project. Start reading at ``backend.py``.
"""

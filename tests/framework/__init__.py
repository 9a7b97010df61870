# SPDX-License-Identifier: Apache-2.0
"""Harnesses for virtual machines and vhost-user: they know nothing of what is tested with them."""

# SPDX-License-Identifier: Apache-2.0
"""The admin CLI: parses arguments, asks keystored over its control socket, prints facts. It decides nothing."""

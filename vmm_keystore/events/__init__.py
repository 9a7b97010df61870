# SPDX-License-Identifier: Apache-2.0
"""Operators' handlers: programs and servers that are told of events.

Which there are only a file says that keystored is started with: whoever may use the control API, as an administrator
even, can have nothing run and nothing sent anywhere. Knows neither store nor service, only the port it serves.
"""

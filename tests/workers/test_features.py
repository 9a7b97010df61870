# SPDX-License-Identifier: Apache-2.0
"""Which feature bits keystored offers to a front-end."""

from framework.frontend import FrontEnd, Msg
from framework.guest_ram import GuestRam
from framework.keystored import Keystored

REVISION_1 = 0  # VIRTIO_CRYPTO_F_REVISION_1
INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1, RING_PACKED = 28, 29, 30, 32, 34


def test_offered_features_are_those_of_the_device(vault: Keystored) -> None:
    """Exactly what the worker serves, so neither packed rings nor virtio-crypto's stateless revision (MUST-1)."""
    socket = vault.add_guest("guest")
    with GuestRam(1 << 20) as ram, FrontEnd.connect(socket, ram) as front_end:
        offered = front_end.ask(Msg.GET_FEATURES).u64
    bits = {bit for bit in range(64) if offered >> bit & 1}
    assert bits == {INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1}
    assert not bits & {REVISION_1, RING_PACKED}

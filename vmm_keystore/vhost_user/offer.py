# SPDX-License-Identifier: Apache-2.0
"""What a back-end offers to its front-end: never a bit that is not implemented, or that has nothing behind it."""

from dataclasses import dataclass

from .protocol import ProtocolFeature, VirtioFeature, mask

_FEATURES = mask(*VirtioFeature)
_PROTOCOL_FEATURES = mask(*ProtocolFeature) & ~mask(ProtocolFeature.MQ, ProtocolFeature.CONFIG)


@dataclass(frozen=True, slots=True)
class Offer:
    """Virtio features, queues, memory slots, and the config space where the device has one (read-only)."""

    features: int = _FEATURES
    queue_count: int = 1
    queue_size_max: int = 1024
    mem_slots_max: int = 32
    config_space: bytes = b""

    @property
    def protocol_features(self) -> int:
        """MQ only with several queues, CONFIG only with a config space."""
        return (
            _PROTOCOL_FEATURES
            | (mask(ProtocolFeature.MQ) if self.queue_count > 1 else 0)
            | (mask(ProtocolFeature.CONFIG) if self.config_space else 0)
        )

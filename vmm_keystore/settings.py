# SPDX-License-Identifier: Apache-2.0
"""What keystored is started with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmm_keystore.policy.approval import ApprovalRules
from vmm_keystore.policy.hsm import HsmPlace

HISTOGRAMS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of ``vmm-keystore serve``; None where keystored chooses."""

    state_dir: Path
    """Where store, KEK and audit log live; made private on first start."""
    runtime_dir: Path | None = None
    """On tmpfs, for state memory."""
    control_socket: Path | None = None
    """Of the control API; in *state_dir* when None."""
    journal: Path | None = None
    """Socket of a systemd journal that gets a copy of the audit log; none does when None."""
    user: str | None = None
    """Whom root is to become."""
    systemd_store: bool = False
    """systemd keeps descriptors for the next keystored, not vks-holder."""
    program_sockets: Path | None = None
    """Folder with the sockets at which systemd starts programs; keystored starts them itself when None."""
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Who has which role, by its name, as ``parse_access`` reads it."""
    rules: ApprovalRules = ApprovalRules()  # noqa: RUF009 - frozen
    """What takes the approval of how many administrators."""
    root_secret: Path | None = None
    """File with the root of trust's passphrase or credential; systemd's credential when None."""
    tpm: Path | None = None
    """Device of a TPM, or socket of a software one; this host's when None."""
    hsm: HsmPlace | None = None
    """A PKCS#11 token; none when None."""
    event_handlers: Path | None = None
    """File that says whom to tell of events; nobody when None."""
    poll_us: int = 0
    """How long a worker looks at its ring before it sleeps."""
    poll_workers: int | None = None
    """How many workers may look at the same time; half of the processors when None."""
    accelerators: bool = True
    """Workers may use other engines than libcrypto."""
    nonce_pool: bool = False
    """Workers make nonces of P-256 signatures in advance, where an engine can."""
    rings: int = 1
    """How many rings a guest may have."""
    worker_cpus: frozenset[int] = frozenset()
    """Where workers may run; anywhere when empty."""
    histograms_max: int = HISTOGRAMS_MAX
    """Latency histograms that metrics give at most."""

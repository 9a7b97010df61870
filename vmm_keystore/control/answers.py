# SPDX-License-Identifier: Apache-2.0
"""What the service returns, as the models of the API."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from vmm_keystore.audit.verify import ChainReport
from vmm_keystore.control import models
from vmm_keystore.errors import CustodianError
from vmm_keystore.policy.certificate_chain import CertificateFacts
from vmm_keystore.policy.hsm import TokenObject, TokenStatus
from vmm_keystore.policy.vocabulary import Mechanism, Op, Status
from vmm_keystore.service.certificates import Attached, Signed
from vmm_keystore.service.events import Events
from vmm_keystore.service.grants import Explanation
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.service.guests import GuestView
from vmm_keystore.service.key_values import CustodianStatus, ImportOffer, WrappedKek
from vmm_keystore.service.keystore import DaemonStatus
from vmm_keystore.service.proposals import Proposal
from vmm_keystore.service.root import RootView
from vmm_keystore.store.events import DeliveryRow, DeliveryState, EventRow
from vmm_keystore.store.grants import GrantRow
from vmm_keystore.store.key_aliases import AliasRow
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.roles import RoleRow


def moment(seconds: int) -> datetime:
    """UNIX time as a datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def _bound(seconds: int) -> datetime | None:
    return moment(seconds) if seconds else None


def applied_to(applied: Sequence[Applied]) -> list[models.AppliedTo]:
    """What became of a change in each guest."""
    return [models.AppliedTo(guest=one.guest, outcome=one.outcome.value, detail=one.detail) for one in applied]


def guest_info(view: GuestView) -> models.GuestInfo:
    """A guest with its worker."""
    worker = view.worker
    return models.GuestInfo(
        name=view.guest.name,
        socket=view.guest.socket,
        owner_uid=view.guest.owner_uid,
        created=moment(view.guest.created_s),
        grants=view.guest.grant_count,
        own_keys=view.guest.own_key_count,
        own_keys_max=view.guest.own_keys_max,
        worker=models.WorkerInfo(
            running=worker.pid is not None,
            pid=worker.pid,
            secret_memory=worker.secret_memory,
            generation=worker.generation,
            connected=worker.front_end_pid is not None,
            front_end_pid=worker.front_end_pid,
            listening=worker.listening,
            problem=worker.problem,
            replaced=worker.replaced_count,
            set_aside=worker.set_aside_count,
            keys_filled=worker.keys_filled_count,
            in_flight=worker.in_flight,
            records_waiting=worker.records_waiting,
            sandbox=worker.sandbox,
            engines=dict(worker.engines),
        ),
    )


def guest_changed(view: GuestView, applied: Sequence[Applied]) -> models.GuestChanged:
    """A guest after a change."""
    return models.GuestChanged(**dict(guest_info(view)), applied=applied_to(applied))


def token_object_info(token: TokenObject | None) -> models.TokenObjectInfo | None:
    """Where a private key lies, if that is not the vault."""
    return models.TokenObjectInfo(serial=token.serial, id=token.object_id.hex()) if token else None


def token_keys_info(status: TokenStatus | None) -> models.TokenKeysInfo | None:
    """The token that keys may lie in."""
    if status is None:
        return None
    label, serial = (status.token.label, status.token.serial) if status.token else ("", "")
    return models.TokenKeysInfo(
        open=status.token is not None,
        label=label,
        serial=serial,
        pid=status.pid,
        sessions=status.sessions,
        problem=status.problem,
    )


def key_info(key: KeyRow) -> models.KeyInfo:
    """A key with its versions."""
    return models.KeyInfo(
        label=key.label,
        id=key.key_id.hex(),
        type=key.key_type,
        state=key.state,
        current_version=key.current_version,
        created=moment(key.created_s),
        versions=[
            models.KeyVersionInfo(
                version=version.version,
                state=version.state,
                current=version.version == key.current_version,
                created=moment(version.created_s),
                state_changed=moment(version.state_changed_s),
                destroy_at=_bound(version.destroy_at_s or 0),
                uses=[
                    models.KeyUseInfo(op=use.op, last=moment(use.last_s), count=use.count)
                    for use in key.uses.get(version.version, ())
                ],
                certificate=certificate_info(version.certificate) if version.certificate else None,
                token=token_object_info(version.token),
            )
            for version in key.versions
        ],
        guests=list(key.guests),
        min_version=key.min_process_version,
        rotate_every_s=key.rotate_every_s,
        rotate_after_uses=key.rotate_after_uses,
        tags=dict(key.tags),
        aliases=list(key.aliases),
        last_used=_bound(key.last_used_s or 0),
        guarded=key.guarded_s is not None,
        owner=key.owner,
    )


def key_changed(key: KeyRow, applied: Sequence[Applied] = ()) -> models.KeyChanged:
    """A key after a change."""
    return models.KeyChanged(**dict(key_info(key)), applied=applied_to(applied))


def alias_info(alias: AliasRow) -> models.AliasInfo:
    """An alias."""
    return models.AliasInfo(alias=alias.name, key=alias.key, since=moment(alias.set_s))


def alias_changed(alias: AliasRow, moved_from: str | None) -> models.AliasChanged:
    """An alias that was set or moved."""
    return models.AliasChanged(**dict(alias_info(alias)), moved_from=moved_from)


def certificate_info(facts: CertificateFacts) -> models.CertificateInfo:
    """What is said of a chain."""
    return models.CertificateInfo(
        subject=facts.subject,
        issuer=facts.issuer,
        serial=facts.serial,
        not_before=moment(facts.not_before_s),
        not_after=moment(facts.not_after_s),
        sha256=facts.sha256,
        certificates=facts.certificates,
    )


def signed(made: Signed) -> models.Signed:
    """A request or certificate that the custodian signed."""
    return models.Signed(
        label=made.label,
        version=made.version,
        subject=made.subject,
        alternatives=list(made.alternatives),
        sha256=made.sha256,
        pem=made.pem,
    )


def attached(found: Attached) -> models.CertificateChain:
    """The chain of a version."""
    facts = dict(certificate_info(found.chain.facts))
    return models.CertificateChain(label=found.label, version=found.version, pem=found.chain.pem, **facts)


def grant_info(grant: GrantRow) -> models.GrantInfo:
    """A grant in words."""
    permission = grant.permission
    return models.GrantInfo(
        guest=grant.holder,
        role=grant.role,
        key=grant.key,
        ops=[op for op in Op if permission.op_mask >> op & 1],
        mechanisms=[m for m in Mechanism if permission.mechanism_mask >> m & 1],
        input_bytes_max=permission.input_bytes_max or None,
        not_before=_bound(permission.not_before_s),
        not_after=_bound(permission.not_after_s),
        uids=list(permission.uids),
        ops_max=permission.ops_max or None,
        ops_per_second=permission.ops_a_second or None,
        ops_used=grant.ops_used if permission.ops_max and grant.guest else None,
        created=moment(grant.created_s),
    )


def grant_changed(grant: GrantRow, applied: Sequence[Applied]) -> models.GrantChanged:
    """A grant that was added or removed."""
    return models.GrantChanged(**dict(grant_info(grant)), applied=applied_to(applied))


def role_info(role: RoleRow) -> models.RoleInfo:
    """A role."""
    return models.RoleInfo(
        name=role.name, guests=list(role.guests), grants=role.grant_count, created=moment(role.created_s)
    )


def role_changed(role: RoleRow, applied: Sequence[Applied] = ()) -> models.RoleChanged:
    """A role after a change."""
    return models.RoleChanged(**dict(role_info(role)), applied=applied_to(applied))


def proposal_info(found: Proposal) -> models.ProposalInfo:
    """What waits for approval."""
    row = found.row
    return models.ProposalInfo(
        id=row.proposal_id,
        kind=row.kind,
        what=found.act.text,
        guarded_keys=list(row.keys),
        proposed_by=row.proposed_uid,
        proposed=moment(row.proposed_s),
        expires=moment(row.expires_s),
        approved_by=list(row.uids),
        needed=found.needed,
    )


def proposal_approved(found: Proposal, done: bool, applied: Sequence[Applied]) -> models.ProposalApproved:
    """A proposal after an approval."""
    return models.ProposalApproved(**dict(proposal_info(found)), done=done, applied=applied_to(applied))


def grant_explained(explanation: Explanation) -> models.GrantExplained:
    """What would become of a request."""
    question = explanation.question
    return models.GrantExplained(
        guest=question.guest,
        key=question.key,
        op=question.op,
        version=explanation.version,
        mechanism=explanation.mechanism,
        allowed=explanation.status is Status.OK,
        status=explanation.status.text,
        checks=[models.CheckInfo(rule=c.rule, holds=c.holds, detail=c.detail) for c in explanation.checks],
    )


def audit_verified(report: ChainReport) -> models.AuditVerified:
    """What checking the chain found."""
    return models.AuditVerified(
        ok=report.ok,
        lines=report.lines,
        segments=report.segments,
        last_seq=report.last_seq,
        last_hash=report.last_hash,
        torn_bytes=report.torn_bytes,
        problem=report.problem,
        checkpoints=report.checkpoints,
        signed_seq=report.signed_seq,
        key=report.key,
    )


def status_info(status: DaemonStatus, your_role: str) -> models.StatusInfo:
    """The daemon at a glance."""
    return models.StatusInfo(
        version=version("vmm-keystore"),
        your_role=your_role,
        pid=status.pid,
        runs_as=status.runs_as,
        uptime_s=status.uptime_s,
        state_dir=str(status.state_dir),
        store_schema=status.store_schema,
        guests=status.guests,
        guests_connected=status.guests_connected,
        keys=status.keys,
        grants=status.grants,
        audit=models.AuditInfo(
            last_seq=status.audit.last_seq,
            signed_seq=status.audit.signed_seq,
            problem=status.audit.problem,
            upkeep_problem=status.audit.upkeep_problem,
        ),
        custodian=_custodian_info(status.custodian),
        token=token_keys_info(status.token),
    )


def _custodian_info(custodian: CustodianStatus | CustodianError) -> models.CustodianInfo:
    if isinstance(custodian, CustodianError):
        return models.CustodianInfo(
            running=False, pid=None, secret_memory="", root_open=False, problem=custodian.message
        )
    return models.CustodianInfo(
        running=True,
        pid=custodian.pid,
        secret_memory=custodian.secret_memory,
        root=custodian.root_kind or "",
        root_open=custodian.root_open,
        sandbox=custodian.sandbox,
        libcrypto=custodian.libcrypto,
        unsupported_types=tuple(key_type.text for key_type in custodian.unsupported),
    )


def wrapped_kek_info(wrapped: WrappedKek) -> models.WrappedKekInfo:
    """The KEK for vks-recovery."""
    return models.WrappedKekInfo(kek=wrapped.kek_id.hex(), wrapped=base64.b64encode(wrapped.content))


def root_info(root: RootView) -> models.RootInfo:
    """The root of trust."""
    token = models.TokenInfo(label=root.token.label, serial=root.token.serial) if root.token else None
    return models.RootInfo(kind=root.kind, open=root.is_open, file=str(root.file), kek=root.kek_id.hex(), token=token)


def offer_info(offer: ImportOffer) -> models.KeyImportOffer:
    """A one-time key to wrap something to."""
    return models.KeyImportOffer(offer_id=offer.offer_id.hex(), public_key=offer.public_key.hex())


def event_info(row: EventRow) -> models.EventInfo:
    """An event."""
    event = row.event
    return models.EventInfo(
        id=event.event_id,
        time=moment(event.at_s),
        kind=event.kind,
        state=row.state,
        subject=dict(event.subject),
        facts=dict(event.facts),
        text=event.text,
        deliveries=[_delivery_info(delivery) for delivery in row.deliveries],
    )


def _delivery_info(delivery: DeliveryRow) -> models.DeliveryInfo:
    pending = delivery.state is DeliveryState.PENDING
    return models.DeliveryInfo(
        handler=delivery.handler,
        state=delivery.state,
        attempts=delivery.attempts,
        changed=moment(delivery.changed_s),
        due=moment(delivery.due_ms // 1000) if pending else None,
        reason=delivery.reason,
    )


def event_handlers(events: Events) -> list[models.EventHandlerInfo]:
    """Every handler, and how it does."""
    counts, attempts = events.counts(), events.attempts()
    return [
        models.EventHandlerInfo(
            name=handler.name,
            way=handler.way,
            target=handler.target,
            kinds=sorted(handler.kinds),
            attempts_max=handler.attempts_max,
            pending=counts.get((handler.name, DeliveryState.PENDING), 0),
            dead=counts.get((handler.name, DeliveryState.DEAD), 0),
            delivered=attempts[handler.name][0],
            failed=attempts[handler.name][1],
        )
        for handler in events.handlers
    ]

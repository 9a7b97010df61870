# SPDX-License-Identifier: Apache-2.0
"""Who may have what signed, and what is on record of it: states, versions, chains, answers that do not check."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from unit.fakes import FakeDaemon

from vmm_keystore.errors import CustodianError, InvalidRequestError, KeystoreError, NotFoundError, StateError
from vmm_keystore.policy.certificate_names import AlternativeKind, CertificateNames, WantedNames
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.key_values import SealedBlob, Validity
from vmm_keystore.store.certificates import check_chains

OPERATOR = Actor(uid=1000, pid=99)
WEB = WantedNames("CN=web", [(AlternativeKind.DNS, "www.example.com")])


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    opened = FakeDaemon(tmp_path)
    opened.keystore.schedule.stop()
    opened.keystore.keys.generate(OPERATOR, "web", KeyType.ED25519, activate=True)
    opened.keystore.keys.generate(OPERATOR, "disk", KeyType.AES_256, activate=True)
    yield opened
    opened.close()


def last_line(daemon: FakeDaemon) -> dict[str, Any]:
    line = daemon.admin_lines()[-1]
    return {name: line[name] for name in line if name not in {"seq", "prev", "time", "kind", "pid", "change"}}


def test_request_is_on_record(daemon: FakeDaemon) -> None:
    """Who asked, for which names, and the hash of what he got."""
    made = daemon.keystore.certificates.request(OPERATOR, "web", None, WEB)
    request = x509.load_pem_x509_csr(made.pem.encode())
    assert request.is_signature_valid
    assert (made.version, made.subject, made.alternatives) == (1, "CN=web", ("dns:www.example.com",))
    line = last_line(daemon)
    assert (line["action"], line["uid"], line["key"], line["version"]) == ("key-csr", 1000, "web", 1)
    assert (line["subject"], line["alternatives"], line["sha256"]) == (
        "CN=web",
        ["dns:www.example.com"],
        made.sha256,
    )


def test_alias_is_on_record_as_its_key(daemon: FakeDaemon) -> None:
    """Whoever looks for what was done with a key finds it under its label; refusals and answers name that as well."""
    certificates = daemon.keystore.certificates
    daemon.keystore.names.set_alias(OPERATOR, "tls", "web")
    made = certificates.request(OPERATOR, "tls", None, WEB)
    assert (made.label, last_line(daemon)["key"], last_line(daemon)["alias"]) == ("web", "web", "tls")
    with pytest.raises(NotFoundError, match="key 'web' version 1 has no certificate"):
        certificates.remove(OPERATOR, "tls", None)
    assert last_line(daemon)["key"] == "web"


def test_self_signed_lasts_as_long_as_was_said(daemon: FakeDaemon) -> None:
    before = int(time.time())
    made = daemon.keystore.certificates.self_sign(OPERATOR, "web", None, WEB, days=2, is_ca=True)
    certificate = x509.load_pem_x509_certificate(made.pem.encode())
    begin, end = (int(at.timestamp()) for at in (certificate.not_valid_before_utc, certificate.not_valid_after_utc))
    assert before <= begin <= int(time.time())
    assert end - begin + 1 == 2 * 86400
    line = last_line(daemon)
    assert (line["action"], line["ca"], line["days"]) == ("key-self-sign", True, 2)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ("suspend", "key 'web' version 1 does not sign: it is suspended"),
        ("deactivate", "key 'web' version 1 does not sign: it is deactivated"),
        ("compromise", "key 'web' version 1 does not sign: it is compromised"),
        ("destroy", "key 'web' version 1 does not sign: it is destroyed"),
        ("plan", "key 'web' version 1 does not sign: its destruction is planned"),
        ("rotate", "key 'web' version 1 does not sign: it is deactivated"),
    ],
)
def test_only_what_may_protect_signs(daemon: FakeDaemon, prepare: str, message: str) -> None:
    """As for a guest: an active version, and none that is about to go."""
    keystore = daemon.keystore
    moves = {
        "suspend": KeyState.SUSPENDED,
        "deactivate": KeyState.DEACTIVATED,
        "compromise": KeyState.COMPROMISED,
        "destroy": KeyState.DESTROYED,
    }
    if prepare == "plan":
        keystore.plans.destroy_later(OPERATOR, "web", 1, int(time.time()) + 1000)
    elif prepare == "rotate":
        keystore.keys.rotate(OPERATOR, "web")
        assert keystore.certificates.request(OPERATOR, "web", None, WEB).version == 2
    else:
        keystore.keys.move(OPERATOR, "web", moves[prepare], None)
    with pytest.raises(StateError) as refused:
        keystore.certificates.request(OPERATOR, "web", 1, WEB)
    assert (refused.value.message, refused.value.hint) == (message, "only an active version does")
    with pytest.raises(StateError):
        keystore.certificates.self_sign(OPERATOR, "web", 1, WEB, days=1, is_ca=False)
    line = last_line(daemon)
    assert (line["action"], line["status"], line["reason"]) == ("key-self-sign", "key-state", message)


def test_key_that_was_never_active(daemon: FakeDaemon) -> None:
    daemon.keystore.keys.generate(OPERATOR, "later", KeyType.EC_P256, activate=False)
    with pytest.raises(StateError, match="it is pre-activation"):
        daemon.keystore.certificates.request(OPERATOR, "later", None, WEB)


def test_refusals_are_on_record(daemon: FakeDaemon) -> None:
    """A name that cannot be had as well."""
    certificates = daemon.keystore.certificates
    with pytest.raises(InvalidRequestError, match=r"symmetric \(aes-256\): it does not sign"):
        certificates.request(OPERATOR, "disk", None, WEB)
    assert last_line(daemon)["status"] == "invalid-request"
    with pytest.raises(InvalidRequestError, match="no subject by RFC 4514"):
        certificates.request(OPERATOR, "web", None, WantedNames("web"))
    assert last_line(daemon)["reason"].startswith("'web' is no subject")
    with pytest.raises(InvalidRequestError, match="needs a subject"):
        certificates.self_sign(OPERATOR, "web", None, WantedNames("", WEB.alternatives), days=1, is_ca=False)
    with pytest.raises(NotFoundError, match="no key 'absent'"):
        certificates.request(OPERATOR, "absent", None, WEB)
    with pytest.raises(NotFoundError, match="has no version 7"):
        certificates.request(OPERATOR, "web", 7, WEB)


@pytest.mark.parametrize("what", ["other key", "other name", "other alternative", "noise", "not a ca"])
def test_what_does_not_check_is_not_given_out(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A custodian that errs or has fallen: the answer is held against what was asked for."""
    honest = daemon.custodian.certify
    daemon.keystore.keys.generate(OPERATOR, "other", KeyType.ED25519, activate=True)
    other_id = daemon.keystore.keys.show("other").key_id

    def lie(key: SealedBlob, names: CertificateNames, validity: Validity | None) -> bytes:
        if what == "noise":
            return b"\x30\x03\x02\x01\x00"
        if what == "other key":
            key = SealedBlob(other_id, 1, key.type_number, key.sealed)
        if what == "other name":
            names = CertificateNames(WantedNames("CN=other").read().subject, names.alternatives)
        if what == "other alternative":
            names = CertificateNames(names.subject, ())
        if what == "not a ca" and validity is not None:
            validity = Validity(validity.not_before_s, validity.not_after_s, is_ca=False)
        return honest(key, names, validity)

    monkeypatch.setattr(daemon.custodian, "certify", lie)
    message = "that is not what it was asked for"
    with pytest.raises(CustodianError, match=message):
        daemon.keystore.certificates.self_sign(OPERATOR, "web", None, WEB, days=1, is_ca=True)
    if what != "not a ca":
        with pytest.raises(CustodianError, match=message):
            daemon.keystore.certificates.request(OPERATOR, "web", None, WEB)


def self_signed(daemon: FakeDaemon, label: str = "web") -> str:
    return daemon.keystore.certificates.self_sign(OPERATOR, label, None, WEB, days=9, is_ca=False).pem


def test_chain_of_a_version(daemon: FakeDaemon) -> None:
    """Attached, shown, exchanged, gone; a new version has none of its own."""
    certificates, keys = daemon.keystore.certificates, daemon.keystore.keys
    first = self_signed(daemon)
    attached = certificates.attach(OPERATOR, "web", None, first)
    assert (attached.version, attached.chain.pem) == (1, first)
    assert last_line(daemon) | {"applied": None} == {
        "action": "key-certificate-set", "uid": 1000, "key": "web", "version": 1, "subject": "CN=web",
        "sha256": attached.chain.facts.sha256, "not_after": last_line(daemon)["not_after"], "applied": None,
    }  # fmt: skip
    assert keys.show("web").versions[0].certificate == attached.chain.facts
    second = self_signed(daemon)
    certificates.attach(OPERATOR, "web", 1, second)
    assert certificates.show("web", None).chain.pem == second
    keys.rotate(OPERATOR, "web")
    with pytest.raises(NotFoundError) as none:
        certificates.show("web", None)
    assert none.value.message == "key 'web' version 2 has no certificate"
    assert none.value.hint == "vmm-keystore key certificate set web CHAIN.pem"
    with pytest.raises(InvalidRequestError, match="is that of another key"):
        certificates.attach(OPERATOR, "web", None, second)
    assert certificates.show("web", 1).chain.pem == second
    assert certificates.remove(OPERATOR, "web", 1).subject == "CN=web"
    assert last_line(daemon)["action"] == "key-certificate-remove"
    with pytest.raises(NotFoundError, match="version 1 has no certificate"):
        certificates.remove(OPERATOR, "web", 1)
    assert keys.show("web").versions[0].certificate is None


def test_chain_goes_with_its_version(daemon: FakeDaemon) -> None:
    """What is destroyed has no certificate, and gets none."""
    certificates = daemon.keystore.certificates
    pem = self_signed(daemon)
    certificates.attach(OPERATOR, "web", None, pem)
    daemon.keystore.keys.move(OPERATOR, "web", KeyState.DESTROYED, None)
    with daemon.store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM key_certificates").scalar_one() == 0
    with pytest.raises(StateError, match="key 'web' version 1 is destroyed"):
        certificates.attach(OPERATOR, "web", None, pem)
    with pytest.raises(InvalidRequestError, match="symmetric"):
        certificates.attach(OPERATOR, "disk", None, pem)


def test_ends_of_what_signs(daemon: FakeDaemon) -> None:
    """What no version signs with any more may end without a word."""
    certificates = daemon.keystore.certificates
    not_after_s = certificates.attach(OPERATOR, "web", None, self_signed(daemon)).chain.facts.not_after_s
    assert certificates.ends() == [("web", 1, not_after_s)]
    daemon.keystore.keys.rotate(OPERATOR, "web")
    assert certificates.ends() == []


def test_chains_survive_the_daemon(daemon: FakeDaemon, tmp_path: Path) -> None:
    pem = self_signed(daemon)
    facts = daemon.keystore.certificates.attach(OPERATOR, "web", None, pem).chain.facts
    daemon.close()
    after = FakeDaemon(tmp_path)
    assert after.keystore.certificates.show("web", None).chain.pem == pem
    (version,) = after.keystore.keys.show("web").versions
    assert version.certificate == facts
    after.close()


def test_what_a_foreign_store_says_of_a_chain(daemon: FakeDaemon) -> None:
    """A restored store that tells of another certificate than it holds is found."""
    daemon.keystore.certificates.attach(OPERATOR, "web", None, self_signed(daemon))
    with daemon.store.read() as connection:
        check_chains(connection)
    for change in ("subject = 'CN=' || char(27)", "not_after_s = not_after_s + 1", "certificates = 2"):
        with daemon.store.write() as connection:
            connection.exec_driver_sql(f"UPDATE key_certificates SET {change}")  # noqa: S608 - our own words
        with daemon.store.read() as connection, pytest.raises(ValueError, match="is not what the certificate says"):
            check_chains(connection)


def test_custodian_that_is_away(daemon: FakeDaemon) -> None:
    daemon.custodian.broken = True
    with pytest.raises(KeystoreError, match="the custodian does not answer"):
        daemon.keystore.certificates.request(OPERATOR, "web", None, WEB)
    assert last_line(daemon)["status"] == "custodian-failed"

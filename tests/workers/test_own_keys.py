# SPDX-License-Identifier: Apache-2.0
"""Keys of a guest's own: what it can do by itself, where it is stopped, and what operators see and keep.

Proves MUST-47, MUST-48 and MUST-49.
"""

import json
import re
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key
from framework.keystored import Keystored
from framework.own_keys import allow, destroy, generate, rotate
from framework.patience import wait_for
from framework.processes import kill
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib
from vmm_keystore.policy.lifecycle import OWN_VERSIONS_MAX
from vmm_keystore.policy.vocabulary import OWN_TYPES, RELEASING_OPS, KeyType, Op, mask

OK, NO_KEY, DENIED = lib.VKS_STATUS_OK, lib.VKS_STATUS_NO_KEY, lib.VKS_STATUS_DENIED
EXISTS, LIMIT, UNSUPPORTED = lib.VKS_STATUS_EXISTS, lib.VKS_STATUS_LIMIT, lib.VKS_STATUS_UNSUPPORTED
POST_QUANTUM = {key_type for key_type in OWN_TYPES if key_type.text.startswith("ml-")}
OWNER_BITS = 1 << lib.VKS_OP_ROTATE | 1 << lib.VKS_OP_DESTROY


@pytest.fixture
def guest(vault: Keystored) -> Iterator[RingGuest]:
    """A guest that may have three keys of its own."""
    socket = vault.add_guest("g")
    allow(vault, "g", 3)
    with ring_guest(socket) as connected:
        yield connected


def audit(vault: Keystored, action: str) -> list[dict[str, object]]:
    """Lines of changes, as they are."""
    lines = vault.cli("audit", "export").stdout.splitlines()
    return [line for line in map(json.loads, lines) if line.get("action") == action]


def test_a_key_from_its_making_to_its_end(vault: Keystored, guest: RingGuest) -> None:
    """It can be used when the answer is there; rotated, both versions verify; destroyed, nothing of it is left."""
    made = generate(guest, "session")
    assert (made.status, made.key_version, len(made.data)) == (OK, 1, 16)
    [entry] = guest.list_keys()
    assert (entry.key_id, entry.label, entry.type) == (made.data, "session", lib.VKS_KEY_TYPE_EC_P256)
    assert entry.op_mask == OWNER_BITS | 1 << lib.VKS_OP_SIGN | 1 << lib.VKS_OP_VERIFY
    old = guest.sign(made.data, b"message")
    assert old.status == OK
    check(guest.public(made.data), old.data)

    renewed = rotate(guest, made.data)
    assert (renewed.status, renewed.key_version) == (OK, 2)
    assert guest.sign(made.data, b"message").key_version == 2
    assert guest.sign(made.data, b"message", key_version=1).status == lib.VKS_STATUS_KEY_STATE
    verified = guest.ask(lib.VKS_OP_VERIFY, made.data, b"message", parameter=old.data, key_version=1)
    assert verified.status == OK

    shown = vault.facts("key", "show", "g:session")
    assert (shown["owner"], shown["guests"], shown["current_version"]) == ("g", ["g"], 2)
    assert destroy(guest, made.data).status == OK
    assert guest.sign(made.data, b"message").status == NO_KEY
    assert guest.list_keys() == []
    assert "no key 'g:session'" in vault.cli("key", "show", "g:session", ok=False).stderr
    assert generate(guest, "session").status == OK


def check(public_der: bytes, signature: bytes) -> None:
    """An ECDSA signature of *message*."""
    public = load_der_public_key(public_der)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    public.verify(utils.encode_dss_signature(r, s), b"message", ec.ECDSA(hashes.SHA256()))


def test_types(guest: RingGuest) -> None:
    """Those that take no time and give no secret; of the others none, whatever number is asked for."""
    for key_type in KeyType:
        answer = generate(guest, "any", int(key_type))
        if key_type in POST_QUANTUM and answer.status == UNSUPPORTED:
            continue
        assert answer.status == (OK if key_type in OWN_TYPES else UNSUPPORTED), key_type
        if answer.status == OK:
            [entry] = guest.list_keys()
            assert entry.op_mask & ~OWNER_BITS
            assert not entry.op_mask & mask((*RELEASING_OPS, Op.RELEASE))
            assert destroy(guest, answer.data).status == OK
    assert generate(guest, "any", 99).status == UNSUPPORTED


def test_quota(vault: Keystored, guest: RingGuest) -> None:
    """So many at a time; one that is destroyed makes room, a smaller number takes nothing away."""
    made = [generate(guest, f"k{number}") for number in range(4)]
    assert [answer.status for answer in made] == [OK, OK, OK, LIMIT]
    assert destroy(guest, made[0].data).status == OK
    assert generate(guest, "k4").status == OK
    # What an operator destroyed is not the guest's to make room with.
    vault.cli("key", "destroy", "g:k4", "--yes")
    assert vault.facts("guest", "show", "g")["own_keys"] == 2
    assert generate(guest, "k4").status == EXISTS
    assert generate(guest, "k5").status == OK
    said = vault.cli("guest", "set", "g", "--own-keys", "1").stdout
    assert said == "guest g may have 1 keys of its own, it has 3\n"
    assert len(guest.list_keys()) == 3
    assert generate(guest, "k6").status == LIMIT
    allow(vault, "g", 0)
    assert generate(guest, "k6").status == DENIED
    assert rotate(guest, made[1].data).status == OK
    assert destroy(guest, made[1].data).status == OK
    assert {entry.label for entry in guest.list_keys()} == {"k2", "k5"}


def test_labels(guest: RingGuest) -> None:
    """No name gets into the vault by a guest that an administrator could not have given; length counts the guest's."""
    for label in ("-a", "a:b", "a/b", "a b", "ä", "g:session", "..", "a\nb"):
        assert generate(guest, label).status == lib.VKS_STATUS_MALFORMED
    assert generate(guest, "l" * 61).status == OK
    assert generate(guest, "m" * 62).status == lib.VKS_STATUS_INPUT_SIZE


def test_a_name_is_taken_only_by_what_the_guest_sees(vault: Keystored, guest: RingGuest) -> None:
    """Its own and what it was granted; that others have one of that name it is not told."""
    vault.api.generate("web", "ec-p256")
    vault.api.generate("granted", "ec-p256")
    vault.api.grant("g", "granted", ["sign"])
    other = vault.add_guest("h")
    allow(vault, "h", 1)
    with ring_guest(other) as neighbour:
        assert generate(neighbour, "session").status == OK
        assert generate(guest, "session").status == OK
        assert generate(guest, "session").status == EXISTS
        assert generate(guest, "granted").status == EXISTS
        assert generate(guest, "web").status == OK
        assert {entry.label for entry in neighbour.list_keys()} == {"session"}
    # Granted afterwards, the administrator's key has the name, and the guest's own its full one.
    vault.api.grant("g", "web", ["sign"])
    assert {entry.label for entry in guest.list_keys()} == {"session", "granted", "web", "g:web"}


def test_other_guests_keys(vault: Keystored, guest: RingGuest) -> None:
    """Not seen, and granted by an administrator to be used, not to be destroyed."""
    made = generate(guest, "shared")
    other = vault.add_guest("h")
    allow(vault, "h", 1)
    with ring_guest(other) as neighbour:
        assert destroy(neighbour, made.data).status == NO_KEY
        vault.api.grant("h", "g:shared", ["sign", "verify"])
        [entry] = neighbour.list_keys()
        assert (entry.label, entry.op_mask & OWNER_BITS) == ("g:shared", 0)
        assert destroy(neighbour, made.data).status == DENIED
        assert rotate(neighbour, made.data).status == DENIED
        assert neighbour.sign(made.data, b"message").status == OK
        assert destroy(guest, made.data).status == OK
        assert neighbour.sign(made.data, b"message").status == NO_KEY


def test_versions_are_bounded(guest: RingGuest) -> None:
    """Each is in the worker's memory."""
    made = generate(guest, "k")
    answers = [rotate(guest, made.data) for _ in range(OWN_VERSIONS_MAX)]
    assert [answer.status for answer in answers] == [OK] * (OWN_VERSIONS_MAX - 1) + [LIMIT]
    assert [answer.key_version for answer in answers[:-1]] == list(range(2, OWN_VERSIONS_MAX + 1))


def test_what_operators_set_aside(vault: Keystored, guest: RingGuest) -> None:
    """A suspended key stays, and so does one whose destruction is planned or that takes several to destroy."""
    made = generate(guest, "k")
    vault.cli("key", "suspend", "g:k")
    assert destroy(guest, made.data).status == lib.VKS_STATUS_KEY_STATE
    vault.cli("key", "activate", "g:k")
    vault.cli("key", "destroy", "g:k", "--after", "7d", "--yes")
    assert destroy(guest, made.data).status == lib.VKS_STATUS_KEY_STATE
    vault.cli("key", "destroy", "g:k", "--cancel")
    vault.cli("key", "guard", "g:k")
    before = len(audit(vault, "key-destroy"))
    assert destroy(guest, made.data).status == DENIED
    assert len(audit(vault, "key-destroy")) == before, "a guest fills the log of changes"
    assert rotate(guest, made.data).status == OK
    vault.cli("grant", "remove", "g", "g:k")
    assert destroy(guest, made.data).status == NO_KEY


def test_on_record(vault: Keystored, guest: RingGuest) -> None:
    """Who, by which request, what; and how the device answered."""
    asked = {"flags": lib.VKS_REQUEST_F_UID, "uid": 1000}
    made = generate(guest, "k")
    assert guest.vault.request(lib.VKS_OP_ROTATE, key_id=made.data, **asked).status == OK
    done = destroy(guest, made.data)
    [generated], [rotated], [destroyed] = (audit(vault, f"key-{verb}") for verb in ("generate", "rotate", "destroy"))
    assert (generated["by_guest"], generated["key"], generated["request"]) == ("g", "g:k", made.sequence)
    assert generated["key_id"] == made.data.hex()
    assert (rotated["by_guest"], rotated["guest_uid"], rotated["version"]) == ("g", 1000, 2)
    assert (destroyed["key"], destroyed["request"]) == ("g:k", done.sequence)
    lines = wait_for(lambda: uses if len(uses := vault.api.get("/audit?limit=100&guest=g")["lines"]) >= 3 else None)
    ops = {line["op"]: line for line in lines if line["kind"] == "use"}
    assert {ops[op]["key_id"] for op in ("generate", "rotate", "destroy")} == {made.data.hex()}
    assert ops["generate"]["key"] == ops["destroy"]["key"] == "g:k"
    shown = vault.cli("audit", "tail").stdout
    assert re.search(r"g uid 1000 +key-rotate +g:k/2 +ok", shown)
    assert re.search(r"g +key-generate +g:k +ok", shown)


def test_what_is_refused_leaves_no_line(vault: Keystored, guest: RingGuest) -> None:
    """A guest cannot fill the log of changes with what it was not given."""
    made = [generate(guest, name).status for name in ("a", "a", "b", "c", "d", "-")]
    assert made == [OK, EXISTS, OK, OK, LIMIT, lib.VKS_STATUS_MALFORMED]
    assert len(audit(vault, "key-generate")) == 3


def test_metrics_do_not_grow_with_them(vault: Keystored, guest: RingGuest) -> None:
    """A guest that makes one after the other is one series for each operation."""
    for number in range(5):
        made = generate(guest, f"k{number}")
        assert guest.sign(made.data, b"message").status == OK
        assert destroy(guest, made.data).status == OK

    def counted() -> list[str]:
        lines = vault.api.get("/metrics").splitlines()
        return [line for line in lines if "operations_total{" in line and 'key="g:' in line]

    wait_for(lambda: [line for line in counted() if 'op="destroy"' in line and line.endswith(" 5.0")])
    assert {re.sub('.*key="([^"]*)".*', r"\1", line) for line in counted()} == {"g:*"}


def test_over_restarts(vault: Keystored, guest: RingGuest) -> None:
    """They are the guest's also with the next keystored, and after a crash."""
    made = generate(guest, "k")
    vault.hand_over()
    vault.start()
    assert guest.sign(made.data, b"message").status == OK
    vault.kill()
    vault.start()
    assert rotate(guest, made.data).key_version == 2
    assert destroy(guest, made.data).status == OK


def test_guest_that_is_removed(vault: Keystored, guest: RingGuest) -> None:
    """Its keys are the vault's then: no new guest of that name has them, nor may it take their names."""
    made = generate(guest, "k")
    said = vault.cli("guest", "remove", "g").stdout
    assert said == "guest g removed, with 1 grants; 1 keys of its own stay: vmm-keystore key list 'g:*'\n"
    assert vault.facts("key", "list", "g:*")[0]["owner"] is None
    socket = vault.add_guest("g")
    allow(vault, "g", 1)
    with ring_guest(socket) as successor:
        assert successor.list_keys() == []
        assert successor.sign(made.data, b"message").status == NO_KEY
        assert generate(successor, "k").status == EXISTS
        assert generate(successor, "l").status == OK
    assert vault.facts("key", "destroy", "g:k", "--yes")["state"] == "destroyed"


def test_applied_file_leaves_them_alone(vault: Keystored, guest: RingGuest) -> None:
    """What a guest granted itself is in no administrator's file; how many it may have is."""
    made = generate(guest, "k")
    file = vault.folder / "vault.toml"
    text = f'[guests.g]\nsocket = "{vault.folder}/g.sock"\nown_keys_max = 3\n'
    file.write_text(text)
    assert "nothing to change" in vault.cli("apply", "-f", file).stdout
    file.write_text(text.replace("= 3", "= 1"))
    assert vault.cli("apply", "-f", file, "--prune").stdout.splitlines()[0] == "~ guest g own keys 3 -> 1"
    assert guest.sign(made.data, b"message").status == OK
    assert generate(guest, "l").status == LIMIT
    file.write_text(text + '\n[[guests.g.grants]]\nkey = "g:k"\nops = ["verify"]\n')
    vault.cli("apply", "-f", file)
    assert guest.sign(made.data, b"message").status == DENIED
    assert destroy(guest, made.data).status == OK


def test_locked_vault(vault: Keystored, guest: RingGuest) -> None:
    """The guest is told that it may try again; what needs no new key goes on."""
    made = generate(guest, "k")
    secret = vault.folder / "passphrase"
    secret.write_text("correct horse battery staple")
    vault.cli("root", "change", "passphrase", "--passphrase-file", secret)
    pid = vault.api.get("/status")["custodian"]["pid"]
    kill(pid)
    wait_for(lambda: vault.api.get("/status")["custodian"]["pid"] not in {pid, None})
    assert generate(guest, "l").status == lib.VKS_STATUS_UNAVAILABLE
    assert rotate(guest, made.data).status == lib.VKS_STATUS_UNAVAILABLE
    assert guest.sign(made.data, b"message").status == OK
    assert destroy(guest, made.data).status == OK
    vault.cli("root", "unlock", "--passphrase-file", secret)
    assert generate(guest, "l").status == OK

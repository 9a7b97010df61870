# SPDX-License-Identifier: Apache-2.0
"""Known answers through the device path: front-end's ring, real worker, libcrypto, and back."""

from collections import Counter
from collections.abc import Iterator

import pytest
from framework.guest_ram import GuestRam
from framework.split_ring import SplitRing
from framework.vault import Answer, Vault
from protocol.vectors import ROOT, Case, all_cases
from protocol.vectors_derive import derive_sources
from protocol.worker_rig import RigKey, WorkerRig, Zygote, key_id

from vmm_keystore._vks import lib

KEYS_PER_LOAD = 200
RUN_SHARE_MIN = 0.9
SOURCES: dict[str, list[Case | None]] = dict(all_cases()) | {
    str(path.relative_to(ROOT)): list(cases) for path, cases in derive_sources()
}
BYTES_MAX = 256 << 10
ran: Counter[str] = Counter()


@pytest.fixture(scope="module")
def device() -> Iterator[tuple[WorkerRig, Vault]]:
    """A worker that serves one ring."""
    with GuestRam() as ram, SplitRing(ram, 64) as ring, Zygote() as zygote, WorkerRig(zygote) as worker:
        vault = Vault(ram, ring, readable_bytes_max=BYTES_MAX, writable_bytes_max=BYTES_MAX)
        worker.share(ram)
        worker.start(ring)
        yield worker, vault


def room(case: Case) -> int:
    """An output area with room to spare; for HKDF, which fills it, as large as the answer."""
    if case.op == lib.VKS_OP_DERIVE and case.mechanism != lib.VKS_MECHANISM_ECDH:
        return len(case.output or b"")
    return 1024 if case.output is None or case.op == lib.VKS_OP_DERIVE else len(case.input) + 1024


def ask(vault: Vault, case: Case, key: RigKey) -> Answer:
    return vault.request(
        case.op,
        key_id=key.key_id,
        mechanism=case.mechanism,
        parameter=case.parameter,
        aad=case.aad,
        data=case.input,
        output_bytes=room(case),
    )


@pytest.mark.parametrize("source", SOURCES)
def test_known_answers(device: tuple[WorkerRig, Vault], source: str) -> None:
    """Every applicable case of a file gives the status and the bytes that the file says, positive and negative."""
    worker, vault = device
    cases = [case for case in SOURCES[source] if case is not None]
    materials = list(dict.fromkeys((case.key_type, case.material) for case in cases))
    for start in range(0, len(materials), KEYS_PER_LOAD):
        loaded = {
            material: RigKey(key_id(number), *material)
            for number, material in enumerate(materials[start : start + KEYS_PER_LOAD], 1)
        }
        worker.publish()
        worker.give(*loaded.values())
        for number, case in enumerate(cases):
            key = loaded.get((case.key_type, case.material))
            if key is None:
                continue
            answer = ask(vault, case, key)
            assert answer.status == case.status, f"{source}, case {number}: status {answer.status:#x}"
            if case.output is not None:
                assert answer.data == case.output, f"{source}, case {number}"
            elif case.status != lib.VKS_STATUS_OK:
                assert answer.output_bytes == 0
                assert not any(answer.output)
            ran[source] += 1
        worker.records()


def test_enough_cases_ran(capsys: pytest.CaptureFixture[str]) -> None:
    """At least nine of ten applicable cases passed in the tests above; the table says which and how many."""
    applicable = {source: len(cases) for source, cases in SOURCES.items()}
    with capsys.disabled():
        print()
        for source in SOURCES:
            print(f"  {source}: {ran[source]} of {applicable[source]} applicable cases ran")
        print(f"  known answers: {sum(ran.values())} of {sum(applicable.values())} applicable cases ran")
    assert sum(ran.values()) >= RUN_SHARE_MIN * sum(applicable.values())

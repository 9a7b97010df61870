# SPDX-License-Identifier: Apache-2.0
"""A device that lies to the driver: no length, id or status of its makes the guest read or write beyond its buffers.

The checking kernel (KASAN, lockdep) is the judge; what it complains of fails the test.
"""

import random

import pytest
from guest.boot import Boot
from guest.driver_bench import BIND, REMOVE, Bench, Plug
from guest.driver_device import Answer, Lie, Request
from guest.driver_images import driver_content

from vmm_keystore._vks import lib

pytestmark = [pytest.mark.uml, pytest.mark.timeout(300)]

# Only the checking kernel notices what a lie would do; an ordinary one is driven by test_driver.py.
checked = pytest.mark.parametrize("bench", ["uml-kasan"], indirect=True)
ENODEV, EIO, EPROTO, EOPNOTSUPP = 19, 5, 71, 95
U32_MAX = 0xFFFF_FFFF


def lying(**fields: object) -> Lie:
    """Change these fields of every answer but those to info."""

    def lie(request: Request, answer: Answer) -> None:
        if request.op != lib.VKS_OP_INFO:
            for name, value in fields.items():
                setattr(answer, name, value)

    return lie


@checked
@pytest.mark.parametrize(
    ("lie", "error"),
    [
        (lying(used_bytes=0), -EPROTO),
        (lying(used_bytes=25), -EPROTO),
        (lying(used_bytes=U32_MAX), -EPROTO),
        (lying(used_bytes=(1 << 20) + 64 + 26), -EPROTO),
        (lying(output_bytes=(1 << 20) + 65), -EPROTO),
        (lying(output_bytes=U32_MAX), -EPROTO),
        (lying(skip_status=True), -EPROTO),
        (lying(skip_status=True, used_bytes=0), -EPROTO),
        (lying(status=1), -EPROTO),
        (lying(status=0x7F), -EPROTO),
        (lying(status=lib.VKS_STATUS_END), -EPROTO),
        (lying(status=0xFF), -EPROTO),
        (lying(status=lib.VKS_STATUS_FOREIGN_NOTSUPP), -EOPNOTSUPP),
        (lying(status=lib.VKS_STATUS_DENIED, output_bytes=U32_MAX), lib.VKS_STATUS_DENIED),
        (lying(status=lib.VKS_STATUS_OUTPUT_SIZE, output_bytes=U32_MAX), lib.VKS_STATUS_OUTPUT_SIZE),
    ],
)
def test_lie_costs_one_request(bench: Bench, lie: Lie, error: int) -> None:
    """MUST-15: an answer that makes no sense is EPROTO for its request, and the device may go on."""
    bench.factory.lie = lie
    failed = bench.guest.run("exercise sizes", check=False)
    assert failed.status == 1
    assert f"({error})" in failed.stderr.decode()
    bench.factory.lie = None
    assert bench.exercise("sizes") == ["sizes ok"]


@checked
def test_unwritten_output_is_zero(bench: Bench) -> None:
    """What the device says that it wrote and did not, shows nothing of the kernel's memory."""
    bench.factory.lie = lying(skip_output=True, output_bytes=4096)
    for _ in range(20):
        assert bench.guest.run("vks random 4096").stdout == bytes(4096)


@checked
@pytest.mark.parametrize("head", [1023, 1024, 0xFFFF, U32_MAX], ids=["free", "first beyond", "u16", "u32"])
def test_wrong_id_breaks_the_ring(bench: Bench, head: int) -> None:
    """An answer to nobody's request: the ring is not trusted any more, all who wait and come get EIO, a rebind heals."""
    silent = lying(silent=True)
    bench.factory.lie = silent
    waiting = [bench.guest.start("exercise wait") for _ in range(3)]
    bench.wait_op(lib.VKS_OP_RANDOM, 3)
    bench.factory.lie = lying(head=head)
    assert bench.exercise("wait") == ["waiting", f"random {-EIO}", f"again {-EIO}"]
    for job in waiting:
        assert job.wait(10)
        assert bytes(job.stdout).decode().splitlines()[1:] == [f"random {-EIO}", f"again {-EIO}"]
    bench.factory.lie = None
    bench.rebind()
    assert bench.exercise("sizes") == ["sizes ok"]


@checked
def test_answer_given_twice(bench: Bench) -> None:
    """The second answer to a request finds it gone: EIO from there on, nothing is used after it was freed."""
    bench.factory.lie = lying(times=2)
    assert bench.exercise("wait") == ["waiting", "random 0", f"again {-EIO}"]
    bench.factory.lie = None
    bench.rebind()
    assert bench.exercise("sizes") == ["sizes ok"]


@checked
def test_interrupts_without_work(bench: Bench) -> None:
    """Interrupts that announce nothing, before each answer and while nobody waits, change nothing."""
    device = bench.factory.devices[-1]
    bench.factory.lie = lambda _request, _answer: device.interrupt(50)
    assert bench.exercise("sizes") == ["sizes ok"]
    bench.factory.lie = None
    bench.server.reactor.call_soon(lambda: device.interrupt(200))
    assert bench.exercise("sizes") == ["sizes ok"]


HALTS: dict[str, dict[str, bool]] = {
    "not taken": {},
    "taken": {"silent": True},
    "answer written, not published": {"unpublished": True},
    "answer cut short, not published": {"unpublished": True, "skip_status": True, "skip_output": True},
    "published, not signalled": {"unsignalled": True},
}


@checked
@pytest.mark.parametrize("halt", HALTS)
def test_removal_at_every_point(bench: Bench, halt: str) -> None:
    """The device is taken away when it has come so far with a request: who waits and comes gets ENODEV, no more."""
    waits = ["exercise wait", "exercise wait", "exercise wait-for-removal"]
    bench.factory.deaf = halt == "not taken"

    def lie(request: Request, answer: Answer) -> None:
        if request.op == lib.VKS_OP_RANDOM:
            for name, value in HALTS[halt].items():
                setattr(answer, name, value)

    bench.factory.lie = lie
    jobs = [bench.guest.start(command) for command in waits]
    for job in jobs:
        assert job.wait_for_output(b"waiting\n", 10)
    if not bench.factory.deaf:
        bench.wait_op(lib.VKS_OP_RANDOM, 2 + 3)
    bench.guest.run(REMOVE)
    bench.factory.deaf = False
    for job in jobs:
        assert job.wait(10), f"hangs: {halt}"
    for job in jobs[:2]:
        assert bytes(job.stdout).decode().splitlines() == ["waiting", f"random {-ENODEV}", f"again {-ENODEV}"]
    assert f"reaped 3 errors {-ENODEV} {-ENODEV} {-ENODEV}" in bytes(jobs[2].stdout).decode()
    bench.factory.lie = None
    bench.guest.run(BIND)
    assert bench.exercise("sizes") == ["sizes ok"]


@checked
@pytest.mark.parametrize("seed", range(3))
def test_random_lies(bench: Bench, seed: int) -> None:
    """Any mixture of lies under load leaves the guest whole; after a rebind it works again."""
    dice = random.Random(seed)  # noqa: S311  repeatable, not secret

    def lie(request: Request, answer: Answer) -> None:
        if request.op == lib.VKS_OP_INFO or dice.random() < 0.7:
            return
        answer.status = dice.choice([0, 0, 0x83, 0x89, dice.randrange(256)])
        answer.output_bytes = dice.choice([None, 0, request.head.output_bytes + 1, dice.getrandbits(32)])
        answer.used_bytes = dice.choice([None, 0, 24, request.writable_bytes + 1, dice.getrandbits(32)])
        answer.skip_status = dice.random() < 0.2
        answer.silent = dice.random() < 0.05
        if dice.random() < 0.01:
            answer.head = dice.getrandbits(dice.choice([8, 10, 32]))

    bench.factory.lie = lie
    loop = (
        "for i in 1 2 3 4; do (for n in $(seq 30); do timeout -s KILL 1 exercise {} >/dev/null 2>&1; done) & done; wait"
    )
    bench.guest.run(loop.format("killing 3"), timeout=150)
    bench.factory.lie = None
    bench.factory.release()
    bench.rebind()
    assert bench.exercise("sizes") == ["sizes ok"]
    assert bench.exercise("batch 64") == ["batch good 43 refused 21"]


def test_silent_rebind(bench: Bench) -> None:
    """A device that answers nothing, not even info, is given up after a while, and later taken again."""
    bench.guest.run(REMOVE)
    bench.factory.lie = lambda _request, answer: setattr(answer, "silent", True)
    refused = bench.guest.run(BIND, check=False, timeout=30)
    assert refused.status != 0
    bench.guest.run("! test -e /dev/keystore0")
    bench.factory.lie = None
    bench.guest.run(BIND)
    assert bench.exercise("sizes") == ["sizes ok"]


def _info_lie(**fields: object) -> Lie:
    def lie(_request: Request, answer: Answer) -> None:
        for name, value in fields.items():
            setattr(answer, name, value)

    return lie


@pytest.mark.parametrize(
    "lie",
    [
        _info_lie(status=lib.VKS_STATUS_FOREIGN_NOTSUPP, output=b"", skip_status=False),
        _info_lie(status=lib.VKS_STATUS_VERSION, output=b""),
        _info_lie(skip_status=True),
        _info_lie(used_bytes=0),
        _info_lie(output_bytes=10),
        _info_lie(output_bytes=U32_MAX),
        _info_lie(head=77),
    ],
    ids=["foreign", "other version", "no status", "used 0", "short info", "long info", "wrong id"],
)
@pytest.mark.parametrize("kind", ["uml-plain", "uml-kasan"])
def test_foreign_device_is_declined(plug: Plug, boot: Boot, kind: str, lie: Lie) -> None:
    """MUST-22: a device that does not answer info as ours does is reset and left alone; doctor says what is wrong."""
    plug.factory.lie = lie
    # Not at boot: when a device goes, virtio_uml of 6.1 gives the number of a shared interrupt away, here to the agent.
    guest = boot(kind, driver_content(load=()), devices=[(plug.path, 20)])
    guest.run("modprobe virtio_keystore")
    guest.run("! test -e /dev/keystore0; ! test -e /sys/bus/virtio/devices/virtio0/driver")
    # ACKNOWLEDGE, perhaps FAILED; no DRIVER, no DRIVER_OK.
    assert int(guest.run("cat /sys/bus/virtio/devices/virtio0/status").text, 16) & 0x06 == 0
    sick = guest.run("vks doctor", check=False)
    assert sick.status == 1
    assert "bad  device virtio0 of virtio id 20 has no driver" in sick.text
    plug.factory.lie = None
    guest.run(BIND)
    assert guest.run("exercise sizes").text == "sizes ok"

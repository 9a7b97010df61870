# SPDX-License-Identifier: Apache-2.0
"""The guest driver against a device in Python, under user-mode Linux.

Each test runs with an ordinary kernel and with one that checks memory and locking; what a kernel complains of fails
the test that was running.
"""

import hmac
import signal
from typing import Any

import pytest
from guest.driver_bench import BIND, REMOVE, Bench
from guest.driver_device import KEY_LABEL, MAC_KEY

from vmm_keystore._vks import ffi, lib

pytestmark = [pytest.mark.uml, pytest.mark.timeout(300)]

ENODEV, EIO, EPROTO, EAGAIN, EFAULT, E2BIG, EINVAL, ENOTTY = 19, 5, 71, 11, 14, 7, 22, 25
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16


def test_first_request_is_info(bench: Bench) -> None:
    """MUST-22: info comes first, with the driver's own version and the features that were negotiated."""
    first = bench.factory.record.requests[0]
    assert first.op == lib.VKS_OP_INFO
    said: Any = ffi.from_buffer("struct vks_info_request *", first.input)
    assert (said.abi_version_min, said.abi_version_max) == (lib.VKS_ABI_VERSION_MIN, lib.VKS_ABI_VERSION)
    assert said.driver_version == 0x000100
    version_1, indirect, event_idx = 1 << 32, 1 << 28, 1 << 29
    assert said.driver_features & (version_1 | indirect | event_idx) == version_1 | indirect | event_idx
    # MUST-5: never a smaller head, never without a writable byte; Request.decode holds every request to MUST-6.
    assert all(request.writable_bytes >= 1 for request in bench.factory.record.requests)
    assert bench.guest.run("stat -c '%A %t' /dev/keystore0").text.startswith("crw-rw----")


def test_cli_end_to_end(bench: Bench) -> None:
    """The CLI, over library and driver, gets right answers and shows what the device says."""
    run = bench.guest.run
    tag = hmac.digest(MAC_KEY, b"a message", "sha256")
    assert run(f"vks mac {KEY_LABEL}", stdin=b"a message").stdout == tag
    assert run(f"vks mac {bytes(range(16)).hex()}", stdin=b"a message").stdout == tag
    bench.guest.push(tag, "/tmp/tag")
    run(f"vks mac-verify {KEY_LABEL} /tmp/tag", stdin=b"a message")
    refused = run(f"vks mac-verify {KEY_LABEL} /tmp/tag", stdin=b"another", check=False)
    assert (refused.status, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(b"vks: mac-verify: verification failed")
    assert len(run("vks random 100000").stdout) == 100_000
    assert "python-test" in run("vks info").text
    assert '"guest": "python-test"' in run("vks info --json").text
    assert KEY_LABEL in run("vks list").text
    absent = run("vks mac nobody", stdin=b"x", check=False)
    assert absent.status == 1
    assert absent.stderr.splitlines()[0] == b"vks: mac: no such key, or not granted to this guest"
    assert run("vks doctor").text.count("ok ") >= 4


def test_every_size(bench: Bench) -> None:
    """Requests of every size arrive whole and come back whole, up to a mebibyte, whatever pages they fall on."""
    assert bench.exercise("sizes") == ["sizes ok"]
    assert bench.exercise("all-parts") == ["parts ok"]


def test_batch(bench: Bench) -> None:
    """Each request of a batch has its own answer; more than fit the ring or the memory limit of a batch do too."""
    assert bench.exercise("batch 9") == ["batch good 6 refused 3"]
    assert bench.exercise("batch 256") == ["batch good 171 refused 85"]


def test_asynchronous(bench: Bench) -> None:
    """Enqueue, poll and reap carry any number of requests, each with its own answer."""
    assert bench.exercise("async 3000") == ["async 3000"]


def test_threads(bench: Bench) -> None:
    """Threads on one open file do not get each other's answers."""
    assert bench.exercise("threads") == ["threads ok"]


def test_hostile_calls(bench: Bench) -> None:
    """Every pointer and length of an ioctl is tried wrong; the answer is an errno."""
    fault = ["parameter-null", "aad-null", "input-null", "request-null", "request-bad", "request-kernel"]
    fault += ["enqueue-bad", "batch-bad"]
    too_big = ["parameter-huge", "aad-huge", "input-huge", "output-huge", "input-over", "output-over"]
    expected = dict.fromkeys(fault, EFAULT) | dict.fromkeys(too_big, E2BIG)
    expected |= dict.fromkeys(["batch-empty", "batch-over", "reap-over", "read"], EINVAL)
    expected |= dict.fromkeys(["batch-array-bad", "batch-array-bad-done", "reap-nothing"], 0)
    expected |= {"command-unknown": ENOTTY, "command-foreign": ENOTTY, "mmap": ENODEV}
    said = dict(line.split() for line in bench.exercise("hostile"))
    assert {name: int(value) for name, value in said.items()} == expected
    assert bench.exercise("output-fault") == [f"submit {-EFAULT}", f"reaped {-EFAULT}"]


def test_caller_cannot_forge(bench: Bench) -> None:
    """MUST-32: opcode service, cookie, uid, its flag and reserved fields are the driver's, whatever the caller wrote."""
    bench.exercise("forge")
    head = bench.wait_op(lib.VKS_OP_RANDOM)[-1].head
    assert head.opcode == lib.VKS_SERVICE << 8 | lib.VKS_OP_RANDOM
    assert (head.cookie, head.uid, head.flags) == (0, 0, lib.VKS_REQUEST_F_UID)
    assert (head.reserved0, head.reserved1) == (0, 0)


def test_openers_uid(bench: Bench) -> None:
    """MUST-32: the uid is that of whoever opened the device, also after the process changed its own."""
    bench.exercise("opener 1234")
    assert bench.wait_op(lib.VKS_OP_RANDOM)[-1].head.uid == 0
    bench.guest.run("chmod 666 /dev/keystore0; cp $(which exercise) /tmp/exercise; chmod 755 /tmp/exercise")
    bench.guest.run("setpriv --reuid 65534 /tmp/exercise forge || su -s /bin/sh nobody -c '/tmp/exercise forge'")
    assert bench.wait_op(lib.VKS_OP_RANDOM, 2)[-1].head.uid == 65534


def test_info_of_a_caller_keeps_the_drivers_features(bench: Bench) -> None:
    """A process that says info cannot tell the device other features than the driver negotiated."""
    bench.guest.run("vks info")
    first, *others = [r.input for r in bench.factory.record.requests if r.op == lib.VKS_OP_INFO]
    assert others == [first]


def test_out_of_order(bench: Bench) -> None:
    """MUST-12: answers in the opposite order reach those who asked."""
    bench.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_ENCRYPT)
    job = bench.guest.start("exercise batch 60")
    bench.wait_op(lib.VKS_OP_ENCRYPT, 60)
    bench.factory.lie = None
    bench.factory.release()
    assert job.wait(20)
    assert bytes(job.stdout) == b"batch good 40 refused 20\n"


@pytest.mark.parametrize(
    ("size", "count"), [(16, lib.VKS_IOC_PENDING_MAX), (1 << 20, 8)], ids=["count limit", "byte limit"]
)
def test_flood_is_bounded(bench: Bench, size: int, count: int) -> None:
    """One open file holds a bounded number of requests and bytes, poll agrees, and closing it gives all back."""
    bench.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_ENCRYPT)
    sent = bench.exercise(f"flood {size}")[0].split()
    assert (int(sent[1]), int(sent[3]), int(sent[5]) & POLLOUT) == (count, -EAGAIN, 0)
    # The same again: what was closed does not count any more, though the device still owns its buffers.
    assert bench.exercise(f"flood {size}")[0].split()[1] == str(count)
    bench.factory.lie = None
    bench.factory.release()
    assert bench.exercise("sizes") == ["sizes ok"]


def test_killed_waiter(bench: Bench) -> None:
    """MUST-33: a waiter that is killed leaves its buffers to the device, which may still write to them."""
    bench.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_RANDOM)
    jobs = [bench.guest.start("exercise wait") for _ in range(5)]
    bench.wait_op(lib.VKS_OP_RANDOM, 5)
    for job in jobs:
        job.signal(signal.SIGKILL)
        assert job.wait(10)
    bench.factory.lie = None
    bench.factory.release()
    assert bench.exercise("killing 40") == ["killing ok"]


def test_signal_handler_does_not_cost_the_answer(bench: Bench) -> None:
    """A request that the device has is waited for, whatever signals are handled meanwhile."""
    bench.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_RANDOM)
    job = bench.guest.start("exec exercise interrupted")
    bench.wait_op(lib.VKS_OP_RANDOM)
    for _ in range(5):
        job.signal(signal.SIGUSR1)
    bench.factory.lie = None
    bench.factory.release()
    assert job.wait(10)
    assert bytes(job.stdout) == b"waiting\nrandom 0\n"


def test_removal_with_requests_pending(bench: Bench) -> None:
    """MUST-33: waiting, later and asynchronous requests get ENODEV, open files stay valid, and poll says so."""
    bench.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_RANDOM)
    waiting, polling = bench.guest.start("exercise wait"), bench.guest.start("exercise wait-for-removal")
    bench.wait_op(lib.VKS_OP_RANDOM, 4)
    bench.guest.run(REMOVE)
    for job in (waiting, polling):
        assert job.wait(10)
    assert bytes(waiting.stdout).decode().splitlines() == ["waiting", f"random {-ENODEV}", f"again {-ENODEV}"]
    assert bytes(polling.stdout).decode().splitlines() == [
        "waiting",
        f"revents {POLLERR | POLLHUP}",
        f"reaped 3 errors {-ENODEV} {-ENODEV} {-ENODEV}",
        "enqueue 0",
        f"late 1 error {-ENODEV}",
    ]
    bench.guest.run("! test -e /dev/keystore0")
    bench.factory.lie = None
    bench.guest.run(BIND)
    assert bench.exercise("sizes") == ["sizes ok"]


def test_removal_under_load(bench: Bench) -> None:
    """The device goes and comes while processes use it, many times; nothing hangs and nothing is used after free."""
    job = bench.guest.start(
        "for i in $(seq 8); do (while true; do exercise threads >/dev/null 2>&1; done) & done; wait"
    )
    for _ in range(20):
        bench.wait_op(lib.VKS_OP_ENCRYPT, len(bench.wait_op(lib.VKS_OP_ENCRYPT)) + 5)
        bench.guest.run(f"{REMOVE}; {BIND}", timeout=30)
    job.signal(signal.SIGKILL)
    assert job.wait(10)
    bench.guest.run("while pgrep exercise >/dev/null; do pkill -9 exercise; done")
    assert bench.exercise("sizes") == ["sizes ok"]


@pytest.mark.parametrize("bench", ["uml-kasan"], indirect=True)
@pytest.mark.parametrize("size", [64, 100_000])
def test_every_allocation_fails_once(bench: Bench, size: int) -> None:
    """Whichever allocation of a call fails, the caller gets ENOMEM or the right answer, and the next call works."""
    bench.guest.run("cd /sys/kernel/debug/failslab && echo N >ignore-gfp-wait && echo 0 >verbose")
    said = bench.exercise(f"fail-allocations {size}")
    refused = [int(line.split()[3]) for line in said]
    # call, tail, scatterlist, both buffers; the file of open: the injection did reach them.
    assert len(said) == 3
    assert refused[0] >= 5
    assert refused[1] >= 5
    assert refused[2] >= 1
    assert bench.exercise("sizes") == ["sizes ok"]


def test_removal_gives_all_memory_back(bench: Bench) -> None:
    """MUST-33: what the device still owned is freed once it is gone; more passes through here than the guest has."""
    bench.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_ENCRYPT)
    for _ in range(25):
        assert bench.exercise(f"flood {1 << 20}")[0].startswith("flood 8 ")
        bench.wait_op(lib.VKS_OP_ENCRYPT, 8)
        bench.factory.record.requests.clear()
        bench.rebind()
    bench.factory.lie = None
    assert bench.exercise("sizes") == ["sizes ok"]

# SPDX-License-Identifier: Apache-2.0
"""The run: guests at work, an administrator who changes things, and somebody who kills every process of ours.

At the end: every answer was right and is on record, what was answered to the administrator holds, the log
verifies, nothing grew, nothing is left behind.
"""

import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from framework.holdings import holding
from framework.keystored import Keystored
from framework.processes import Process, adopt_orphans, descendants, kill, reap_adopted, roles

from soak.churn import Churn
from soak.growth import Growth, Trend
from soak.records import covered_requests
from soak.work import READY, Tally, run_guest
from vmm_keystore._vks import lib

KEYS = {"p256": "ec-p256", "ed25519": "ed25519", "rsa": "rsa-2048"}
SECRETS = {"mac": "hmac-sha256", "gcm": "aes-256"}
OPS = {"p256": ["sign"], "ed25519": ["sign"], "rsa": ["sign"], "mac": ["mac"], "gcm": ["encrypt"]}
KEYSTORED, HOLDER = "vmm-keystore", "vks-holder"
VICTIMS = {"vks-worker": 24, "vks-zygote": 3, "vks-custodian": 3, KEYSTORED: 3, HOLDER: 3}
"""Process names and how often each is killed, in parts. Keystored and holder never at once: nobody outlives that."""
KILL_INTERVAL_S = (0.2, 1.5)
SAMPLE_INTERVAL_S = 1.0
REPORT_INTERVAL_S = 15.0
GUEST_READY_S = 60.0
GUEST_END_S = 120.0
END_WAIT_S = 5.0


class SoakFailed(AssertionError):
    """What was wrong."""


@dataclass
class Report:
    """The counts of one run."""

    seconds: float
    kills: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    set_aside: int = 0
    records: int = 0
    changes_answered: int = 0
    changes_unanswered: int = 0
    longest_batch_s: float = 0.0
    trends: list[Trend] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The summary."""
        kills = ", ".join(f"{role} {count}" for role, count in sorted(self.kills.items()))
        lines = [
            f"soak: {self.seconds:.0f} s, {self.requests} requests answered right, {self.set_aside} set aside",
            f"soak: {sum(self.kills.values())} kills ({kills})",
            f"soak: {self.records} audit records, every answered request on record, log verified",
            f"soak: {self.changes_answered} changes answered and in force, {self.changes_unanswered} cut off",
            f"soak: longest wait for a batch {self.longest_batch_s:.2f} s",
        ]
        lines += [
            f"soak: {t.role}: {t.first.fd_count} -> {t.last.fd_count} descriptors, "
            f"{t.first.private_kib} -> {t.last.private_kib} KiB private"
            for t in self.trends
        ]
        return "\n".join([*lines, "soak: ok"])


class Soak:
    """One run."""

    def __init__(self, guest_count: int, seed: int, say: Callable[[str], None]) -> None:
        self._names = [f"guest{i + 1}" for i in range(guest_count)]
        self._seed = seed
        self._say = say
        self._chance = random.Random(seed)  # noqa: S311 - a mix, not a key
        self._growth = Growth()
        self._report = Report(0)
        self._not_ours: set[int] = set()

    def run(self, seconds: float) -> Report:
        """Work for so long, then check.

        Raises:
            SoakFailed: something was lost, wrong, unrecorded, or grew.
        """
        adopt_orphans()
        self._report.seconds = seconds
        with Keystored() as vault:
            secrets = self._prepare(vault)
            churn = Churn(vault, self._names, self._seed)
            with self._working(vault, secrets) as (pipes, tallies):
                churn.start()
                try:
                    self._kill_for(vault, seconds, pipes)
                finally:
                    churn.stop()
            self._check(vault, churn, tallies)
        self._check_nothing_left()
        return self._report

    def _prepare(self, vault: Keystored) -> dict[str, dict[str, bytes]]:
        """Make guests and keys; the imported ones by guest and label."""
        secrets: dict[str, dict[str, bytes]] = {}
        for name in self._names:
            vault.add_guest(name)
            secrets[name] = {}
            for label, key_type in KEYS.items():
                vault.api.generate(f"{name}-{label}", key_type)
            for label, key_type in SECRETS.items():
                secrets[name][label] = os.urandom(32)
                path = vault.folder / "key"
                path.write_bytes(secrets[name][label])
                vault.cli("key", "import", f"{name}-{label}", "--type", key_type, "--format", "raw", path)
                path.unlink()
            for label, ops in OPS.items():
                vault.api.grant(name, f"{name}-{label}", ops)
        return secrets

    @contextmanager
    def _working(
        self, vault: Keystored, secrets: dict[str, dict[str, bytes]]
    ) -> Iterator[tuple[list[Connection], list[Tally]]]:
        """Run guests, each a process; their tallies are there at the end."""
        context = multiprocessing.get_context("spawn")
        pipes: list[Connection] = []
        workers = []
        for number, name in enumerate(self._names):
            ours, theirs = context.Pipe()
            worker = context.Process(
                target=run_guest,
                args=(name, vault.folder / f"{name}.sock", secrets[name], self._seed + number, theirs),
            )
            worker.start()
            theirs.close()
            pipes.append(ours)
            workers.append(worker)
        # The tracker that multiprocessing starts is not ours to count.
        self._not_ours = {process.pid for process in descendants(os.getpid()) if process.role.startswith("python")}
        tallies: list[Tally] = []
        try:
            for name, pipe in zip(self._names, pipes, strict=True):
                first = pipe.recv() if pipe.poll(GUEST_READY_S) else "no answer"
                if first != READY:
                    raise SoakFailed(f"{name} did not start: {first}")
            yield pipes, tallies
            for pipe in pipes:
                pipe.send("stop")
            for name, pipe in zip(self._names, pipes, strict=True):
                if not pipe.poll(GUEST_END_S):
                    raise SoakFailed(f"{name} does not come to an end")
                tallies.append(pipe.recv())
        finally:
            for worker in workers:
                worker.join(5)
                worker.kill()

    def _kill_for(self, vault: Keystored, seconds: float, pipes: list[Connection]) -> None:
        started_s = time.monotonic()
        next_kill_s = next_sample_s = next_report_s = started_s
        while (now_s := time.monotonic()) < started_s + seconds:
            if any(pipe.poll() for pipe in pipes):
                failed = next(pipe for pipe in pipes if pipe.poll()).recv()
                raise SoakFailed(f"{failed.guest}: {failed.failure}\n{vault.log_text[-4000:]}")
            if now_s >= next_kill_s:
                self._kill_one(vault)
                next_kill_s = time.monotonic() + self._chance.uniform(*KILL_INTERVAL_S)
            if now_s >= next_sample_s:
                self._sample()
                reap_adopted(os.getpid())
                next_sample_s = time.monotonic() + SAMPLE_INTERVAL_S
            if now_s >= next_report_s:
                self._say(f"{now_s - started_s:.0f} of {seconds:.0f} s, {sum(self._report.kills.values())} kills")
                next_report_s = now_s + REPORT_INTERVAL_S
            time.sleep(0.01)

    def _kill_one(self, vault: Keystored) -> None:
        role = self._chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        if role == KEYSTORED:
            self._wait_for_holder(vault)
            vault.kill()
            vault.start()
            self._report.kills[role] += 1
            return
        candidates = [process.pid for process in self._ours() if process.role == role]
        if candidates and kill(self._chance.choice(candidates)):
            self._report.kills[role] += 1

    def _wait_for_holder(self, vault: Keystored) -> None:
        """Have all that the last holder had with the next one."""
        end_s = time.monotonic() + END_WAIT_S
        while vault.log_text.count(f"{HOLDER} restarted") < self._report.kills[HOLDER]:
            if time.monotonic() > end_s:
                raise SoakFailed(f"the holder was not restored\n{vault.log_text[-4000:]}")
            time.sleep(0.01)

    def _ours(self) -> list[Process]:
        return [process for process in descendants(os.getpid()) if process.pid not in self._not_ours]

    def _check_nothing_left(self) -> None:
        """A worker ends by itself when its control socket closes: soon, not at once."""
        end_s = time.monotonic() + END_WAIT_S
        while left := [process for process in self._ours() if process.role.startswith("vks-")]:
            if time.monotonic() > end_s:
                raise SoakFailed(f"left behind: {dict(roles(left))}")
            time.sleep(0.05)

    def _sample(self) -> None:
        for process in self._ours():
            found = holding(process.pid)
            if found is not None:
                self._growth.add(process.role, found)

    def _check(self, vault: Keystored, churn: Churn, tallies: list[Tally]) -> None:
        report = self._report
        problems = [f"{tally.guest}: {tally.failure}" for tally in tallies if tally.failure]
        problems += [churn.failure, churn.check()]
        verified = vault.api.get("/audit/verify")
        if not verified["ok"]:
            problems.append(f"audit log: {verified}")
        for tally in tallies:
            report.requests += tally.statuses[lib.VKS_STATUS_OK]
            report.set_aside += tally.statuses[lib.VKS_STATUS_INTERNAL]
            report.longest_batch_s = max(report.longest_batch_s, tally.longest_s)
            covered, record_count = covered_requests(vault, tally.guest)
            report.records += record_count
            missing = [sequence for sequence in tally.sequences if sequence not in covered]
            if missing:
                problems.append(f"{tally.guest}: {len(missing)} answered requests are not on record")
            if len(set(tally.sequences)) != len(tally.sequences):
                problems.append(f"{tally.guest}: two answers with one number")
        report.changes_answered, report.changes_unanswered = churn.answered, churn.unanswered
        report.trends = self._growth.trends()
        problems += [trend.problem for trend in report.trends]
        problems = [problem for problem in problems if problem]
        if problems:
            raise SoakFailed("; ".join(problems) + "\n" + vault.log_text[-4000:])

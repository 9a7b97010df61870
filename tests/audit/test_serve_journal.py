# SPDX-License-Identifier: Apache-2.0
"""``serve --journal``: what an administrator does arrives in the journal."""

from __future__ import annotations

import subprocess
from pathlib import Path

from audit.test_journal import journal, receive
from framework.keystored import PROGRAM, Keystored, environment


def test_serve_copies_to_the_journal(tmp_path: Path) -> None:
    """A change, and the checkpoint of the clean exit."""
    with journal(tmp_path / "socket") as listener:
        command = [str(PROGRAM), "serve", "--state-dir", str(tmp_path / "state"), "--journal"]
        command += ["--journal-socket", str(tmp_path / "socket")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
            assert process.stderr is not None
            while "keystored ready" not in process.stderr.readline():
                assert process.poll() is None
            client = Keystored(tmp_path)
            client.api.generate("web", "ed25519")
            assert receive(listener)["MESSAGE"].endswith("key-generate web: ok")
            process.terminate()
            process.stderr.read()
            assert process.wait() == 0
        assert receive(listener)["VKS_KIND"] == "checkpoint"

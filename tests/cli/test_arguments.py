# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments: one clear line, a hint, exit status 2, and nothing asked of keystored."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.control_fake import ControlFake

MAIN = "from vmm_keystore.cli.main import main; main()"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "no such command 'frobnicate'"),
        (["key", "genrate"], "no such command 'genrate'"),
        (["key", "generate", "k"], "missing option '--type'"),
        (["key", "generate"], "missing argument 'LABEL'"),
        (["guest", "add", "web"], "missing option '--socket'"),
        (["guest", "add", "web", "--socket"], "option '--socket' requires an argument"),
        (["guest", "set", "web"], "missing option '--own-keys'"),
        (["guest", "set", "web", "--own-keys", "-1"], "invalid value for '--own-keys'"),
        (["guest", "set", "web", "--own-keys", "1001"], "invalid value for '--own-keys'"),
        (["guest", "add", "web", "--socket", "s", "--own-keys", "many"], "invalid value for '--own-keys'"),
        (["key", "list", "--frob"], "no such option: --frob"),
        (["key", "show", "k", "extra"], "got unexpected extra argument"),
        (["key", "public", "k", "--version", "0"], "invalid value for '--version'"),
        (["key", "public", "k", "--version", "one"], "invalid value for '--version'"),
        (["key", "destroy", "k"], "will not destroy key k"),
        (["grant", "add", "web", "k", "--ops", "sign,,verify"], "--ops has an empty name in 'sign,,verify'"),
        (["grant", "add", "web", "k", "--ops", "sign", "--not-after", "soon"], "--not-after is not a time: 'soon'"),
        (["grant", "add", "web", "k", "--ops", "sign", "--max-ops", "0"], "invalid value for '--max-ops'"),
        (["grant", "add", "web", "k", "--ops", "sign", "--max-rate", "1000001"], "invalid value for '--max-rate'"),
        (["role", "assign", "web"], "missing argument 'GUEST…'"),
        (["key", "destroy", "k", "--after", "soon"], "'soon' is no length of time"),
        (["key", "destroy", "k", "--after", "0d"], "'0d' is no length of time"),
        (["key", "destroy", "k", "--after", "1d", "--cancel"], "--cancel and --after exclude each other"),
        (["key", "rotation", "k"], "--every, --uses or both are needed, or --off"),
        (["key", "rotation", "k", "--every", "1d", "--off"], "--every, --uses or both are needed, or --off"),
        (["key", "rotation", "k", "--uses", "5", "--off"], "--every, --uses or both are needed, or --off"),
        (["key", "rotation", "k", "--uses", "0"], "invalid value for '--uses'"),
        (["key", "list", "--unused-since", "soon"], "'soon' is no time"),
        (["key", "tag", "k"], "missing argument 'NAME=VALUE…'"),
        (["key", "alias", "set", "a"], "missing argument 'KEY'"),
        (["key", "min-version", "k", "0"], "invalid value for 'VERSION'"),
        (["key", "import", "k"], "one file is needed: FILE, --pkcs12 FILE or --wrapped FILE"),
        (["key", "import", "k", "f", "--pkcs12", "f"], "one file is needed: FILE, --pkcs12 FILE or --wrapped FILE"),
        (["key", "import", "k", "--wrapped", "f"], "--wrapped and --offer go together"),
        (["key", "import", "k", "--wrapped", "f", "--offer", "00"], "--wrapped needs --type"),
        (["key", "self-sign", "k", "--subject", "CN=x", "--days", "0"], "invalid value for '--days'"),
        (["key", "csr", "k", "--version", "0"], "invalid value for '--version'"),
        (["qemu-args", "web", "--qemu", "banana"], "--qemu is not a version: 'banana'"),
        (["qemu-args", "web", "--accel", "xen"], "unknown accelerator 'xen'"),
        (["qemu-args", "web", "--memory", "lots"], "--memory is not a size: 'lots'"),
        (["qemu-args", "web", "--memory", "256"], "--memory is not a size: '256'"),
        (["events", "list", "--state", "lost"], "invalid value for '--state'"),
        (["events", "list", "--kind", "party"], "no events are of the kind 'party'"),
        (["events", "retry"], "one of ID and --all is needed"),
        (["events", "retry", "0123456789abcdef", "--all"], "one of ID and --all is needed"),
        (["events", "drop"], "one of ID and --all is needed"),
        (["events", "drop", "--all"], "will not drop every dead event without a question answered"),
        (["audit", "tail", "-n", "0"], "invalid value for '--count'"),
        (["completion", "tcsh"], "no completion for the shell 'tcsh'"),
        (["serve", "--worker-cpus", "3-1"], "--worker-cpus: '3-1' is no processor or range of them below 1024"),
        (["serve", "--worker-cpus", "0,x"], "--worker-cpus: 'x' is no processor or range of them below 1024"),
        (["serve", "--worker-cpus", "1000-1023"], "--worker-cpus 1000-1023: there is none of them"),
        (["serve", "--poll-workers", "0"], "invalid value for '--poll-workers'"),
    ],
)
def test_wrong_arguments(cli: Cli, fake: ControlFake, arguments: list[str], message: str) -> None:
    outcome = cli(*arguments)
    first, hint = outcome.stderr.splitlines()
    assert (outcome.status, outcome.stdout) == (2, "")
    assert first.startswith(f"vmm-keystore: {message}")
    assert hint.startswith("hint: ")
    assert fake.asked == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(cli: Cli, shell: str) -> None:
    outcome = cli("completion", shell)
    assert outcome.status == 0
    assert "_VMM_KEYSTORE_COMPLETE=complete_" + shell in outcome.stdout


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["key", "s"], {"self-sign", "show", "suspend"}),
        (["key", "generate", "k", "--type", "rsa"], {"rsa-2048", "rsa-3072", "rsa-4096"}),
        (["key", "show", "si"], {"signing", "silver"}),
    ],
)
def test_bash_gets_commands_types_and_labels(fake: ControlFake, words: list[str], proposed: set[str]) -> None:
    fake.answer("GET /v1/keys?label=si%2A&limit=200", {"keys": [{"label": "signing"}]})
    fake.answer("GET /v1/aliases", {"aliases": [{"alias": "silver"}, {"alias": "backup"}]})
    environment = os.environ | {
        "_VMM_KEYSTORE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["vmm-keystore", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([sys.executable, "-c", MAIN], env=environment, check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) == proposed


def test_completion_without_keystored_proposes_nothing(tmp_path: Path) -> None:
    environment = os.environ | {
        "_VMM_KEYSTORE_COMPLETE": "complete_bash",
        "COMP_WORDS": "vmm-keystore key show x",
        "COMP_CWORD": "3",
        "VMM_KEYSTORE_STATE_DIR": str(tmp_path),
    }
    done = subprocess.run([sys.executable, "-c", MAIN], env=environment, check=True, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")

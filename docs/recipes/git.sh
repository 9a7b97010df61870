#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Signatures of files by `ssh-keygen -Y`, and of git's commits and tags, by an agent with a key of the vault.
#
# Packages: git openssh-client vks-pkcs11
# On the host:
#   vmm-keystore key generate signing --type ec-p256
#   vmm-keystore grant add GUEST signing --ops sign,verify
set -eu
module=/usr/lib/$(uname -m)-linux-gnu/pkcs11/vmm_keystore.so
eval "$(ssh-agent -P "$module")" >/dev/null
trap 'kill $SSH_AGENT_PID' EXIT
printf '#!/bin/sh\necho\n' >ask && chmod +x ask
SSH_ASKPASS=./ask SSH_ASKPASS_REQUIRE=force ssh-add -s "$module"
ssh-add -L | grep ' signing$' >signing.pub
echo "me@example.org $(cat signing.pub)" >signers

echo 'what was released' >release
ssh-keygen -Y sign -f signing.pub -n file release
ssh-keygen -Y verify -f signers -I me@example.org -n file -s release.sig <release

export HOME="$PWD"
git config --global user.name Me
git config --global user.email me@example.org
git config --global gpg.format ssh
git config --global user.signingKey "$PWD/signing.pub"
git config --global gpg.ssh.allowedSignersFile "$PWD/signers"
git config --global init.defaultBranch main
git init -q project
cd project
git commit -q --allow-empty -S -m 'a signed commit'
git verify-commit HEAD
git tag -s -m 'a signed tag' v1
git verify-tag v1

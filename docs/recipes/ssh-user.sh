#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# OpenSSH, a user's key: an agent that has none itself, and a login with a key of the vault.
#
# Packages: openssh-client vks-pkcs11; openssh-server for the other side
# On the host:
#   vmm-keystore key generate login --type ec-p256
#   vmm-keystore grant add GUEST login --ops sign,verify
set -eu
module=/usr/lib/$(uname -m)-linux-gnu/pkcs11/vmm_keystore.so
eval "$(ssh-agent -P "$module")" >/dev/null
trap 'kill $SSH_AGENT_PID $(cat sshd.pid)' EXIT
# It asks for a PIN: any will do.
printf '#!/bin/sh\necho\n' >ask && chmod +x ask
SSH_ASKPASS=./ask SSH_ASKPASS_REQUIRE=force ssh-add -s "$module"
ssh-add -L | grep ' login$' >login.pub

# A server that lets this key in; yours is elsewhere, and has login.pub in ~/.ssh/authorized_keys.
ssh-keygen -q -t ed25519 -N '' -f server
cat >sshd.conf <<END
Port 2222
ListenAddress 127.0.0.1
HostKey $PWD/server
PidFile $PWD/sshd.pid
AuthorizedKeysFile $PWD/login.pub
StrictModes no
END
mkdir -p /run/sshd
/usr/sbin/sshd -f sshd.conf
echo "[localhost]:2222 $(cat server.pub)" >known_hosts

ssh -p 2222 -i login.pub -o IdentitiesOnly=yes -o UserKnownHostsFile=known_hosts localhost echo logged in

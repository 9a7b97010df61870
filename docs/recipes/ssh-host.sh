#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# OpenSSH, a server's key and the authority that signs it, both in the vault: whoever trusts the authority knows the
# server, and nobody can take its key away.
#
# Packages: openssh-server openssh-client vks-pkcs11
# On the host:
#   vmm-keystore key generate ssh-authority --type ec-p384
#   vmm-keystore key generate ssh-host --type ec-p256
#   vmm-keystore grant add GUEST ssh-authority --ops sign,verify
#   vmm-keystore grant add GUEST ssh-host --ops sign,verify
set -eu
module=/usr/lib/$(uname -m)-linux-gnu/pkcs11/vmm_keystore.so
eval "$(ssh-agent -P "$module")" >/dev/null
trap 'kill $SSH_AGENT_PID $(cat sshd.pid)' EXIT
printf '#!/bin/sh\necho\n' >ask && chmod +x ask
SSH_ASKPASS=./ask SSH_ASKPASS_REQUIRE=force ssh-add -s "$module"
ssh-add -L | grep ' ssh-authority$' >authority.pub
ssh-add -L | grep ' ssh-host$' >host.pub

# -U: the authority's private key is the agent's.
ssh-keygen -q -U -s authority.pub -h -I localhost -n localhost -V +1d host.pub
ssh-keygen -L -f host-cert.pub

# A user's key, so that somebody can log in; a file is enough here.
ssh-keygen -q -t ed25519 -N '' -f user
cat >sshd.conf <<END
Port 2223
ListenAddress 127.0.0.1
HostKey $PWD/host
HostCertificate $PWD/host-cert.pub
HostKeyAgent $SSH_AUTH_SOCK
PidFile $PWD/sshd.pid
AuthorizedKeysFile $PWD/user.pub
StrictModes no
END
mkdir -p /run/sshd
/usr/sbin/sshd -f sshd.conf
echo "@cert-authority localhost,[localhost]:2223 $(cat authority.pub)" >known_hosts

ssh -p 2223 -i user -o IdentityAgent=none -o UserKnownHostsFile=known_hosts -o StrictHostKeyChecking=yes localhost \
    echo knows its host

#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A key whose grant says login: where programs have the PIN from. Any will do; without one they do not see the key.
#
# Packages: openssl pkcs11-provider gnutls-bin openssh-client vks-pkcs11
# On the host:
#   vmm-keystore key generate guarded --type ec-p256
#   vmm-keystore grant add GUEST guarded --ops sign,verify,login
set -eu
export OPENSSL_CONF=/usr/share/vks-pkcs11/openssl.cnf
module=/usr/lib/$(uname -m)-linux-gnu/pkcs11/vmm_keystore.so
token=$(vks info | awk '$1 == "guest" { print $2 }')
key="pkcs11:token=$token;object=guarded;type=private"
echo 'what is signed' >message
vks public guarded >guarded.pub

echo '== openssl: in the URI, or in a file that the URI names'
openssl dgst -sha256 -sign "$key?pin-value=any" -out message.der message
openssl dgst -sha256 -verify guarded.pub -signature message.der message
echo any >pin && chmod 600 pin
openssl dgst -sha256 -sign "$key?pin-source=file:$PWD/pin" -out message.der message
openssl dgst -sha256 -verify guarded.pub -signature message.der message
if openssl dgst -sha256 -sign "$key" -passin pass: -out message.der message </dev/null 2>openssl.log; then
    echo 'it signed without a PIN' >&2
    exit 1
fi

echo '== GnuTLS: asked for, or in the environment'
GNUTLS_PIN=any p11tool --login --list-privkeys "pkcs11:token=$token" | grep 'Label: guarded'

echo '== OpenSSH: the agent is told once'
eval "$(ssh-agent -P "$module")" >/dev/null
trap 'kill $SSH_AGENT_PID' EXIT
printf '#!/bin/sh\necho any\n' >ask && chmod +x ask
SSH_ASKPASS=./ask SSH_ASKPASS_REQUIRE=force ssh-add -s "$module"
ssh-add -L | grep ' guarded$' >ssh.pub
ssh-keygen -q -Y sign -f ssh.pub -n file message
ssh-keygen -Y check-novalidate -n file -s message.sig <message

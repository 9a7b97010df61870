#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# GnuTLS: its certificate tool, and a server of its own. They find the module by p11-kit.
#
# Packages: gnutls-bin p11-kit vks-pkcs11
# On the host:
#   vmm-keystore key generate web --type ec-p256
#   vmm-keystore grant add GUEST web --ops sign,verify
set -eu
token=$(vks info | awk '$1 == "guest" { print $2 }')
key="pkcs11:token=$token;object=web;type=private"
p11tool --list-all "pkcs11:token=$token;object=web"
printf 'cn = "localhost"\ndns_name = "localhost"\nexpiration_days = 2\nsigning_key\n' >template
# The public key beside it, since a certificate has it.
vks public web >web.pub
certtool --generate-self-signed --load-privkey "$key" --load-pubkey web.pub --template template --outfile web.pem
gnutls-serv --port 4433 --x509keyfile "$key" --x509certfile web.pem --http --quiet &
server=$!
trap 'kill $server' EXIT
curl --silent --show-error --retry 20 --retry-delay 1 --retry-all-errors --cacert web.pem --output page https://localhost:4433/
grep -q GnuTLS page

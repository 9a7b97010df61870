#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# GnuTLS: its certificate tool, and a TLS server and client of its own. It finds the module by p11-kit.
#
# Packages: gnutls-bin p11-kit vks-pkcs11
# On the host:
#   vmm-keystore key generate web --type ec-p256
#   vmm-keystore grant add GUEST web --ops sign,verify
set -eu
p11tool --list-all 'pkcs11:object=web'
uri='pkcs11:object=web;type=private'
printf 'cn = "localhost"\ndns_name = "localhost"\nexpiration_days = 2\nsigning_key\n' >template
# The public key beside it, since a certificate has it.
vks public web >web.pub
certtool --generate-self-signed --load-privkey "$uri" --load-pubkey web.pub --template template --outfile web.pem
certtool --verify --load-ca-certificate web.pem --infile web.pem

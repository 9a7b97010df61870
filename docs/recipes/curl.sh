#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# curl, whose key for the server to ask for (mutual TLS) is in the vault.
#
# Packages: curl openssl pkcs11-provider vks-pkcs11
# On the host:
#   vmm-keystore key generate me --type ec-p256
#   vmm-keystore grant add GUEST me --ops sign,verify
set -eu
# A server that lets in whoever has a certificate of its own authority, which here is that certificate itself.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout server.key -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -days 2 -out server.pem 2>/dev/null
export OPENSSL_CONF=/usr/share/vks-pkcs11/openssl.cnf
openssl req -x509 -new -key 'pkcs11:object=me;type=private' -subj /CN=me -days 2 -out me.pem
OPENSSL_CONF=/dev/null openssl s_server -accept 4434 -key server.key -cert server.pem -CAfile me.pem -Verify 1 \
    -verify_return_error -www -quiet &
server=$!
trap 'kill $server' EXIT

curl --silent --show-error --retry 20 --retry-delay 1 --retry-all-errors --cacert server.pem \
    --cert me.pem --key-type PROV --key 'pkcs11:object=me;type=private' --output page https://localhost:4434/
grep 'CN *= *me' page
! curl --silent --cacert server.pem --output page https://localhost:4434/

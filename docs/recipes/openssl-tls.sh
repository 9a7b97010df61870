#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# TLS 1.2 and 1.3 between openssl s_server, whose keys are in the vault, and s_client.
#
# Packages: openssl pkcs11-provider vks-pkcs11
# On the host:
#   vmm-keystore key generate web --type ec-p256
#   vmm-keystore key generate web-rsa --type rsa-2048
#   vmm-keystore key generate web-ed --type ed25519
#   vmm-keystore grant add GUEST web --ops sign,verify
#   vmm-keystore grant add GUEST web-rsa --ops sign,verify
#   vmm-keystore grant add GUEST web-ed --ops sign,verify
set -eu
export OPENSSL_CONF=/usr/share/vks-pkcs11/openssl.cnf
key() { echo "pkcs11:object=$1;type=private"; }

for label in web web-rsa web-ed; do
    openssl req -x509 -new -key "$(key $label)" -subj '/CN=localhost' -days 2 -out $label.pem
    openssl s_server -unix "$PWD/$label.sock" -key "$(key $label)" -cert $label.pem -naccept 2 -www -quiet &
    server=$!
    while ! test -S $label.sock; do sleep 0.1; done
    for version in 1_2 1_3; do
        # The client has no business with the vault.
        OPENSSL_CONF=/dev/null openssl s_client -unix "$PWD/$label.sock" -tls$version -CAfile $label.pem \
            -verify_return_error -brief </dev/null 2>&1 | grep -E 'Protocol version|Signature type|Verification' |
            sed "s/^/$label: /"
    done
    wait $server
done

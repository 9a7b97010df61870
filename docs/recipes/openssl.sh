#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# openssl 3 by pkcs11-provider: a certificate authority in the vault, a certificate for a server, signatures, a letter.
#
# Packages: openssl pkcs11-provider vks-pkcs11
# On the host:
#   vmm-keystore key generate authority --type ec-p384
#   vmm-keystore key generate web --type ec-p256
#   vmm-keystore key generate letters --type rsa-2048
#   vmm-keystore key generate releases --type ed25519
#   vmm-keystore grant add GUEST authority --ops sign,verify
#   vmm-keystore grant add GUEST web --ops sign,verify
#   vmm-keystore grant add GUEST letters --ops sign,verify,decrypt
#   vmm-keystore grant add GUEST releases --ops sign,verify
set -eu
export OPENSSL_CONF=/usr/share/vks-pkcs11/openssl.cnf
key() { echo "pkcs11:object=$1;type=private"; }

echo '== an authority, and what it signs'
openssl req -x509 -new -key "$(key authority)" -subj '/CN=Authority' -days 3650 -sha384 \
    -addext 'keyUsage=critical,keyCertSign' -out authority.pem
openssl req -new -key "$(key web)" -subj '/CN=web.example' -addext 'subjectAltName=DNS:web.example' -out web.csr
openssl x509 -req -in web.csr -CA authority.pem -CAkey "$(key authority)" -days 90 -copy_extensions copy -out web.pem
openssl verify -CAfile authority.pem web.pem

echo '== a file and its signature'
echo 'what was released' >release
openssl dgst -sha256 -sign "$(key web)" -out release.sig release
openssl x509 -in web.pem -noout -pubkey -out web.pub
openssl dgst -sha256 -verify web.pub -signature release.sig release
# Ed25519 signs the file, not its digest.
openssl pkeyutl -sign -rawin -inkey "$(key releases)" -in release -out release.ed25519
vks public releases >releases.pub
openssl pkeyutl -verify -rawin -pubin -inkey releases.pub -in release -sigfile release.ed25519
openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign "$(key letters)" -out release.pss release
vks public letters >letters.pub
openssl dgst -sha256 -sigopt rsa_padding_mode:pss -verify letters.pub -signature release.pss release

echo '== a signed letter'
openssl req -x509 -new -key "$(key letters)" -subj '/CN=letters' -days 365 -out letters.pem
openssl cms -sign -in release -text -signer letters.pem -inkey "$(key letters)" -out letter.signed
openssl cms -verify -in letter.signed -CAfile letters.pem -purpose any -text -out letter
cmp letter release || diff -b letter release

echo '== an encrypted one: only the vault opens it'
openssl pkeyutl -encrypt -pubin -inkey letters.pub -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
    -pkeyopt rsa_mgf1_md:sha256 -in release -out release.encrypted
openssl pkeyutl -decrypt -inkey "$(key letters)" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
    -pkeyopt rsa_mgf1_md:sha256 -in release.encrypted -out release.opened
cmp release release.opened

echo '== a file that names the key, for programs that want a file'
openssl storeutl -noout -keys "$(key web)" >/dev/null
openssl pkey -in "$(key web)" -out web.key
grep -q 'PKCS#11 PROVIDER URI' web.key
openssl dgst -sha256 -sign web.key -out release.sig release
openssl dgst -sha256 -verify web.pub -signature release.sig release

#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# openssl 3.0 of Debian 12, which has no pkcs11-provider: by the engine of libp11, with EC and RSA keys.
#
# Packages: openssl libengine-pkcs11-openssl vks-pkcs11
# On the host:
#   vmm-keystore key generate web --type ec-p256
#   vmm-keystore key generate web-rsa --type rsa-2048
#   vmm-keystore grant add GUEST web --ops sign,verify
#   vmm-keystore grant add GUEST web-rsa --ops sign,verify
set -eu
module=${MODULE:-/usr/lib/$(uname -m)-linux-gnu/pkcs11/vmm_keystore.so}
cat >openssl.cnf <<END
openssl_conf = settings
[settings]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
MODULE_PATH = $module
init = 0
[req]
distinguished_name = name
[name]
END
export OPENSSL_CONF="$PWD/openssl.cnf"
echo 'what was released' >release
for label in web web-rsa; do
    key="pkcs11:object=$label;type=private"
    openssl req -x509 -new -engine pkcs11 -keyform engine -key "$key" -subj /CN=$label -days 2 -out $label.pem
    openssl verify -CAfile $label.pem $label.pem
    openssl dgst -engine pkcs11 -keyform engine -sha256 -sign "$key" -out release.sig release
    openssl x509 -in $label.pem -noout -pubkey -out $label.pub
    openssl dgst -sha256 -verify $label.pub -signature release.sig release
done

#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Java: keytool lists the vault's key by its certificate, jarsigner signs with it.
#
# Packages: openjdk-21-jdk-headless openssl pkcs11-provider vks-pkcs11
# On the host:
#   vmm-keystore key generate releases --type ec-p256
#   vmm-keystore grant add GUEST releases --ops sign,verify
set -eu
module=/usr/lib/$(uname -m)-linux-gnu/pkcs11/vmm_keystore.so

echo '== a certificate of the key, where the module looks: else /etc/vmm-keystore/certificates'
mkdir -p certificates
export VKS_CERTIFICATES="$PWD/certificates"
OPENSSL_CONF=/usr/share/vks-pkcs11/openssl.cnf openssl req -x509 -new -key 'pkcs11:object=releases;type=private' \
    -subj '/CN=Releases' -days 365 -addext 'extendedKeyUsage=codeSigning' -addext 'keyUsage=critical,digitalSignature' \
    -out certificates/releases.pem

echo '== the key, by the name that it has in the vault'
printf 'name = vault\nlibrary = %s\n' "$module" >vault.cfg
keytool -list -keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerArg vault.cfg -protected |
    tee listed
grep -q '^releases, PrivateKeyEntry' listed

echo '== a signed archive'
echo 'what was released' >release
jar --create --file release.jar release
jarsigner -keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerArg vault.cfg -protected \
    release.jar releases
# Whoever checks it trusts that certificate, and has no key.
keytool -importcert -noprompt -alias releases -file certificates/releases.pem -keystore trusted.p12 -storepass changeit
jarsigner -verify -strict -keystore trusted.p12 -storepass changeit release.jar releases | tee verified
grep -q '^jar verified' verified

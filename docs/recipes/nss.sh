#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# NSS, the library of Firefox and Thunderbird: the vault as a security device, a certificate whose key is in it.
#
# Packages: libnss3-tools vks-pkcs11
# On the host:
#   vmm-keystore key generate me --type ec-p256
#   vmm-keystore grant add GUEST me --ops sign,verify
set -eu
module=/usr/lib/$(uname -m)-linux-gnu/pkcs11/vmm_keystore.so
mkdir database
certutil -N -d sql:database --empty-password
modutil -force -dbdir sql:database -add vault -libfile "$module"
modutil -dbdir sql:database -list vault
token=$(vks info | awk '$1 == "guest" { print $2 }')
certutil -K -d sql:database -h "$token" -n me
id=$(vks list | awk '$1 == "me" { print $5 }')
certutil -R -d sql:database -h "$token" -k "$id" -s CN=me -a -o me.csr
openssl req -in me.csr -verify -noout

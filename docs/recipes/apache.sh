#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Apache, whose TLS key is in the vault, with a graceful restart.
# A command behind it is run before the server is stopped: sh apache.sh sh
#
# Packages: apache2 openssl pkcs11-provider vks-pkcs11
# In the guest, once, since its processes open the device: adduser www-data keystore
# On the host:
#   vmm-keystore key generate web --type ec-p256
#   vmm-keystore grant add GUEST web --ops sign,verify
set -eu
export OPENSSL_CONF=/usr/share/vks-pkcs11/openssl.cnf
key='pkcs11:object=web;type=private'
openssl req -x509 -new -key "$key" -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2 -out web.pem

cat >apache.conf <<END
ServerRoot $PWD
ServerName localhost
PidFile $PWD/apache.pid
ErrorLog $PWD/apache.log
Listen 127.0.0.1:4444
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
User www-data
Group www-data
SSLEngine on
SSLCertificateFile $PWD/web.pem
SSLCertificateKeyFile "$key"
Redirect 410 /
ErrorDocument 410 "served\n"
END
apache2 -f "$PWD/apache.conf"
trap 'kill $(cat apache.pid)' EXIT
ask() {
    OPENSSL_CONF=/dev/null curl --silent --show-error --retry 20 --retry-delay 1 --retry-all-errors \
        --cacert web.pem "$@" https://localhost:4444/
}
ask --tls-max 1.2
ask

# A restart reads the key anew, in new processes.
sed -i 's/"served/"served again/' apache.conf
apache2 -f "$PWD/apache.conf" -k graceful
until ask | grep again; do sleep 0.2; done
test $# -eq 0 || "$@"

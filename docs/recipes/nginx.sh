#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# nginx, whose TLS key is in the vault: its processes use it and never have it, also after a reload.
# A command behind it is run before the server is stopped: sh nginx.sh sh
#
# Packages: nginx openssl pkcs11-provider vks-pkcs11
# In the guest, once, since its processes open the device: adduser www-data keystore
# On the host:
#   vmm-keystore key generate web --type ec-p256
#   vmm-keystore grant add GUEST web --ops sign,verify
set -eu
export OPENSSL_CONF=/usr/share/vks-pkcs11/openssl.cnf
key='pkcs11:object=web;type=private'
openssl req -x509 -new -key "$key" -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2 -out web.pem
# nginx wants a file: one that names the key.
openssl pkey -in "$key" -out web.key

cat >nginx.conf <<END
env OPENSSL_CONF;
user www-data;
worker_processes 2;
pid $PWD/nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi; scgi_temp_path $PWD/scgi;
    server {
        listen 127.0.0.1:4443 ssl;
        ssl_certificate $PWD/web.pem;
        ssl_certificate_key $PWD/web.key;
        location / { return 200 "served by \$ssl_protocol\n"; }
    }
}
END
nginx -c "$PWD/nginx.conf" -p "$PWD"
trap 'kill $(cat nginx.pid)' EXIT
ask() { OPENSSL_CONF=/dev/null curl --silent --show-error --cacert web.pem "$@" https://localhost:4443/; }
ask --tls-max 1.2
ask

# A reload reads the key anew, in new processes.
sed -i 's/served by/served again by/' nginx.conf
nginx -c "$PWD/nginx.conf" -p "$PWD" -s reload
until ask | grep again; do sleep 0.2; done
test $# -eq 0 || "$@"

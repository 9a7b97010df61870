/* SPDX-License-Identifier: Apache-2.0 */
/* Making, importing and certifying keys. Knows messages; answers hold sealed blobs and public things only. */
#include "key_requests.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "certify.h"
#include "import_wrap.h"
#include "key_generate.h"
#include "key_kind.h"
#include "key_material.h"
#include "offers.h"
#include "root.h"
#include "rsa_offers.h"
#include "seal.h"
#include "secret_arena.h"

/* Seal a key, or the public half of one that lies in a token, and answer with blob and public key. */
static int reply_key(int fd, const struct vks_ipc_head *request, const struct vks_seal_name *name,
                     const uint8_t *material, size_t material_bytes)
{
    static uint8_t sealed[VKS_SEAL_BYTES_MAX];
    bool in_token = name->type & VKS_TYPE_F_TOKEN;
    uint32_t type = name->type & ~(uint32_t)VKS_TYPE_F_TOKEN;
    const struct vks_key_kind *kind = vks_key_kind_find(type);
    struct vks_ipc_head head = {.type = request->type | VKS_IPC_REPLY, .tag = request->tag};
    struct vks_custodian_key key = {.type = type, .sealed_bytes = (uint32_t)material_bytes + VKS_SEAL_OVERHEAD};
    EVP_PKEY *pkey = NULL;
    uint8_t *public_der = NULL;
    int error = material_bytes > VKS_KEY_MATERIAL_BYTES_MAX ? -EINVAL : 0;

    if (!error && !vks_key_kind_is_symmetric(kind)) {
        error = in_token ? vks_key_material_parse_public(kind, material, material_bytes, &pkey)
                         : vks_key_material_parse(kind, material, material_bytes, &pkey);
        if (!error) {
            int public_bytes = i2d_PUBKEY(pkey, &public_der);

            key.public_bytes = public_bytes > 0 ? (uint32_t)public_bytes : 0;
            error = public_bytes > 0 ? 0 : -ENOMEM;
        }
    }
    if (!error)
        error = vks_seal(name, material, material_bytes, sealed);
    if (error) {
        error = vks_ipc_reply(fd, request, error, NULL, 0);
    } else {
        struct vks_ipc_part parts[] = {{&key, sizeof(key)}, {sealed, key.sealed_bytes}, {public_der, key.public_bytes}};

        error = vks_ipc_send(fd, &head, parts, 3, NULL, 0);
    }
    OPENSSL_free(public_der);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return error;
}

int vks_key_serve_generate(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_generate generate;
    const struct vks_key_kind *kind;
    struct vks_seal_name name;
    uint8_t *material = NULL;
    size_t material_bytes = 0;
    int error;

    memcpy(&generate, vks_ipc_body(message), sizeof(generate));
    kind = vks_key_kind_find(generate.type);
    if (vks_root_kek(VKS_ROOT_CURRENT) == NULL)
        error = -ENOKEY;
    else
        error = kind ? vks_key_generate(kind, &material, &material_bytes) : -EINVAL;
    if (error)
        return vks_ipc_reply(fd, &message->head, error, NULL, 0);
    memcpy(name.key_id, generate.key_id, sizeof(name.key_id));
    name.version = generate.version;
    name.type = generate.type;
    error = reply_key(fd, &message->head, &name, material, material_bytes);
    vks_secret_free(material);
    return error;
}

int vks_key_serve_enroll(int fd, struct vks_ipc_message *message)
{
    const uint8_t *body = vks_ipc_body(message);
    struct vks_custodian_enroll enroll;
    const struct vks_key_kind *kind;
    struct vks_seal_name name;
    int error = 0;

    memcpy(&enroll, body, sizeof(enroll));
    if (enroll.public_bytes != vks_ipc_body_bytes(message) - sizeof(enroll))
        return -EPROTO;
    kind = vks_key_kind_find(enroll.type);
    if (vks_root_kek(VKS_ROOT_CURRENT) == NULL)
        error = -ENOKEY;
    else if (kind == NULL || !vks_key_kind_fits_token(kind))
        error = -EINVAL;
    if (error)
        return vks_ipc_reply(fd, &message->head, error, NULL, 0);
    memcpy(name.key_id, enroll.key_id, sizeof(name.key_id));
    name.version = enroll.version;
    name.type = enroll.type | VKS_TYPE_F_TOKEN;
    return reply_key(fd, &message->head, &name, body + sizeof(enroll), enroll.public_bytes);
}

int vks_key_serve_offer(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_offer offer;
    int error = vks_offer_make(&offer);

    return vks_ipc_reply(fd, &message->head, error, &offer, sizeof(offer));
}

/* Foreign material in our own form: PKCS#8 as libcrypto writes it, without attributes, or the seed; raw as it is. */
static int normalize(uint32_t type, uint8_t **material, size_t *material_bytes)
{
    const struct vks_key_kind *kind = vks_key_kind_find(type);
    EVP_PKEY *pkey = NULL;
    uint8_t *encoded = NULL;
    size_t encoded_bytes = 0;
    int error;

    if (kind == NULL)
        return -EINVAL;
    if (kind->family == VKS_KEY_FAMILY_HMAC && *material_bytes < VKS_HMAC_KEY_BYTES_MIN)
        return -EINVAL;
    if (vks_key_kind_is_symmetric(kind))
        return vks_key_material_check_raw(kind, *material, *material_bytes);
    error = vks_key_material_parse_import(kind, *material, *material_bytes, &pkey);
    if (!error)
        error = vks_key_material_check_import(kind, pkey);
    if (!error)
        error = vks_key_material_encode(kind, pkey, &encoded, &encoded_bytes);
    EVP_PKEY_free(pkey);
    if (error)
        return error;
    vks_secret_free(*material);
    *material = encoded;
    *material_bytes = encoded_bytes;
    return 0;
}

int vks_key_serve_import(int fd, struct vks_ipc_message *message)
{
    const uint8_t *body = vks_ipc_body(message);
    struct vks_custodian_import import;
    struct vks_custodian_offer offer;
    struct vks_seal_name name;
    EVP_PKEY *private_key = NULL;
    uint8_t *material = NULL;
    size_t material_bytes = 0;
    int error;

    memcpy(&import, body, sizeof(import));
    if (import.wrapped_bytes != vks_ipc_body_bytes(message) - sizeof(import))
        return -EPROTO;
    error = vks_root_kek(VKS_ROOT_CURRENT) ? vks_offer_take(import.offer_id, &offer, &private_key) : -ENOKEY;
    if (!error)
        error = vks_import_unwrap(&offer, private_key, body + sizeof(import), import.wrapped_bytes, &name.type,
                                  &material, &material_bytes);
    EVP_PKEY_free(private_key);
    if (!error)
        error = normalize(name.type, &material, &material_bytes);
    if (error) {
        error = vks_ipc_reply(fd, &message->head, error, NULL, 0);
    } else {
        memcpy(name.key_id, import.key_id, sizeof(name.key_id));
        name.version = import.version;
        error = reply_key(fd, &message->head, &name, material, material_bytes);
    }
    vks_secret_free(material);
    return error;
}

int vks_key_serve_rsa_offer(int fd, struct vks_ipc_message *message)
{
    struct vks_ipc_head head = {.type = message->head.type | VKS_IPC_REPLY, .tag = message->head.tag};
    struct vks_custodian_rsa_offer offer = {{0}, 0, 0};
    uint8_t *public_der = NULL;
    int error = vks_rsa_offer_make(offer.offer_id, &public_der, &offer.public_bytes);
    struct vks_ipc_part parts[] = {{&offer, sizeof(offer)}, {public_der, offer.public_bytes}};

    error = error ? vks_ipc_reply(fd, &message->head, error, NULL, 0) : vks_ipc_send(fd, &head, parts, 2, NULL, 0);
    OPENSSL_free(public_der);
    return error;
}

int vks_key_serve_import_rsa(int fd, struct vks_ipc_message *message)
{
    const uint8_t *body = vks_ipc_body(message);
    struct vks_custodian_import_rsa import;
    struct vks_seal_name name;
    uint8_t *material = NULL;
    size_t material_bytes = 0;
    int error;

    memcpy(&import, body, sizeof(import));
    if (import.wrapped_bytes != vks_ipc_body_bytes(message) - sizeof(import))
        return -EPROTO;
    error = vks_root_kek(VKS_ROOT_CURRENT)
                ? vks_rsa_offer_unwrap(&import, body + sizeof(import), &material, &material_bytes)
                : -ENOKEY;
    if (!error)
        error = normalize(import.type, &material, &material_bytes);
    /* It was wrapped well, and is no key. */
    if (error == -EBADMSG && material)
        error = -EINVAL;
    memcpy(name.key_id, import.key_id, sizeof(name.key_id));
    name.version = import.version;
    name.type = import.type;
    error = error ? vks_ipc_reply(fd, &message->head, error, NULL, 0)
                  : reply_key(fd, &message->head, &name, material, material_bytes);
    vks_secret_free(material);
    return error;
}

int vks_key_serve_certify(int fd, struct vks_ipc_message *message)
{
    const uint8_t *body = vks_ipc_body(message);
    uint32_t rest_bytes = vks_ipc_body_bytes(message) - (uint32_t)sizeof(struct vks_custodian_certify);
    struct vks_ipc_head head = {.type = message->head.type | VKS_IPC_REPLY, .tag = message->head.tag};
    struct vks_custodian_certified certified = {0, 0};
    struct vks_custodian_certify wanted;
    uint8_t *der = NULL;
    int error;

    memcpy(&wanted, body, sizeof(wanted));
    if (wanted.sealed_bytes > rest_bytes || wanted.fields_bytes != rest_bytes - wanted.sealed_bytes)
        return -EPROTO;
    body += sizeof(wanted);
    error = vks_certify(&wanted, body, body + wanted.sealed_bytes, &der, &certified.der_bytes);
    if (error == -EPROTO)
        return error;
    if (error) {
        error = vks_ipc_reply(fd, &message->head, error, NULL, 0);
    } else {
        struct vks_ipc_part parts[] = {{&certified, sizeof(certified)}, {der, certified.der_bytes}};

        error = vks_ipc_send(fd, &head, parts, 2, NULL, 0);
    }
    OPENSSL_free(der);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the custodian, default deny. Knows messages; whoever sends them may be hostile and gets no plaintext. */
#include "requests.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>
#include <unistd.h>

#include "audit_key.h"
#include "certify.h"
#include "channels.h"
#include "confinement.h"
#include "import_wrap.h"
#include "key_generate.h"
#include "key_kind.h"
#include "key_material.h"
#include "load.h"
#include "offers.h"
#include "root.h"
#include "root_requests.h"
#include "seal.h"
#include "secret_arena.h"

static int serve_status(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_status status = {.secret_memory = vks_secret_arena_memory(),
                                          .root_open = vks_root_kek(VKS_ROOT_CURRENT) != NULL,
                                          .root_kind = vks_root_kind(),
                                          .sandbox = *vks_confinement_report()};

    return vks_ipc_reply(fd, &message->head, 0, &status, sizeof(status));
}

/* Seal a key and answer with blob and public key. */
static int reply_key(int fd, const struct vks_ipc_head *request, const struct vks_seal_name *name,
                     const uint8_t *material, size_t material_bytes)
{
    static uint8_t sealed[VKS_SEAL_BYTES_MAX];
    const struct vks_key_kind *kind = vks_key_kind_find(name->type);
    struct vks_ipc_head head = {.type = request->type | VKS_IPC_REPLY, .tag = request->tag};
    struct vks_custodian_key key = {.type = name->type, .sealed_bytes = (uint32_t)material_bytes + VKS_SEAL_OVERHEAD};
    EVP_PKEY *pkey = NULL;
    uint8_t *public_der = NULL;
    int error = material_bytes > VKS_KEY_MATERIAL_BYTES_MAX ? -EINVAL : 0;

    if (!error && !vks_key_kind_is_symmetric(kind)) {
        error = vks_key_material_parse(kind, material, material_bytes, &pkey);
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

static int serve_generate(int fd, struct vks_ipc_message *message)
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

static int serve_offer(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_offer offer;
    int error = vks_offer_make(&offer);

    return vks_ipc_reply(fd, &message->head, error, &offer, sizeof(offer));
}

/* Foreign material in our own form: PKCS#8 as libcrypto writes it, without attributes; raw as it is. */
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
        return vks_key_material_check_raw(kind, *material_bytes);
    error = vks_key_material_parse(kind, *material, *material_bytes, &pkey);
    if (!error)
        error = vks_key_material_check_import(kind, pkey);
    if (!error)
        error = vks_key_material_encode(pkey, &encoded, &encoded_bytes);
    EVP_PKEY_free(pkey);
    if (error)
        return error;
    vks_secret_free(*material);
    *material = encoded;
    *material_bytes = encoded_bytes;
    return 0;
}

static int serve_import(int fd, struct vks_ipc_message *message)
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

static int serve_channel(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_channel channel;

    memcpy(&channel, vks_ipc_body(message), sizeof(channel));
    return vks_ipc_reply(fd, &message->head, vks_channel_add(channel.channel_id, vks_ipc_take_fd(message, 0)), NULL, 0);
}

static int serve_channel_close(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_channel channel;

    memcpy(&channel, vks_ipc_body(message), sizeof(channel));
    return vks_ipc_reply(fd, &message->head, vks_channel_remove(channel.channel_id), NULL, 0);
}

static int serve_load(int fd, struct vks_ipc_message *message)
{
    const uint8_t *body = vks_ipc_body(message);
    struct vks_custodian_load load;

    memcpy(&load, body, sizeof(load));
    return vks_ipc_reply(fd, &message->head,
                         vks_load(&load, body + sizeof(load), vks_ipc_body_bytes(message) - (uint32_t)sizeof(load)),
                         NULL, 0);
}

static int serve_audit_key(int fd, struct vks_ipc_message *message)
{
    static uint8_t sealed[VKS_SEAL_BYTES_MAX];
    struct vks_ipc_head head = {.type = message->head.type | VKS_IPC_REPLY, .tag = message->head.tag};
    struct vks_custodian_audit_key key;
    int error = vks_root_kek(VKS_ROOT_CURRENT) ? vks_audit_key_make(&key, sealed) : -ENOKEY;
    struct vks_ipc_part parts[] = {{&key, sizeof(key)}, {sealed, error ? 0 : key.sealed_bytes}};

    if (error)
        return vks_ipc_reply(fd, &message->head, error, NULL, 0);
    return vks_ipc_send(fd, &head, parts, 2, NULL, 0);
}

static int serve_audit_sign(int fd, struct vks_ipc_message *message)
{
    const uint8_t *body = vks_ipc_body(message);
    uint32_t rest_bytes = vks_ipc_body_bytes(message) - (uint32_t)sizeof(struct vks_custodian_audit_sign);
    struct vks_custodian_audit_signature signature;
    struct vks_custodian_audit_sign request;
    int error;

    memcpy(&request, body, sizeof(request));
    if (request.sealed_bytes > rest_bytes || request.text_bytes != rest_bytes - request.sealed_bytes)
        return -EPROTO;
    body += sizeof(request);
    error = vks_audit_key_sign(body, request.sealed_bytes, body + request.sealed_bytes, request.text_bytes, &signature);
    return vks_ipc_reply(fd, &message->head, error, &signature, sizeof(signature));
}

static int serve_certify(int fd, struct vks_ipc_message *message)
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

static const struct {
    uint32_t type;
    int (*serve)(int fd, struct vks_ipc_message *message);
} requests[] = {
    {VKS_CUSTODIAN_STATUS, serve_status},
    {VKS_CUSTODIAN_ROOT_OPEN, vks_root_serve_open},
    {VKS_CUSTODIAN_GENERATE, serve_generate},
    {VKS_CUSTODIAN_OFFER, serve_offer},
    {VKS_CUSTODIAN_IMPORT, serve_import},
    {VKS_CUSTODIAN_CHANNEL, serve_channel},
    {VKS_CUSTODIAN_CHANNEL_CLOSE, serve_channel_close},
    {VKS_CUSTODIAN_LOAD, serve_load},
    {VKS_CUSTODIAN_AUDIT_KEY, serve_audit_key},
    {VKS_CUSTODIAN_AUDIT_SIGN, serve_audit_sign},
    {VKS_CUSTODIAN_ROOT_CHANGE, vks_root_serve_change},
    {VKS_CUSTODIAN_RESEAL, vks_root_serve_reseal},
    {VKS_CUSTODIAN_ROOT_SWITCH, vks_root_serve_switch},
    {VKS_CUSTODIAN_CERTIFY, serve_certify},
};

int vks_request_serve(int fd, struct vks_ipc_message *message)
{
    int error = -EPROTO;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (requests[i].type == message->head.type)
            error = requests[i].serve(fd, message);
    vks_ipc_close_fds(message);
    return error;
}

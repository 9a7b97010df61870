/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the custodian, default deny. Knows messages; whoever sends them may be hostile and gets no plaintext. */
#include "requests.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#include "algorithm.h"
#include "audit_key.h"
#include "channels.h"
#include "confinement.h"
#include "kek_id.h"
#include "key_requests.h"
#include "load.h"
#include "root.h"
#include "root_requests.h"
#include "seal.h"
#include "secret_arena.h"

static int serve_status(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_status status = {.secret_memory = vks_secret_arena_memory(),
                                          .root_open = vks_root_kek(VKS_ROOT_CURRENT) != NULL,
                                          .root_kind = vks_root_kind(),
                                          .key_types = vks_algorithm_types(),
                                          .sandbox = *vks_confinement_report()};
    const uint8_t *kek = vks_root_kek(VKS_ROOT_CURRENT);
    int error = kek ? vks_kek_id(kek, status.kek_id) : 0;

    strncpy(status.libcrypto, OpenSSL_version(OPENSSL_VERSION_STRING), sizeof(status.libcrypto) - 1);
    return vks_ipc_reply(fd, &message->head, error, &status, sizeof(status));
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

static const struct {
    uint32_t type;
    int (*serve)(int fd, struct vks_ipc_message *message);
} requests[] = {
    {VKS_CUSTODIAN_STATUS, serve_status},
    {VKS_CUSTODIAN_ROOT_OPEN, vks_root_serve_open},
    {VKS_CUSTODIAN_GENERATE, vks_key_serve_generate},
    {VKS_CUSTODIAN_ENROLL, vks_key_serve_enroll},
    {VKS_CUSTODIAN_OFFER, vks_key_serve_offer},
    {VKS_CUSTODIAN_IMPORT, vks_key_serve_import},
    {VKS_CUSTODIAN_CHANNEL, serve_channel},
    {VKS_CUSTODIAN_CHANNEL_CLOSE, serve_channel_close},
    {VKS_CUSTODIAN_LOAD, serve_load},
    {VKS_CUSTODIAN_AUDIT_KEY, serve_audit_key},
    {VKS_CUSTODIAN_AUDIT_SIGN, serve_audit_sign},
    {VKS_CUSTODIAN_ROOT_CHANGE, vks_root_serve_change},
    {VKS_CUSTODIAN_RESEAL, vks_root_serve_reseal},
    {VKS_CUSTODIAN_ROOT_SWITCH, vks_root_serve_switch},
    {VKS_CUSTODIAN_ROOT_EXPORT, vks_root_serve_export},
    {VKS_CUSTODIAN_CERTIFY, vks_key_serve_certify},
    {VKS_CUSTODIAN_RSA_OFFER, vks_key_serve_rsa_offer},
    {VKS_CUSTODIAN_IMPORT_RSA, vks_key_serve_import_rsa},
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and changing the root of trust. Knows messages; no secret and no KEK is in an answer. */
#include "root_requests.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "import_wrap.h"
#include "kek_id.h"
#include "load_walk.h"
#include "root.h"
#include "root_secret.h"
#include "seal.h"

/*
 * What the message brings of a secret, and of a blob behind it; *fixed_bytes* is its structure. -EPROTO: the lengths do
 * not add up.
 */
static int take_secret(struct vks_ipc_message *message, const struct vks_custodian_secret *secret, size_t fixed_bytes,
                       struct vks_root_secret_input *input, struct vks_root_blob *blob)
{
    const uint8_t *wrapped = (const uint8_t *)vks_ipc_body(message) + fixed_bytes;
    size_t rest_bytes = vks_ipc_body_bytes(message) - fixed_bytes;
    int fd = vks_ipc_take_fd(message, 1);
    int error = -EPROTO;

    *input = (struct vks_root_secret_input){NULL, 0};
    if (secret->wrapped_bytes <= rest_bytes && blob->size_bytes == rest_bytes - secret->wrapped_bytes)
        error = vks_root_secret_take(secret, fd, wrapped, input);
    blob->bytes = wrapped + secret->wrapped_bytes;
    if (fd >= 0)
        close(fd);
    return error;
}

int vks_root_serve_open(int fd, struct vks_ipc_message *message)
{
    struct vks_root_secret_input secret;
    struct vks_root_blob blob = {NULL, 0};
    struct vks_custodian_root root;
    int error, file;

    memcpy(&root, vks_ipc_body(message), sizeof(root));
    error = take_secret(message, &root.secret, sizeof(root), &secret, &blob);
    if (error == -EPROTO)
        return error;
    file = vks_ipc_take_fd(message, 0);
    if (!error)
        error = root.create <= 1 ? vks_root_open(file, root.create == 1, &secret) : -EINVAL;
    close(file);
    vks_root_secret_release(&secret);
    return vks_ipc_reply(fd, &message->head, error, NULL, 0);
}

int vks_root_serve_change(int fd, struct vks_ipc_message *message)
{
    struct vks_custodian_root_change change;
    struct vks_root_secret_input secret;
    struct vks_root_blob blob;
    int error, file;

    memcpy(&change, vks_ipc_body(message), sizeof(change));
    blob.size_bytes = change.blob_bytes;
    error = take_secret(message, &change.secret, sizeof(change), &secret, &blob);
    if (error == -EPROTO)
        return error;
    file = vks_ipc_take_fd(message, 0);
    if (!error)
        error = vks_root_change(file, change.kind, &secret, &blob);
    close(file);
    vks_root_secret_release(&secret);
    return vks_ipc_reply(fd, &message->head, error, NULL, 0);
}

/* Ciphertext only, so ordinary memory. */
static uint8_t resealed[VKS_IPC_BYTES_MAX];

/* Each blob anew, in the place that it has in the message; all or nothing. 0 or a negative errno. */
static int reseal_all(uint32_t count, struct vks_load_walk walk)
{
    const uint8_t *start = walk.bytes;
    struct vks_custodian_load_entry entry;
    const uint8_t *sealed;

    memcpy(resealed, walk.bytes, walk.left_bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct vks_seal_name name;
        int error;

        if (!vks_load_walk_next(&walk, &entry, &sealed))
            return -EPROTO;
        memcpy(name.key_id, entry.key_id, sizeof(name.key_id));
        name.version = entry.version;
        name.type = entry.type;
        error = vks_reseal(&name, sealed, entry.sealed_bytes, resealed + (sealed - start));
        if (error)
            return error;
    }
    return walk.left_bytes == 0 ? 0 : -EPROTO;
}

int vks_root_serve_reseal(int fd, struct vks_ipc_message *message)
{
    struct vks_ipc_head head = {.type = message->head.type | VKS_IPC_REPLY, .tag = message->head.tag};
    const uint8_t *body = vks_ipc_body(message);
    struct vks_custodian_reseal reseal;
    struct vks_load_walk walk;
    int error;

    memcpy(&reseal, body, sizeof(reseal));
    if (reseal.entries_bytes != vks_ipc_body_bytes(message) - (uint32_t)sizeof(reseal))
        return -EPROTO;
    walk = (struct vks_load_walk){body + sizeof(reseal), reseal.entries_bytes};
    error = reseal_all(reseal.count, walk);
    if (error == -EPROTO)
        return error;
    if (error) {
        error = vks_ipc_reply(fd, &message->head, error, NULL, 0);
    } else {
        struct vks_ipc_part parts[] = {{&reseal, sizeof(reseal)}, {resealed, walk.left_bytes}};

        error = vks_ipc_send(fd, &head, parts, 2, NULL, 0);
    }
    return error;
}

int vks_root_serve_switch(int fd, struct vks_ipc_message *message)
{
    return vks_ipc_reply(fd, &message->head, vks_root_switch(), NULL, 0);
}

_Static_assert(VKS_EXPORT_WRAPPED_BYTES == VKS_IMPORT_WRAPPED_OVERHEAD + VKS_KEK_BYTES, "room for a wrapped KEK");

int vks_root_serve_export(int fd, struct vks_ipc_message *message)
{
    const uint8_t *kek = vks_root_kek(VKS_ROOT_CURRENT);
    struct vks_custodian_export export;
    struct vks_custodian_offer offer;
    int error;

    memcpy(&offer, vks_ipc_body(message), sizeof(offer));
    error = kek ? vks_kek_id(kek, export.kek_id) : -ENOKEY;
    if (!error)
        error = vks_import_wrap(&offer, VKS_TYPE_KEK, kek, VKS_KEK_BYTES, export.wrapped);
    return vks_ipc_reply(fd, &message->head, error, &export, sizeof(export));
}

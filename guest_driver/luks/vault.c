/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* explicit_bzero */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vault.h"

#define OPS_TO_MAKE "data-key,decrypt,release"
#define OPS_TO_OPEN "decrypt"

/* Is there no device at all, and not one that refuses? */
static bool is_absent(int error)
{
    return error == -ENOENT || error == -ENXIO || error == -ENODEV;
}

static bool fail_without_device(int error, struct failure *failure)
{
    if (is_absent(error))
        return fail(failure, error,
                    "is the module virtio_keystore loaded, and has this machine a keystore? 'vks doctor' looks for it",
                    "no way to the vault: %s", vks_error_text(error));
    return fail(failure, error, vks_error_hint(error), "no way to the vault: %s", vks_error_text(error));
}

/* The guest's own name where the vault tells it, for the command that its operator types. */
static void guest_name(struct vks_device *device, char name[VKS_LABEL_BYTES])
{
    struct vks_device_info info;

    if (vks_info(device, &info) || !vks_label_is_valid(info.guest_name))
        snprintf(name, VKS_LABEL_BYTES, "GUEST");
    else
        snprintf(name, VKS_LABEL_BYTES, "%s", info.guest_name);
}

/* What the vault's answer means for a disk. @label is a valid one, or what somebody typed. */
static bool fail_answer(struct vks_device *device, int error, const char *label, const char *ops,
                        struct failure *failure)
{
    char guest[VKS_LABEL_BYTES];
    char hint[240];

    guest_name(device, guest);
    snprintf(hint, sizeof(hint), "ask the host's operator: vmm-keystore grant add %s %.63s --ops %s", guest, label,
             ops);
    if (error == VKS_STATUS_NO_KEY)
        return fail(failure, -EPERM, hint, "the vault refuses: key %.63s is not granted to this guest, or not there",
                    label);
    if (error == VKS_STATUS_DENIED)
        return fail(failure, -EPERM, hint, "the vault refuses: the grant of key %.63s does not allow this", label);
    if (error == VKS_STATUS_KEY_STATE)
        return fail(failure, -EPERM, "the host's operator may activate it",
                    "the vault refuses: the state of key %.63s does not allow this", label);
    if (error == VKS_STATUS_LIMIT)
        return fail(failure, -EPERM, "the host's operator may raise it",
                    "the vault refuses: a limit of the grant of key %.63s is used up", label);
    if (error == VKS_STATUS_AUTH_FAILED)
        return fail(failure, -EPERM, "another way in still opens the disk; then 'vks luks remove' and 'enroll'",
                    "the vault does not open the token: it was changed, or made for another header");
    return fail(failure, error < 0 ? error : -EIO, vks_error_hint(error), "key %.63s: %s", label,
                vks_error_text(error));
}

static struct vks_bytes bytes_of_text(const char *text)
{
    return (struct vks_bytes){text, strlen(text)};
}

bool vault_make(const char *device_path, const char *key_name, const char *binding, struct luks_token *token,
                uint8_t secret[LUKS_SECRET_BYTES], struct failure *failure)
{
    uint8_t output[VKS_DATA_KEY_BYTES(LUKS_SECRET_BYTES)];
    struct vks_device *device;
    struct vks_key key;
    struct vks_use use = {0};
    int error = vks_open(device_path, &device);

    if (error)
        return fail_without_device(error, failure);
    error = vks_find_key(device, key_name, 0, &key);
    if (!error && !vks_label_is_valid(key.label))
        error = -EPROTO;
    if (!error) {
        memcpy(use.key_id, key.id, sizeof(use.key_id));
        /* Not 0: the version has to be known, since nothing else opens it again. */
        use.key_version = key.version;
        error = vks_data_key(device, &use, bytes_of_text(binding), output, LUKS_SECRET_BYTES);
    }
    if (!error) {
        *token = (struct luks_token){.key_version = key.version};
        memcpy(token->key_id, key.id, sizeof(token->key_id));
        snprintf(token->label, sizeof(token->label), "%s", key.label);
        memcpy(secret, output, LUKS_SECRET_BYTES);
        memcpy(token->sealed, output + LUKS_SECRET_BYTES, LUKS_SEALED_BYTES);
    } else {
        (void)fail_answer(device, error, key_name, OPS_TO_MAKE, failure);
    }
    explicit_bzero(output, sizeof(output));
    vks_close(device);
    return !error;
}

bool vault_open(const char *device_path, const struct luks_token *token, const char *binding,
                uint8_t secret[LUKS_SECRET_BYTES], struct failure *failure)
{
    struct vks_use use = {.key_version = token->key_version};
    size_t size = LUKS_SECRET_BYTES;
    struct vks_device *device;
    int error = vks_open(device_path, &device);

    if (error)
        return fail_without_device(error, failure);
    memcpy(use.key_id, token->key_id, sizeof(use.key_id));
    error = vks_decrypt(device, &use, (struct vks_bytes){0}, bytes_of_text(binding),
                        (struct vks_bytes){token->sealed, sizeof(token->sealed)}, secret, &size);
    if (!error && size != LUKS_SECRET_BYTES)
        error = -EPROTO;
    if (error)
        (void)fail_answer(device, error, token->label, OPS_TO_OPEN, failure);
    vks_close(device);
    return !error;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of the guest's own: making, renewing and destroying them. No request is sent again: each would be one more. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vks.h"

/* No ctype.h: what is a letter there depends on the locale. */
static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool vks_label_is_valid(const char *label)
{
    size_t size = 0;

    if (!is_letter_or_digit(label[0]))
        return false;
    for (; label[size]; size++) {
        /* One byte is for the NUL. */
        if (size == VKS_LABEL_BYTES - 1 || !(is_letter_or_digit(label[size]) || strchr("._-", label[size])))
            return false;
    }
    return true;
}

bool vks_key_is_own(const struct vks_key *key)
{
    /* No grant has it (MUST-47). */
    return key->op_mask >> VKS_OP_DESTROY & 1;
}

int vks_generate(struct vks_device *device, uint32_t type, const char *label, uint8_t key_id[VKS_KEY_ID_BYTES])
{
    static const uint8_t id_of_none[VKS_KEY_ID_BYTES];
    struct vks_generate_request input = {.type = htole32(type)};
    uint8_t made[VKS_KEY_ID_BYTES] = {0};
    struct vks_request request = {
        .op = VKS_OP_GENERATE,
        .input = {&input, sizeof(input)},
        .output = made,
        .output_size = sizeof(made),
    };
    int error;

    if (!vks_label_is_valid(label))
        return -EINVAL;
    memcpy(input.label, label, strlen(label));
    error = vks_submit(device, &request);
    if (error)
        return error;
    if (request.output_written != sizeof(made) || memcmp(made, id_of_none, sizeof(made)) == 0)
        return -EPROTO;
    memcpy(key_id, made, sizeof(made));
    return 0;
}

int vks_rotate(struct vks_device *device, const uint8_t key_id[VKS_KEY_ID_BYTES], uint32_t *version)
{
    struct vks_request request = {.op = VKS_OP_ROTATE};
    int error;

    memcpy(request.use.key_id, key_id, sizeof(request.use.key_id));
    error = vks_submit(device, &request);
    if (error)
        return error;
    /* 0 would be taken for "the current one". */
    if (request.key_version == 0)
        return -EPROTO;
    *version = request.key_version;
    return 0;
}

int vks_destroy(struct vks_device *device, const uint8_t key_id[VKS_KEY_ID_BYTES])
{
    struct vks_request request = {.op = VKS_OP_DESTROY};

    memcpy(request.use.key_id, key_id, sizeof(request.use.key_id));
    return vks_submit(device, &request);
}

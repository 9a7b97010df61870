/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets into the arena. Knows files and offers; must not know what they open. */
#include "root_secret.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "import_wrap.h"
#include "offers.h"
#include "secret_arena.h"

static int take_file(int fd, struct vks_root_secret_input *input)
{
    uint8_t *bytes = vks_secret_alloc(VKS_ROOT_SECRET_BYTES_MAX + 1);
    size_t done = 0;
    ssize_t part = 1;

    if (bytes == NULL)
        return -ENOMEM;
    input->bytes = bytes;
    while (part != 0 && done <= VKS_ROOT_SECRET_BYTES_MAX) {
        part = pread(fd, bytes + done, VKS_ROOT_SECRET_BYTES_MAX + 1 - done, (off_t)done);
        if (part < 0 && errno != EINTR)
            return -errno;
        done += part > 0 ? (size_t)part : 0;
    }
    input->size_bytes = done;
    return done > VKS_ROOT_SECRET_BYTES_MAX ? -EFBIG : 0;
}

static int take_wrapped(const struct vks_custodian_secret *secret, const uint8_t *wrapped,
                        struct vks_root_secret_input *input)
{
    struct vks_custodian_offer offer;
    EVP_PKEY *private_key = NULL;
    uint8_t *bytes = NULL;
    uint32_t type = 0;
    int error = vks_offer_take(secret->offer_id, &offer, &private_key);

    if (!error)
        error =
            vks_import_unwrap(&offer, private_key, wrapped, secret->wrapped_bytes, &type, &bytes, &input->size_bytes);
    EVP_PKEY_free(private_key);
    input->bytes = bytes;
    if (error == -EBADMSG || (!error && type != VKS_TYPE_ROOT_SECRET))
        error = -EILSEQ;
    return !error && input->size_bytes > VKS_ROOT_SECRET_BYTES_MAX ? -EFBIG : error;
}

int vks_root_secret_take(const struct vks_custodian_secret *secret, int fd, const uint8_t *wrapped,
                         struct vks_root_secret_input *input)
{
    int error = -EINVAL;

    *input = (struct vks_root_secret_input){NULL, 0};
    if (secret->source == VKS_ROOT_SECRET_NONE && secret->wrapped_bytes == 0 && fd < 0)
        error = 0;
    else if (secret->source == VKS_ROOT_SECRET_FD && secret->wrapped_bytes == 0 && fd >= 0)
        error = take_file(fd, input);
    else if (secret->source == VKS_ROOT_SECRET_WRAPPED && fd < 0)
        error = take_wrapped(secret, wrapped, input);
    if (error)
        vks_root_secret_release(input);
    return error;
}

void vks_root_secret_release(struct vks_root_secret_input *input)
{
    vks_secret_free((void *)(uintptr_t)input->bytes);
    *input = (struct vks_root_secret_input){NULL, 0};
}

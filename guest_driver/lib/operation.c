/* SPDX-License-Identifier: BSD-3-Clause */
/* One function an operation. */
#include <errno.h>

#include "vks.h"

static int submit_output(struct vks_device *device, struct vks_request *request, void *output, size_t *output_size)
{
    int error;

    request->output = output;
    request->output_size = *output_size;
    error = vks_submit(device, request);
    *output_size = request->output_written;
    return error;
}

int vks_public(struct vks_device *device, const struct vks_use *use, void *der, size_t *der_size)
{
    struct vks_request request = {.op = VKS_OP_PUBLIC, .use = *use};

    return submit_output(device, &request, der, der_size);
}

int vks_sign(struct vks_device *device, const struct vks_use *use, struct vks_bytes input, void *signature,
             size_t *signature_size)
{
    struct vks_request request = {.op = VKS_OP_SIGN, .use = *use, .input = input};

    return submit_output(device, &request, signature, signature_size);
}

int vks_verify(struct vks_device *device, const struct vks_use *use, struct vks_bytes input, struct vks_bytes signature)
{
    struct vks_request request = {.op = VKS_OP_VERIFY, .use = *use, .parameter = signature, .input = input};

    return vks_submit(device, &request);
}

int vks_encrypt(struct vks_device *device, const struct vks_use *use, struct vks_bytes parameter, struct vks_bytes aad,
                struct vks_bytes plaintext, void *output, size_t *output_size)
{
    struct vks_request request = {
        .op = VKS_OP_ENCRYPT, .use = *use, .parameter = parameter, .aad = aad, .input = plaintext};

    return submit_output(device, &request, output, output_size);
}

int vks_decrypt(struct vks_device *device, const struct vks_use *use, struct vks_bytes parameter, struct vks_bytes aad,
                struct vks_bytes ciphertext, void *output, size_t *output_size)
{
    struct vks_request request = {
        .op = VKS_OP_DECRYPT, .use = *use, .parameter = parameter, .aad = aad, .input = ciphertext};

    return submit_output(device, &request, output, output_size);
}

int vks_mac(struct vks_device *device, const struct vks_use *use, struct vks_bytes input, void *tag, size_t *tag_size)
{
    struct vks_request request = {.op = VKS_OP_MAC, .use = *use, .input = input};

    return submit_output(device, &request, tag, tag_size);
}

int vks_mac_verify(struct vks_device *device, const struct vks_use *use, struct vks_bytes input, struct vks_bytes tag)
{
    struct vks_request request = {.op = VKS_OP_MAC_VERIFY, .use = *use, .parameter = tag, .input = input};

    return vks_submit(device, &request);
}

int vks_random(struct vks_device *device, void *output, size_t size)
{
    uint8_t *at = output;

    while (size) {
        size_t piece = size < VKS_RANDOM_BYTES_MAX ? size : VKS_RANDOM_BYTES_MAX;
        struct vks_request request = {.op = VKS_OP_RANDOM, .output = at, .output_size = piece};
        int error = vks_submit(device, &request);

        if (error)
            return error;
        /* The device fills the whole area or none of it; a short answer must not pass as random. */
        if (request.output_written != piece)
            return VKS_STATUS_INTERNAL;
        at += piece;
        size -= piece;
    }
    return 0;
}

int vks_derive(struct vks_device *device, const struct vks_use *use, struct vks_bytes peer, struct vks_bytes salt,
               struct vks_bytes info, void *secret, size_t *secret_size)
{
    struct vks_request request = {.op = VKS_OP_DERIVE, .use = *use, .parameter = peer, .aad = salt, .input = info};
    size_t wanted = *secret_size;
    int error;

    if (wanted == 0 || wanted > VKS_SECRET_BYTES_MAX)
        return -EINVAL;
    error = submit_output(device, &request, secret, secret_size);
    /* Only the shared secret has a size of its own; a short answer must not pass as what was asked for. */
    if (!error && use->mechanism != VKS_MECHANISM_ECDH && *secret_size != wanted)
        return -EPROTO;
    return error;
}

int vks_data_key(struct vks_device *device, const struct vks_use *use, struct vks_bytes aad, void *output,
                 size_t secret_size)
{
    struct vks_request request = {.op = VKS_OP_DATA_KEY, .use = *use, .aad = aad, .output = output};
    int error;

    if (secret_size == 0 || secret_size > VKS_SECRET_BYTES_MAX)
        return -EINVAL;
    request.output_size = VKS_DATA_KEY_BYTES(secret_size);
    error = vks_submit(device, &request);
    if (!error && request.output_written != request.output_size)
        return -EPROTO;
    return error;
}

int vks_decapsulate(struct vks_device *device, const struct vks_use *use, struct vks_bytes ciphertext,
                    uint8_t secret[VKS_SHARED_BYTES])
{
    struct vks_request request = {.op = VKS_OP_DECAPSULATE, .use = *use, .input = ciphertext};
    size_t size = VKS_SHARED_BYTES;
    int error = submit_output(device, &request, secret, &size);

    /* A short answer must not pass as the secret. */
    return !error && size != VKS_SHARED_BYTES ? -EPROTO : error;
}

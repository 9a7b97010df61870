/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES key wrap, SP 800-38F: KW (RFC 3394) and with padding KWP (RFC 5649), of data that the guest has already.
 *
 * Equal texts give equal ciphertexts: that is the mode, made for keys, and takes no nonce. It walks over its data six
 * times a half block, so that the length of a text is bounded.
 */
#include <openssl/crypto.h>
#include <string.h>

#include "op_family.h"
#include "vmm_keystore.h"

enum {
    HALF_BLOCK_BYTES = 8,
    KW_TEXT_BYTES_MIN = 2 * HALF_BLOCK_BYTES,
};

static bool pads(uint32_t mechanism)
{
    return mechanism == VKS_MECHANISM_AES_KWP;
}

static uint32_t padded(uint32_t bytes)
{
    return (bytes + HALF_BLOCK_BYTES - 1) / HALF_BLOCK_BYTES * HALF_BLOCK_BYTES;
}

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    bool pad = pads(operation->mechanism);
    bool decrypt = operation->op == VKS_OP_DECRYPT;
    uint32_t overhead = decrypt ? HALF_BLOCK_BYTES : 0;
    uint32_t text_bytes = operation->input_bytes;

    if (operation->parameter_bytes || operation->aad_bytes)
        return VKS_STATUS_INPUT_SIZE;
    if ((decrypt || !pad) && text_bytes % HALF_BLOCK_BYTES != 0)
        return VKS_STATUS_INPUT_SIZE;
    if (text_bytes < overhead + (pad ? 1 : KW_TEXT_BYTES_MIN) || text_bytes > overhead + VKS_KEY_WRAP_BYTES_MAX)
        return VKS_STATUS_INPUT_SIZE;
    return VKS_STATUS_OK;
}

/* What decrypt needs is the text with its padding: how long the text is stands in the ciphertext. */
static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    if (op == VKS_OP_DECRYPT)
        return input_bytes > HALF_BLOCK_BYTES ? input_bytes - HALF_BLOCK_BYTES : 0;
    return input_bytes > VKS_INPUT_BYTES_MAX ? UINT32_MAX : padded(input_bytes) + HALF_BLOCK_BYTES;
}

static uint32_t wrap(EVP_CIPHER_CTX *context, struct vks_operation *operation)
{
    int done = 0;

    if (EVP_CipherUpdate(context, operation->output, &done, operation->input, (int)operation->input_bytes) != 1 ||
        done <= 0)
        return VKS_STATUS_INTERNAL;
    operation->output_bytes = (uint32_t)done;
    return VKS_STATUS_OK;
}

/*
 * By way of a buffer as long as the ciphertext: where KWP does not verify, libcrypto wipes that much of what it was
 * given. What is wrong with a ciphertext is not told apart.
 */
static uint32_t unwrap(EVP_CIPHER_CTX *context, struct vks_operation *operation)
{
    uint8_t text[VKS_KEY_WRAP_BYTES_MAX + HALF_BLOCK_BYTES];
    uint32_t status = VKS_STATUS_AUTH_FAILED;
    int done = 0;

    if (EVP_CipherUpdate(context, text, &done, operation->input, (int)operation->input_bytes) == 1 && done > 0) {
        memcpy(operation->output, text, (size_t)done);
        operation->output_bytes = (uint32_t)done;
        status = VKS_STATUS_OK;
    }
    OPENSSL_cleanse(text, operation->input_bytes);
    return status;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    bool encrypt = operation->op == VKS_OP_ENCRYPT;
    enum vks_cipher_mode mode = pads(operation->mechanism) ? VKS_CIPHER_KWP : VKS_CIPHER_KW;
    EVP_CIPHER_CTX *context = vks_op_cipher_context(key, mode, encrypt, NULL, lane);

    if (context == NULL)
        return VKS_STATUS_INTERNAL;
    return encrypt ? wrap(context, operation) : unwrap(context, operation);
}

const struct vks_op_family vks_op_key_wrap = {sizes, output_bytes, run};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ciphers: AES-GCM (SP 800-38D) and ChaCha20-Poly1305 (RFC 8439) with nonces made here or by the caller, AES-CBC and
 * AES-CTR (SP 800-38A), AES-XTS (SP 800-38E) with the caller's tweak.
 *
 * Whatever takes a nonce shares one counter per load, and it starts at 1: no nonce, no counter block and not the block
 * of GCM's hash key (all zero) is ever used twice under the key, whichever mode comes next.
 */
#include <openssl/rand.h>
#include <string.h>

#include "gcm_engine.h"
#include "op_family.h"
#include "vmm_keystore.h"

enum {
    NONCE_BYTES = 12,
    TAG_BYTES = 16,
    BLOCK_BYTES = 16,
};

/* Who says what the cipher starts with: nonce, IV, initial counter block or tweak. */
enum start {
    START_DEVICE,    /* it is made here, and stands in front of the ciphertext */
    START_OWN_NONCE, /* encrypt: the caller's, as the parameter, and then it stands there too */
    START_TWEAK,     /* the caller's, as the parameter, both ways: it stands nowhere else */
};

/* What a mechanism takes, and what it puts around the ciphertext. */
struct form {
    enum vks_cipher_mode mode;
    enum start start;
    uint32_t front_bytes;
    uint32_t tag_bytes; /* behind; 0: there is none, and no associated data */
    uint32_t text_bytes_min;
    uint32_t unit_bytes; /* the text is whole units */
};

static const struct form forms[VKS_MECHANISM_COUNT] = {
    [VKS_MECHANISM_AES_GCM] = {VKS_CIPHER_GCM, START_DEVICE, NONCE_BYTES, TAG_BYTES, 0, 1},
    [VKS_MECHANISM_AES_GCM_OWN_NONCE] = {VKS_CIPHER_GCM, START_OWN_NONCE, NONCE_BYTES, TAG_BYTES, 0, 1},
    [VKS_MECHANISM_AES_CBC] = {VKS_CIPHER_CBC, START_DEVICE, BLOCK_BYTES, 0, 0, BLOCK_BYTES},
    [VKS_MECHANISM_AES_CTR] = {VKS_CIPHER_CTR, START_DEVICE, BLOCK_BYTES, 0, 0, 1},
    [VKS_MECHANISM_CHACHA20_POLY1305] = {VKS_CIPHER_CHACHA20_POLY1305, START_DEVICE, NONCE_BYTES, TAG_BYTES, 0, 1},
    [VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE] = {VKS_CIPHER_CHACHA20_POLY1305, START_OWN_NONCE, NONCE_BYTES,
                                                   TAG_BYTES, 0, 1},
    [VKS_MECHANISM_AES_XTS] = {VKS_CIPHER_XTS, START_TWEAK, 0, 0, BLOCK_BYTES, 1},
};

_Static_assert(VKS_INPUT_BYTES_MAX <= BLOCK_BYTES << 20, "a data unit of XTS has at most 2^20 blocks");

static uint32_t parameter_bytes(const struct form *form, uint32_t op)
{
    if (form->start == START_TWEAK)
        return BLOCK_BYTES;
    return form->start == START_OWN_NONCE && op == VKS_OP_ENCRYPT ? NONCE_BYTES : 0;
}

static uint32_t overhead_bytes(const struct form *form)
{
    return form->front_bytes + form->tag_bytes;
}

/* What a data key of this area has: the secret stands there twice, once in the clear. 0: the area fits none. */
static uint32_t data_key_bytes(const struct form *form, uint32_t area_bytes)
{
    uint32_t secret_bytes = area_bytes > overhead_bytes(form) ? (area_bytes - overhead_bytes(form)) / 2 : 0;

    return secret_bytes <= VKS_SECRET_BYTES_MAX && 2 * secret_bytes + overhead_bytes(form) == area_bytes ? secret_bytes
                                                                                                         : 0;
}

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    const struct form *form = &forms[operation->mechanism];
    uint32_t text_bytes = operation->input_bytes;

    if (operation->op == VKS_OP_DATA_KEY)
        return data_key_bytes(form, operation->output_bytes_max) ? VKS_STATUS_OK : VKS_STATUS_MALFORMED;
    if (operation->parameter_bytes != parameter_bytes(form, operation->op))
        return VKS_STATUS_INPUT_SIZE;
    if (operation->aad_bytes && form->tag_bytes == 0)
        return VKS_STATUS_INPUT_SIZE;
    if (operation->op == VKS_OP_DECRYPT) {
        if (text_bytes < overhead_bytes(form))
            return VKS_STATUS_INPUT_SIZE;
        text_bytes -= overhead_bytes(form);
    }
    if (text_bytes < form->text_bytes_min || text_bytes > VKS_OUTPUT_BYTES_MAX || text_bytes % form->unit_bytes != 0)
        return VKS_STATUS_INPUT_SIZE;
    return VKS_STATUS_OK;
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    uint32_t overhead = overhead_bytes(&forms[mechanism]);

    if (op == VKS_OP_DECRYPT)
        return input_bytes > overhead ? input_bytes - overhead : 0;
    return input_bytes > UINT32_MAX - overhead ? UINT32_MAX : input_bytes + overhead;
}

EVP_CIPHER_CTX *vks_op_cipher_context(struct vks_key *key, enum vks_cipher_mode mode, int encrypt, const uint8_t *iv,
                                      enum vks_lane lane)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    EVP_CIPHER_CTX **context;

    if (of == NULL)
        return NULL;
    context = &of->cipher[mode][encrypt];
    if (*context)
        return EVP_CipherInit_ex2(*context, NULL, NULL, iv, encrypt, NULL) == 1 ? *context : NULL;
    *context = EVP_CIPHER_CTX_new();
    if (*context == NULL)
        return NULL;
    /* Else libcrypto refuses key wrap: it was kept from old programs whose buffers are too small. */
    EVP_CIPHER_CTX_set_flags(*context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    if (EVP_CipherInit_ex2(*context, vks_cipher(mode, key->material_bytes), key->material, iv, encrypt, NULL) == 1 &&
        EVP_CIPHER_CTX_set_padding(*context, 0) == 1)
        return *context;
    EVP_CIPHER_CTX_free(*context);
    *context = NULL;
    return NULL;
}

static void store_be(uint8_t *bytes, uint64_t value, int size)
{
    for (int i = size - 1; i >= 0; i--, value >>= 8)
        bytes[i] = (uint8_t)value;
}

/* lease || counter; false once the counter is used up, for good. */
static bool next_nonce(struct vks_key *key, uint8_t nonce[NONCE_BYTES])
{
    uint64_t counter = atomic_load_explicit(&key->nonce_counter, memory_order_relaxed);

    do {
        if (counter == UINT64_MAX)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&key->nonce_counter, &counter, counter + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    store_be(nonce, key->nonce_lease, 4);
    store_be(nonce + 4, counter + 1, 8);
    return true;
}

/* Nonce, IV or initial counter block in front of the output, where one stands there. */
static uint32_t make_front(struct vks_key *key, const struct vks_operation *operation)
{
    uint8_t *front = operation->output;

    if (forms[operation->mechanism].start == START_TWEAK)
        return VKS_STATUS_OK;
    if (forms[operation->mechanism].start == START_OWN_NONCE) {
        memcpy(front, operation->parameter, NONCE_BYTES);
        return VKS_STATUS_OK;
    }
    if (operation->mechanism == VKS_MECHANISM_AES_CBC)
        return RAND_bytes(front, BLOCK_BYTES) == 1 ? VKS_STATUS_OK : VKS_STATUS_INTERNAL;
    if (operation->mechanism == VKS_MECHANISM_AES_CTR)
        memset(front + NONCE_BYTES, 0, BLOCK_BYTES - NONCE_BYTES);
    return next_nonce(key, front) ? VKS_STATUS_OK : VKS_STATUS_LIMIT;
}

static bool cipher_text(EVP_CIPHER_CTX *context, const uint8_t *aad, uint32_t aad_bytes, const uint8_t *text,
                        uint32_t text_bytes, uint8_t *output)
{
    int done = 0;

    if (aad_bytes && EVP_CipherUpdate(context, NULL, &done, aad, (int)aad_bytes) != 1)
        return false;
    if (text_bytes == 0)
        return true;
    return EVP_CipherUpdate(context, output, &done, text, (int)text_bytes) == 1 && done == (int)text_bytes;
}

/* NULL: by libcrypto. */
static const struct gcm_key_data *engine_key(struct vks_key *key, const struct form *form, enum vks_lane lane)
{
    return form->mode == VKS_CIPHER_GCM ? vks_gcm_engine_key(key, lane) : NULL;
}

static uint32_t encrypt_run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    const struct form *form = &forms[operation->mechanism];
    const struct gcm_key_data *expanded = engine_key(key, form, lane);
    uint8_t *text = operation->output + form->front_bytes;
    uint32_t status = make_front(key, operation);
    EVP_CIPHER_CTX *context;
    uint8_t nothing[BLOCK_BYTES];
    int done = 0;

    if (status != VKS_STATUS_OK)
        return status;
    operation->output_bytes = operation->input_bytes + overhead_bytes(form);
    if (expanded) {
        vks_gcm_engine_encrypt(expanded, key->material_bytes, operation->output, operation->aad, operation->aad_bytes,
                               operation->input, operation->input_bytes, text);
        return VKS_STATUS_OK;
    }
    context = vks_op_cipher_context(key, form->mode, 1,
                                    form->start == START_TWEAK ? operation->parameter : operation->output, lane);
    if (context == NULL ||
        !cipher_text(context, operation->aad, operation->aad_bytes, operation->input, operation->input_bytes, text))
        return VKS_STATUS_INTERNAL;
    if (EVP_CipherFinal_ex(context, nothing, &done) != 1 || done != 0)
        return VKS_STATUS_INTERNAL;
    if (form->tag_bytes &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + operation->input_bytes) != 1)
        return VKS_STATUS_INTERNAL;
    return VKS_STATUS_OK;
}

static uint32_t decrypt_run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    const struct form *form = &forms[operation->mechanism];
    const uint8_t *start = form->start == START_TWEAK ? operation->parameter : operation->input;
    const struct gcm_key_data *expanded = engine_key(key, form, lane);
    EVP_CIPHER_CTX *context;
    const uint8_t *text = operation->input + form->front_bytes;
    uint32_t text_bytes = operation->input_bytes - overhead_bytes(form);
    uint8_t nothing[BLOCK_BYTES];
    uint8_t tag[TAG_BYTES];
    int done = 0;

    operation->output_bytes = text_bytes;
    if (expanded)
        return vks_gcm_engine_decrypt(expanded, key->material_bytes, start, operation->aad, operation->aad_bytes, text,
                                      text_bytes, operation->output)
                   ? VKS_STATUS_OK
                   : VKS_STATUS_AUTH_FAILED;
    context = vks_op_cipher_context(key, form->mode, 0, start, lane);
    if (context == NULL)
        return VKS_STATUS_INTERNAL;
    if (form->tag_bytes) {
        memcpy(tag, text + text_bytes, TAG_BYTES);
        if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) != 1)
            return VKS_STATUS_INTERNAL;
    }
    if (!cipher_text(context, operation->aad, operation->aad_bytes, text, text_bytes, operation->output))
        return VKS_STATUS_INTERNAL;
    if (EVP_CipherFinal_ex(context, nothing, &done) != 1)
        return form->tag_bytes ? VKS_STATUS_AUTH_FAILED : VKS_STATUS_INTERNAL;
    return VKS_STATUS_OK;
}

static uint32_t data_key_run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    uint32_t secret_bytes = data_key_bytes(&forms[operation->mechanism], operation->output_bytes_max);
    struct vks_operation sealing = *operation;
    uint32_t status;

    if (RAND_priv_bytes(operation->output, (int)secret_bytes) != 1)
        return VKS_STATUS_INTERNAL;
    sealing.input = operation->output;
    sealing.input_bytes = secret_bytes;
    sealing.output = operation->output + secret_bytes;
    status = encrypt_run(key, &sealing, lane);
    operation->output_bytes = secret_bytes + sealing.output_bytes;
    return status;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    switch (operation->op) {
    case VKS_OP_ENCRYPT:
        return encrypt_run(key, operation, lane);
    case VKS_OP_DATA_KEY:
        return data_key_run(key, operation, lane);
    default:
        return decrypt_run(key, operation, lane);
    }
}

const struct vks_op_family vks_op_cipher = {sizes, output_bytes, run};

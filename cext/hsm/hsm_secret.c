/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm_secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "root_key.h"
#include "secret_arena.h"

static const char label[] = "vmm-keystore root v1";

enum {
    LABEL_BYTES = sizeof(label) - 1,
    MESSAGE_BYTES = LABEL_BYTES + VKS_HSM_BLOB_RANDOM_BYTES,
};

_Static_assert((int)VKS_TOKEN_SERIAL_BYTES == (int)VKS_HSM_BLOB_SERIAL_BYTES &&
                   (int)VKS_ROOT_KEY_ID_BYTES == (int)VKS_HSM_BLOB_ID_BYTES &&
                   (int)VKS_ROOT_KEY_MAC_BYTES == (int)VKS_HSM_SECRET_BYTES,
               "token, key and blob agree");

static enum vks_hsm_error mac(struct vks_token *token, const struct vks_root_key *key, const struct vks_hsm_blob *blob,
                              uint8_t secret[VKS_HSM_SECRET_BYTES])
{
    uint8_t message[MESSAGE_BYTES];

    memcpy(message, label, LABEL_BYTES);
    memcpy(message + LABEL_BYTES, blob->random, VKS_HSM_BLOB_RANDOM_BYTES);
    return vks_root_key_mac(token, key, message, sizeof(message), secret);
}

/* What it does not give twice would open nothing at the next start. */
static enum vks_hsm_error check_steady(struct vks_token *token, const struct vks_root_key *key,
                                       const struct vks_hsm_blob *blob, const uint8_t secret[VKS_HSM_SECRET_BYTES])
{
    uint8_t *again = vks_secret_alloc(VKS_HSM_SECRET_BYTES);
    enum vks_hsm_error error = again ? mac(token, key, blob, again) : VKS_HSM_OURS;

    if (!error && CRYPTO_memcmp(secret, again, VKS_HSM_SECRET_BYTES) != 0)
        error = VKS_HSM_KEY_UNSTEADY;
    vks_secret_free(again);
    return error;
}

enum vks_hsm_error vks_hsm_secret_make(struct vks_token *token, struct vks_hsm_blob *blob,
                                       uint8_t secret[VKS_HSM_SECRET_BYTES])
{
    struct vks_root_key key;
    enum vks_hsm_error error = vks_root_key_provide(token, &key);

    if (error)
        return error;
    if (RAND_bytes(blob->random, sizeof(blob->random)) != 1)
        return VKS_HSM_OURS;
    memcpy(blob->serial, token->serial, sizeof(blob->serial));
    memcpy(blob->id, key.id, sizeof(blob->id));
    error = mac(token, &key, blob, secret);
    return error ? error : check_steady(token, &key, blob, secret);
}

enum vks_hsm_error vks_hsm_secret_find(struct vks_token *token, const struct vks_hsm_blob *blob,
                                       uint8_t secret[VKS_HSM_SECRET_BYTES])
{
    struct vks_root_key key;
    enum vks_hsm_error error;

    memcpy(key.id, blob->id, sizeof(key.id));
    error = vks_root_key_find(token, &key);
    return error ? error : mac(token, &key, blob, secret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The list of live offers. Knows their private keys and age; must not know what is imported. */
#include "offers.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

static struct live {
    struct vks_custodian_offer offer;
    EVP_PKEY *private_key;
    int64_t made_s;
} live[VKS_OFFERS_MAX];

static uint32_t next;

/* Counts through suspend, is not set back by anybody. */
static int64_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec;
}

static void drop(struct live *entry)
{
    EVP_PKEY_free(entry->private_key);
    memset(entry, 0, sizeof(*entry));
}

int vks_offer_make(struct vks_custodian_offer *offer)
{
    EVP_PKEY *private_key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    size_t public_bytes = sizeof(offer->public_key);
    struct live *entry = &live[next];

    if (private_key == NULL || EVP_PKEY_get_raw_public_key(private_key, offer->public_key, &public_bytes) != 1 ||
        RAND_bytes(offer->offer_id, sizeof(offer->offer_id)) != 1) {
        EVP_PKEY_free(private_key);
        ERR_clear_error();
        return -EIO;
    }
    next = (next + 1) % VKS_OFFERS_MAX;
    drop(entry);
    *entry = (struct live){*offer, private_key, now_s()};
    return 0;
}

int vks_offer_take(const uint8_t offer_id[16], struct vks_custodian_offer *offer, EVP_PKEY **private_key)
{
    for (uint32_t i = 0; i < VKS_OFFERS_MAX; i++) {
        struct live *entry = &live[i];

        if (entry->private_key == NULL || memcmp(entry->offer.offer_id, offer_id, 16) != 0)
            continue;
        if (now_s() - entry->made_s > VKS_OFFER_SECONDS) {
            drop(entry);
            break;
        }
        *offer = entry->offer;
        *private_key = entry->private_key;
        entry->private_key = NULL;
        drop(entry);
        return 0;
    }
    return -ENOENT;
}

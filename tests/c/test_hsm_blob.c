/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a KEK file for a token: every length but one, every version but one. */
#include "hsm_blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum {
    BYTES = VKS_ROOT_HSM_BLOB_BYTES,
    LENGTHS = 3 * BYTES,
};

/* Exactly as long as it says, so that a sanitizer sees a byte that is read behind it. */
static int parse(const uint8_t *bytes, size_t size_bytes, struct vks_hsm_blob *blob)
{
    uint8_t *copy = malloc(size_bytes ? size_bytes : 1);
    int error;

    CHECK("memory", copy != NULL);
    memcpy(copy, bytes, size_bytes);
    error = vks_hsm_blob_parse(copy, size_bytes, blob);
    free(copy);
    return error;
}

static void check_places(const uint8_t bytes[BYTES])
{
    struct vks_hsm_blob blob;

    CHECK_EQUAL("whole", parse(bytes, BYTES, &blob), 0);
    CHECK("serial number", memcmp(blob.serial, bytes + 1, 16) == 0);
    CHECK("id", memcmp(blob.id, bytes + 17, 16) == 0);
    CHECK("random bytes", memcmp(blob.random, bytes + 33, 32) == 0);
}

static void check_round_trip(const uint8_t bytes[BYTES])
{
    uint8_t written[BYTES] = {0};
    struct vks_hsm_blob blob;

    CHECK_EQUAL("read", parse(bytes, BYTES, &blob), 0);
    vks_hsm_blob_write(&blob, written);
    CHECK("the same again", memcmp(written, bytes, BYTES) == 0);
}

static void check_refusals(const uint8_t *bytes)
{
    struct vks_hsm_blob blob;
    struct vks_hsm_blob untouched;
    uint8_t other[BYTES];

    memset(&blob, 0x5a, sizeof(blob));
    memset(&untouched, 0x5a, sizeof(untouched));
    for (size_t size_bytes = 0; size_bytes < LENGTHS; size_bytes++)
        if (size_bytes != BYTES)
            CHECK_EQUAL("length", parse(bytes, size_bytes, &blob), -EINVAL);
    memcpy(other, bytes, BYTES);
    for (int version = 0; version < 256; version++) {
        other[0] = (uint8_t)version;
        if (version != VKS_HSM_BLOB_VERSION)
            CHECK_EQUAL("version", parse(other, BYTES, &blob), -EINVAL);
    }
    CHECK("nothing is filled in", memcmp(&blob, &untouched, sizeof(blob)) == 0);
}

int main(void)
{
    uint8_t bytes[LENGTHS];

    for (size_t i = 0; i < LENGTHS; i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    bytes[0] = VKS_HSM_BLOB_VERSION;
    check_places(bytes);
    check_round_trip(bytes);
    check_refusals(bytes);
    return 0;
}

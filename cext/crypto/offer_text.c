/* SPDX-License-Identifier: Apache-2.0 */
#include "offer_text.h"

#include <errno.h>
#include <string.h>

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int vks_offer_parse(const char *hex, struct vks_custodian_offer *offer)
{
    uint8_t bytes[sizeof(*offer)];

    if (strlen(hex) != 2 * sizeof(bytes))
        return -EINVAL;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        int high = digit(hex[2 * i]);
        int low = digit(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EINVAL;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(offer, bytes, sizeof(bytes));
    return 0;
}

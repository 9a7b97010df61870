/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a LUKS2 header says that the disk's data is encrypted, in its own words: libcryptsetup's calls give them
 * shortened, and what it opens the disk with are the words themselves. Pure: knows the header's JSON, not the disk.
 *
 * Source: LUKS2 On-Disk Format Specification 1.1, 3.3 "Segments Object".
 */
#ifndef VKS_LUKS_SEGMENT_H
#define VKS_LUKS_SEGMENT_H

#include <stdint.h>

#include "failure.h"

struct luks_segment {
    char encryption[64]; /* dm-crypt's, "aes-xts-plain64" */
    char iv_tweak[24];   /* decimal */
    char integrity[32];  /* dm-integrity's algorithm; empty: there is none */
    uint32_t sector_bytes;
};

/*
 * Of @json, the whole header: there has to be one segment, of the one type that is encrypted and under no change, with
 * words that are nothing but a cipher's name. -EINVAL with a reason otherwise.
 */
LUKS_MUST_CHECK bool segment_parse(const char *json, struct luks_segment *segment, struct failure *failure);

#endif

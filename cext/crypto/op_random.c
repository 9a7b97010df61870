/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes from libcrypto's generator, which seeds itself from the kernel. */
#include <openssl/err.h>
#include <openssl/rand.h>

#include "op_family.h"
#include "vmm_keystore.h"

uint32_t vks_op_random(struct vks_operation *operation)
{
    if (operation->output_bytes_max > VKS_RANDOM_BYTES_MAX)
        return VKS_STATUS_MALFORMED;
    if (operation->output_bytes_max && RAND_bytes(operation->output, (int)operation->output_bytes_max) != 1) {
        ERR_clear_error();
        return VKS_STATUS_INTERNAL;
    }
    operation->output_bytes = operation->output_bytes_max;
    return VKS_STATUS_OK;
}

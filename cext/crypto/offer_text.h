/* SPDX-License-Identifier: Apache-2.0 */
/* An offer of the custodian as text: id and public key in hex. */
#ifndef VKS_OFFER_TEXT_H
#define VKS_OFFER_TEXT_H

#include "ipc.h"

/* 0 or -EINVAL. */
__attribute__((warn_unused_result)) int vks_offer_parse(const char *hex, struct vks_custodian_offer *offer);

#endif

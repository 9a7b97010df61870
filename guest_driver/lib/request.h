/* SPDX-License-Identifier: BSD-3-Clause */
/* Between a caller's request and the ABI's. */
#ifndef VKS_REQUEST_H
#define VKS_REQUEST_H

#include "transport.h"

/* -E2BIG: a length that no head can carry or the ABI does not allow. */
VKS_MUST_CHECK int vks_request_encode(const struct vks_request *request, struct vks_ioc_request *encoded);
/* @error: what the transport said; the answer in @encoded counts only where it is 0. */
void vks_request_decode(const struct vks_ioc_request *encoded, int error, struct vks_request *request);

#endif

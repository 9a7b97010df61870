/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong with a token, as a text for messages. */
#ifndef VKS_HSM_TEXT_H
#define VKS_HSM_TEXT_H

#include <p11-kit/pkcs11.h>

#include "hsm_error.h"
#include "ipc_hsm.h"

/* A line of cause and perhaps one of hint; *rv* is said where nothing else says more. A zero behind it. */
void vks_hsm_text(char text[VKS_HSM_TEXT_BYTES], enum vks_hsm_error error, CK_RV rv);

#endif

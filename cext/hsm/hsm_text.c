/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm_text.h"

#include <stdio.h>

void vks_hsm_text(char text[VKS_HSM_TEXT_BYTES], enum vks_hsm_error error, CK_RV rv)
{
    if (error == VKS_HSM_REFUSED)
        snprintf(text, VKS_HSM_TEXT_BYTES, "%s: error 0x%lx", vks_hsm_error_text(error), rv);
    else
        snprintf(text, VKS_HSM_TEXT_BYTES, "%s", vks_hsm_error_text(error));
}

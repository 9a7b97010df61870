/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing by libtss2-esys. Knows TPM objects; must not know what the secret opens. */
#include "tpm_seal.h"

#include <openssl/rand.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>

#include "tcti_fd.h"

struct tpm {
    struct vks_tcti_fd tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR storage;
    ESYS_TR session;
};

static const TPM2B_PUBLIC storage_template = {
    .publicArea =
        {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM |
                                TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                TPMA_OBJECT_NODA,
            .parameters.eccDetail =
                {
                    .symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
                    .scheme.scheme = TPM2_ALG_NULL,
                    .curveID = TPM2_ECC_NIST_P256,
                    .kdf.scheme = TPM2_ALG_NULL,
                },
        },
};

static const TPM2B_PUBLIC secret_template = {
    .publicArea =
        {
            .type = TPM2_ALG_KEYEDHASH,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes =
                TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
            .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
        },
};

static const TPM2B_DATA no_data;
static const TPML_PCR_SELECTION no_pcrs;

static TSS2_RC make_storage_key(struct tpm *tpm)
{
    const TPM2B_SENSITIVE_CREATE nothing = {0};
    TPM2B_PUBLIC *public = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    TSS2_RC rc =
        Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &nothing,
                           &storage_template, &no_data, &no_pcrs, &tpm->storage, &public, &data, &hash, &ticket);

    Esys_Free(public);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    return rc;
}

static void end(struct tpm *tpm)
{
    if (tpm->session != ESYS_TR_NONE)
        (void)Esys_FlushContext(tpm->esys, tpm->session);
    if (tpm->storage != ESYS_TR_NONE)
        (void)Esys_FlushContext(tpm->esys, tpm->storage);
    Esys_Finalize(&tpm->esys);
}

static TSS2_RC begin(struct tpm *tpm, int fd)
{
    const TPMT_SYM_DEF cipher = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    const TPMA_SESSION uses = TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT | TPMA_SESSION_CONTINUESESSION;
    TSS2_RC rc;

    tpm->storage = tpm->session = ESYS_TR_NONE;
    rc = Esys_Initialize(&tpm->esys, vks_tcti_fd_set_up(&tpm->tcti, fd), NULL);
    if (rc)
        return rc;
    rc = make_storage_key(tpm);
    if (!rc)
        rc = Esys_StartAuthSession(tpm->esys, tpm->storage, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                   NULL, TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256, &tpm->session);
    if (!rc)
        rc = Esys_TRSess_SetAttributes(tpm->esys, tpm->session, uses, 0xff);
    if (rc)
        end(tpm);
    return rc;
}

static TSS2_RC marshal(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, uint8_t *blob, size_t *blob_bytes)
{
    TSS2_RC rc;

    *blob_bytes = 0;
    rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public, blob, VKS_TPM_BLOB_BYTES_MAX, blob_bytes);
    return rc ? rc : Tss2_MU_TPM2B_PRIVATE_Marshal(private, blob, VKS_TPM_BLOB_BYTES_MAX, blob_bytes);
}

uint32_t vks_tpm_seal(int fd, uint8_t secret[VKS_TPM_SECRET_BYTES], uint8_t blob[VKS_TPM_BLOB_BYTES_MAX],
                      size_t *blob_bytes)
{
    TPM2B_SENSITIVE_CREATE content = {.sensitive.data.size = VKS_TPM_SECRET_BYTES};
    TPM2B_PUBLIC *public = NULL;
    TPM2B_PRIVATE *private = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    struct tpm tpm;
    TSS2_RC rc;

    if (RAND_priv_bytes(secret, VKS_TPM_SECRET_BYTES) != 1)
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    rc = begin(&tpm, fd);
    if (rc)
        return rc;
    memcpy(content.sensitive.data.buffer, secret, VKS_TPM_SECRET_BYTES);
    rc = Esys_Create(tpm.esys, tpm.storage, tpm.session, ESYS_TR_NONE, ESYS_TR_NONE, &content, &secret_template,
                     &no_data, &no_pcrs, &private, &public, &data, &hash, &ticket);
    if (!rc)
        rc = marshal(public, private, blob, blob_bytes);
    Esys_Free(private);
    Esys_Free(public);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    end(&tpm);
    return rc;
}

uint32_t vks_tpm_unseal(int fd, const uint8_t *blob, size_t blob_bytes, uint8_t secret[VKS_TPM_SECRET_BYTES])
{
    TPM2B_SENSITIVE_DATA *content = NULL;
    TPM2B_PUBLIC public = {0};
    TPM2B_PRIVATE private = {0};
    ESYS_TR object = ESYS_TR_NONE;
    size_t offset = 0;
    struct tpm tpm;
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob, blob_bytes, &offset, &public);

    if (!rc)
        rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob, blob_bytes, &offset, &private);
    if (!rc && offset != blob_bytes)
        rc = TSS2_MU_RC_BAD_SIZE;
    if (!rc)
        rc = begin(&tpm, fd);
    if (rc)
        return rc;
    rc = Esys_Load(tpm.esys, tpm.storage, tpm.session, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public, &object);
    if (!rc)
        rc = Esys_Unseal(tpm.esys, object, tpm.session, ESYS_TR_NONE, ESYS_TR_NONE, &content);
    if (!rc && content->size != VKS_TPM_SECRET_BYTES)
        rc = TSS2_ESYS_RC_MALFORMED_RESPONSE;
    if (!rc)
        memcpy(secret, content->buffer, VKS_TPM_SECRET_BYTES);
    Esys_Free(content);
    if (object != ESYS_TR_NONE)
        (void)Esys_FlushContext(tpm.esys, object);
    end(&tpm);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-bench-tpm SOCKET OPERATION SIZE_BYTES MILLISECONDS: a software TPM asked through libtss2-esys, one command after
 * another, as it takes them. Its key is the first loaded object; it is made where there is none. One line of JSON.
 *
 * For signatures a TPM is given the digest, not the message: what the caller would spend on hashing is not counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tss2/tss2_esys.h>

#include "samples.h"
#include "tcti_fd.h"

enum {
    DIGEST_BYTES = 32,
};

struct tpm {
    struct vks_tcti_fd tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR key;
    TPM2B_MAX_BUFFER input;
};

struct kind {
    const char *name;
    TPMI_ALG_PUBLIC type;
    uint16_t key_bits;
    void (*run)(struct tpm *tpm);
};

static struct samples samples;

static _Noreturn void fail(const char *what, TSS2_RC rc)
{
    fprintf(stderr, "vks-bench-tpm: %s: 0x%x\n", what, rc);
    exit(1);
}

static void need(TSS2_RC rc, const char *what)
{
    if (rc)
        fail(what, rc);
}

static void sign(struct tpm *tpm)
{
    static const TPMT_SIG_SCHEME as_the_key_says = {.scheme = TPM2_ALG_NULL};
    static const TPMT_TK_HASHCHECK unrestricted = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPM2B_DIGEST digest = {.size = DIGEST_BYTES};
    TPMT_SIGNATURE *signature = NULL;

    memcpy(digest.buffer, tpm->input.buffer, DIGEST_BYTES);
    need(Esys_Sign(tpm->esys, tpm->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &as_the_key_says,
                   &unrestricted, &signature),
         "TPM2_Sign");
    Esys_Free(signature);
}

static void mac(struct tpm *tpm)
{
    TPM2B_DIGEST *output = NULL;

    need(Esys_HMAC(tpm->esys, tpm->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &tpm->input, TPM2_ALG_NULL,
                   &output),
         "TPM2_HMAC");
    Esys_Free(output);
}

static const struct kind kinds[] = {
    {"p256-sign", TPM2_ALG_ECC, 256, sign},      {"p384-sign", TPM2_ALG_ECC, 384, sign},
    {"rsa2048-sign", TPM2_ALG_RSA, 2048, sign},  {"rsa3072-sign", TPM2_ALG_RSA, 3072, sign},
    {"hmac-sha256", TPM2_ALG_KEYEDHASH, 0, mac},
};

static void describe(TPMT_PUBLIC *public, const struct kind *kind)
{
    public->type = kind->type;
    public->nameAlg = TPM2_ALG_SHA256;
    public->objectAttributes = TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                               TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
    if (kind->type == TPM2_ALG_ECC) {
        TPMS_ECC_PARMS *ecc = &public->parameters.eccDetail;

        ecc->symmetric.algorithm = TPM2_ALG_NULL;
        ecc->scheme.scheme = TPM2_ALG_ECDSA;
        ecc->scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
        ecc->curveID = kind->key_bits == 256 ? TPM2_ECC_NIST_P256 : TPM2_ECC_NIST_P384;
        ecc->kdf.scheme = TPM2_ALG_NULL;
    } else if (kind->type == TPM2_ALG_RSA) {
        TPMS_RSA_PARMS *rsa = &public->parameters.rsaDetail;

        rsa->symmetric.algorithm = TPM2_ALG_NULL;
        rsa->scheme.scheme = TPM2_ALG_RSASSA;
        rsa->scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256;
        rsa->keyBits = kind->key_bits;
    } else {
        TPMT_KEYEDHASH_SCHEME *scheme = &public->parameters.keyedHashDetail.scheme;

        scheme->scheme = TPM2_ALG_HMAC;
        scheme->details.hmac.hashAlg = TPM2_ALG_SHA256;
    }
}

static void make_key(struct tpm *tpm, const struct kind *kind)
{
    static const TPM2B_SENSITIVE_CREATE nothing;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    TPM2B_PUBLIC wanted = {0}, *public = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;

    describe(&wanted.publicArea, kind);
    need(Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &nothing,
                            &wanted, &no_data, &no_pcrs, &tpm->key, &public, &data, &hash, &ticket),
         "TPM2_CreatePrimary");
    Esys_Free(public);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        fail("no socket", 0);
    memcpy(address.sun_path, path, strlen(path));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        fail("no TPM", 0);
    return fd;
}

int main(int argc, char **argv)
{
    static struct tpm tpm;
    const struct kind *kind = NULL;
    uint64_t start_ns, end_ns, now;
    unsigned long input_bytes;

    if (argc != 5)
        fail("usage: vks-bench-tpm SOCKET OPERATION SIZE_BYTES MILLISECONDS", 0);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, argv[2]) == 0)
            kind = &kinds[i];
    input_bytes = strtoul(argv[3], NULL, 10);
    if (kind == NULL || input_bytes > sizeof(tpm.input.buffer))
        fail("no such operation or size", 0);
    (void)setenv("TSS2_LOG", "all+NONE", 0); /* what goes wrong is told here */
    tpm.input.size = (uint16_t)input_bytes;
    need(Esys_Initialize(&tpm.esys, vks_tcti_fd_set_up(&tpm.tcti, connect_to(argv[1])), NULL), "Esys_Initialize");
    if (Esys_TR_FromTPMPublic(tpm.esys, TPM2_TRANSIENT_FIRST, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tpm.key))
        make_key(&tpm, kind);
    kind->run(&tpm); /* what is done once is done */
    start_ns = now = now_ns();
    end_ns = start_ns + strtoull(argv[4], NULL, 10) * 1000000;
    while (now < end_ns) {
        uint64_t before = now;

        kind->run(&tpm);
        now = now_ns();
        samples_add(&samples, now - before, 1);
    }
    samples_print(&samples, now - start_ns);
    Esys_Finalize(&tpm.esys);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-bench-raw OPERATION SIZE_BYTES MILLISECONDS: what this machine's libcrypto does on one core, in the quickest way
 * it has: one keyed context, initialised once or again with nothing but the IV. The 1.00 of every ratio.
 */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"

enum {
    OUTPUT_BYTES = (1 << 20) + 1024,
    SAMPLE_EVERY = 16, /* operations between two looks at the clock, where they are short */
    SHORT_NS = 5000,
};

struct job {
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *sign;
    EVP_PKEY_CTX *derive;
    EVP_MD_CTX *message_sign;
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac;
    uint8_t *input, *output;
    size_t input_bytes;
    uint64_t counter;
};

static struct samples samples;
static const uint8_t fixed_key[32] = {1, 2, 3};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "vks-bench-raw: %s\n", what);
    exit(1);
}

static void need(int ok, const char *what)
{
    if (ok != 1)
        fail(what);
}

static void sign_digest(struct job *job)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes = 0;
    size_t output_bytes = OUTPUT_BYTES;

    need(EVP_Digest(job->input, job->input_bytes, digest, &digest_bytes, EVP_sha256(), NULL), "digest");
    need(EVP_PKEY_sign(job->sign, job->output, &output_bytes, digest, digest_bytes), "sign");
}

static void sign_message(struct job *job)
{
    size_t output_bytes = OUTPUT_BYTES;

    need(EVP_DigestSignInit(job->message_sign, NULL, NULL, NULL, NULL), "sign init");
    need(EVP_DigestSign(job->message_sign, job->output, &output_bytes, job->input, job->input_bytes), "sign");
}

static void encrypt(struct job *job)
{
    uint8_t iv[12] = {0};
    int bytes, last;

    job->counter++;
    memcpy(iv, &job->counter, sizeof(job->counter));
    need(EVP_EncryptInit_ex2(job->cipher, NULL, NULL, iv, NULL), "iv");
    need(EVP_EncryptUpdate(job->cipher, job->output + 12, &bytes, job->input, (int)job->input_bytes), "encrypt");
    need(EVP_EncryptFinal_ex(job->cipher, job->output + 12 + bytes, &last), "final");
    need(EVP_CIPHER_CTX_ctrl(job->cipher, EVP_CTRL_AEAD_GET_TAG, 16, job->output + 12 + bytes), "tag");
}

static void mac(struct job *job)
{
    size_t output_bytes;

    need(EVP_MAC_init(job->mac, NULL, 0, NULL), "mac init");
    need(EVP_MAC_update(job->mac, job->input, job->input_bytes), "mac");
    need(EVP_MAC_final(job->mac, job->output, &output_bytes, 64), "mac final");
}

static void derive(struct job *job)
{
    size_t output_bytes = OUTPUT_BYTES;

    need(EVP_PKEY_derive(job->derive, job->output, &output_bytes), "derive");
}

/* With a peer that was read and checked once; the vault is given one with each request. */
static void open_derive(struct job *job, EVP_PKEY *peer)
{
    job->derive = EVP_PKEY_CTX_new_from_pkey(NULL, job->pkey, NULL);
    need(job->derive && EVP_PKEY_derive_init(job->derive) == 1, "derive init");
    need(EVP_PKEY_derive_set_peer(job->derive, peer), "peer");
}

static void open_digest_sign(struct job *job, bool pkcs1)
{
    job->sign = EVP_PKEY_CTX_new_from_pkey(NULL, job->pkey, NULL);
    need(job->sign && EVP_PKEY_sign_init(job->sign) == 1, "sign init");
    if (pkcs1)
        need(EVP_PKEY_CTX_set_rsa_padding(job->sign, RSA_PKCS1_PADDING), "padding");
    need(EVP_PKEY_CTX_set_signature_md(job->sign, EVP_sha256()), "md");
}

static void open_mac(struct job *job)
{
    EVP_MAC *kind = EVP_MAC_fetch(NULL, "HMAC", NULL);
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_END};

    job->mac = kind ? EVP_MAC_CTX_new(kind) : NULL;
    need(job->mac && EVP_MAC_init(job->mac, fixed_key, sizeof(fixed_key), params) == 1, "mac");
}

static void open_cipher(struct job *job, const EVP_CIPHER *cipher)
{
    static const uint8_t iv[12];

    job->cipher = EVP_CIPHER_CTX_new();
    need(job->cipher && EVP_EncryptInit_ex2(job->cipher, cipher, fixed_key, iv, NULL) == 1, "cipher");
}

static void open_message_sign(struct job *job)
{
    job->message_sign = EVP_MD_CTX_new();
    need(job->message_sign && EVP_DigestSignInit(job->message_sign, NULL, NULL, NULL, job->pkey) == 1, "sign init");
}

static void (*open_job(struct job *job, const char *name))(struct job *)
{
    if (strcmp(name, "p256-sign") == 0 || strcmp(name, "p384-sign") == 0) {
        job->pkey = EVP_EC_gen(name[1] == '2' ? "P-256" : "P-384");
        open_digest_sign(job, false);
        return sign_digest;
    }
    if (strncmp(name, "rsa", 3) == 0) {
        job->pkey = EVP_RSA_gen((unsigned)strtoul(name + 3, NULL, 10));
        open_digest_sign(job, true);
        return sign_digest;
    }
    if (strcmp(name, "ed25519-sign") == 0) {
        job->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        open_message_sign(job);
        return sign_message;
    }
    if (strcmp(name, "aes256gcm-encrypt") == 0) {
        open_cipher(job, EVP_aes_256_gcm());
        return encrypt;
    }
    if (strcmp(name, "chacha20poly1305-encrypt") == 0) {
        open_cipher(job, EVP_chacha20_poly1305());
        return encrypt;
    }
    if (strcmp(name, "p256-ecdh") == 0) {
        job->pkey = EVP_EC_gen("P-256");
        open_derive(job, EVP_EC_gen("P-256"));
        return derive;
    }
    if (strcmp(name, "x25519-ecdh") == 0) {
        job->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
        open_derive(job, EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
        return derive;
    }
    if (strcmp(name, "hmac-sha256") == 0) {
        open_mac(job);
        return mac;
    }
    fail("no such operation");
}

int main(int argc, char **argv)
{
    struct job job = {0};
    void (*run)(struct job *);
    uint64_t start_ns, end_ns, now;
    uint32_t step = 1;

    if (argc != 4)
        fail("usage: vks-bench-raw OPERATION SIZE_BYTES MILLISECONDS");
    job.input_bytes = strtoul(argv[2], NULL, 10);
    job.input = calloc(1, job.input_bytes + 1);
    job.output = calloc(1, OUTPUT_BYTES);
    if (!job.input || !job.output || job.input_bytes > 1 << 20)
        fail("no memory");
    run = open_job(&job, argv[1]);
    now = now_ns();
    for (int i = 0; i < SAMPLE_EVERY; i++)
        run(&job);
    if (now_ns() - now < (uint64_t)SAMPLE_EVERY * SHORT_NS)
        step = SAMPLE_EVERY;
    start_ns = now = now_ns();
    end_ns = start_ns + strtoull(argv[3], NULL, 10) * 1000000;
    while (now < end_ns) {
        uint64_t before = now;

        for (uint32_t i = 0; i < step; i++)
            run(&job);
        now = now_ns();
        samples_add(&samples, (now - before) / step, step);
    }
    samples_print(&samples, now - start_ns);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-bench-p11 MODULE OPERATION SIZE_BYTES MILLISECONDS THREADS: a PKCS#11 token asked by so many threads at once,
 * each with a session of its own; the PIN is in VKS_BENCH_PIN. The key is the token's, by the operation's name; it is
 * made where there is none. Closed loop, one line of JSON.
 *
 * For ECDSA a token is given the digest, not the message: what the caller would spend on hashing is not counted.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"

enum {
    OUTPUT_BYTES = (1 << 20) + 1024,
    THREADS_MAX = 128,
    IV_BYTES = 12,
    KEY_BYTES = 32,
};

struct kind {
    const char *name;
    CK_MECHANISM_TYPE use, make;
    CK_KEY_TYPE type;
    bool is_pair, encrypts;
    CK_ULONG modulus_bits;
    const char *curve; /* DER */
    CK_ULONG curve_bytes;
};

static const struct kind kinds[] = {
    {"p256-sign", CKM_ECDSA, CKM_EC_KEY_PAIR_GEN, CKK_EC, true, false, 0, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
     10},
    {"p384-sign", CKM_ECDSA, CKM_EC_KEY_PAIR_GEN, CKK_EC, true, false, 0, "\x06\x05\x2b\x81\x04\x00\x22", 7},
    {"ed25519-sign", CKM_EDDSA, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKK_EC_EDWARDS, true, false, 0,
     "\x13\x0c\x65\x64\x77\x61\x72\x64\x73\x32\x35\x35\x31\x39", 14},
    {"rsa2048-sign", CKM_SHA256_RSA_PKCS, CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA, true, false, 2048, NULL, 0},
    {"rsa3072-sign", CKM_SHA256_RSA_PKCS, CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA, true, false, 3072, NULL, 0},
    {"aes256gcm-encrypt", CKM_AES_GCM, CKM_AES_KEY_GEN, CKK_AES, false, true, 0, NULL, 0},
    {"hmac-sha256", CKM_SHA256_HMAC, CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, false, false, 0, NULL, 0},
};

struct client {
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    CK_BYTE *input, *output;
    struct samples *samples;
    uint64_t start_ns, end_ns;
};

static CK_FUNCTION_LIST *token;
static const struct kind *kind;
static CK_ULONG input_bytes;
static uint64_t duration_ns;
static pthread_barrier_t start;
static struct samples total;

static _Noreturn void fail(const char *what, CK_RV rv)
{
    fprintf(stderr, "vks-bench-p11: %s: 0x%lx\n", what, (unsigned long)rv);
    exit(1);
}

static void need(CK_RV rv, const char *what)
{
    if (rv != CKR_OK)
        fail(what, rv);
}

static void load(const char *path)
{
    CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    CK_C_GetFunctionList get_list;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        fail(dlerror(), 0);
    *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    if (get_list == NULL)
        fail("not a PKCS#11 module", 0);
    need(get_list(&token), "C_GetFunctionList");
    need(token->C_Initialize(&arguments), "C_Initialize");
}

static CK_SLOT_ID first_slot(void)
{
    CK_ULONG count = THREADS_MAX;
    CK_SLOT_ID slots[THREADS_MAX];

    need(token->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    if (count == 0)
        fail("no token", 0);
    return slots[0];
}

static CK_SESSION_HANDLE open_session(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session;

    need(token->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), "C_OpenSession");
    return session;
}

static void log_in(CK_SESSION_HANDLE session)
{
    char *pin = getenv("VKS_BENCH_PIN");

    if (pin == NULL)
        fail("no VKS_BENCH_PIN", 0);
    need(token->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)), "C_Login");
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = kind->is_pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_LABEL, (void *)(uintptr_t)kind->name, strlen(kind->name)},
    };

    need(token->C_FindObjectsInit(session, wanted, 2), "C_FindObjectsInit");
    need(token->C_FindObjects(session, &key, 1, &count), "C_FindObjects");
    need(token->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    return count ? key : CK_INVALID_HANDLE;
}

static CK_OBJECT_HANDLE make_pair(CK_SESSION_HANDLE session)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG bits = kind->modulus_bits;
    CK_MECHANISM make = {kind->make, NULL, 0};
    CK_OBJECT_HANDLE public_key, private_key;
    CK_ATTRIBUTE public_wanted[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_VERIFY, &yes, sizeof(yes)},
        {kind->curve ? CKA_EC_PARAMS : CKA_MODULUS_BITS, kind->curve ? (void *)(uintptr_t)kind->curve : &bits,
         kind->curve ? kind->curve_bytes : sizeof(bits)},
    };
    CK_ATTRIBUTE private_wanted[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_SIGN, &yes, sizeof(yes)},
        {CKA_LABEL, (void *)(uintptr_t)kind->name, strlen(kind->name)},
    };

    need(token->C_GenerateKeyPair(session, &make, public_wanted, 3, private_wanted, 5, &public_key, &private_key),
         "C_GenerateKeyPair");
    return private_key;
}

static CK_OBJECT_HANDLE make_secret(CK_SESSION_HANDLE session)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG key_bytes = KEY_BYTES;
    CK_MECHANISM make = {kind->make, NULL, 0};
    CK_OBJECT_HANDLE key;
    CK_ATTRIBUTE wanted[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {kind->encrypts ? CKA_ENCRYPT : CKA_SIGN, &yes, sizeof(yes)},
        {CKA_VALUE_LEN, &key_bytes, sizeof(key_bytes)},
        {CKA_LABEL, (void *)(uintptr_t)kind->name, strlen(kind->name)},
    };

    need(token->C_GenerateKey(session, &make, wanted, 6, &key), "C_GenerateKey");
    return key;
}

static void sign(struct client *client)
{
    CK_MECHANISM use = {kind->use, NULL, 0};
    CK_ULONG output_bytes = OUTPUT_BYTES;

    need(token->C_SignInit(client->session, &use, client->key), "C_SignInit");
    need(token->C_Sign(client->session, client->input, input_bytes, client->output, &output_bytes), "C_Sign");
}

static void encrypt(struct client *client)
{
    CK_BYTE iv[IV_BYTES] = {0};
    CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = IV_BYTES, .ulIvBits = IV_BYTES * 8, .ulTagBits = 128};
    CK_MECHANISM use = {kind->use, &gcm, sizeof(gcm)};
    CK_ULONG output_bytes = OUTPUT_BYTES;

    memcpy(iv, &client->samples->count, sizeof(client->samples->count));
    need(token->C_EncryptInit(client->session, &use, client->key), "C_EncryptInit");
    need(token->C_Encrypt(client->session, client->input, input_bytes, client->output, &output_bytes), "C_Encrypt");
}

static void *work(void *argument)
{
    struct client *client = argument;
    void (*run)(struct client *) = kind->encrypts ? encrypt : sign;
    uint64_t now, end_ns;

    run(client); /* what is done once is done */
    (void)pthread_barrier_wait(&start);
    client->start_ns = now = now_ns();
    end_ns = now + duration_ns;
    while (now < end_ns) {
        uint64_t before = now;

        run(client);
        now = now_ns();
        samples_add(client->samples, now - before, 1);
    }
    client->end_ns = now;
    return NULL;
}

static void prepare(struct client *client, CK_SLOT_ID slot, CK_OBJECT_HANDLE key)
{
    client->session = open_session(slot);
    client->key = key;
    /* No zeroes: a digest of nothing but those is one that engines leave to libcrypto. */
    client->input = malloc(input_bytes + 1);
    client->output = malloc(OUTPUT_BYTES);
    client->samples = calloc(1, sizeof(*client->samples));
    if (!client->input || !client->output || !client->samples)
        fail("no memory", 0);
    memset(client->input, 0x5a, input_bytes + 1);
}

static void add_up(const struct client *clients, uint32_t count)
{
    uint64_t start_ns = UINT64_MAX, end_ns = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct samples *own = clients[i].samples;

        start_ns = clients[i].start_ns < start_ns ? clients[i].start_ns : start_ns;
        end_ns = clients[i].end_ns > end_ns ? clients[i].end_ns : end_ns;
        for (uint32_t kept = 0; kept < own->kept; kept++)
            samples_add(&total, own->ns[kept], 1);
        total.count += own->count - own->kept;
    }
    samples_print(&total, end_ns - start_ns);
}

static void run_all(struct client *clients, uint32_t count)
{
    pthread_t threads[THREADS_MAX];

    if (pthread_barrier_init(&start, NULL, count) != 0)
        fail("no barrier", 0);
    for (uint32_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, &clients[i]) != 0)
            fail("no thread", 0);
    for (uint32_t i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    static struct client clients[THREADS_MAX];
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    uint32_t count;

    if (argc != 6)
        fail("usage: vks-bench-p11 MODULE OPERATION SIZE_BYTES MILLISECONDS THREADS", 0);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, argv[2]) == 0)
            kind = &kinds[i];
    input_bytes = strtoul(argv[3], NULL, 10);
    duration_ns = strtoull(argv[4], NULL, 10) * 1000000;
    count = (uint32_t)strtoul(argv[5], NULL, 10);
    if (kind == NULL || input_bytes > 1 << 20 || count == 0 || count > THREADS_MAX)
        fail("no such operation", 0);
    load(argv[1]);
    slot = first_slot();
    session = open_session(slot);
    log_in(session);
    key = find_key(session);
    if (key == CK_INVALID_HANDLE)
        key = kind->is_pair ? make_pair(session) : make_secret(session);
    for (uint32_t i = 0; i < count; i++)
        prepare(&clients[i], slot, key);
    fputs("ready\n", stderr);
    while (getchar() != EOF)
        ;
    run_all(clients, count);
    add_up(clients, count);
    (void)token->C_Finalize(NULL);
    return 0;
}

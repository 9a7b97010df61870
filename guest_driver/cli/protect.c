/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that use a key: public, sign, verify, encrypt, decrypt, mac, mac-verify; and random. */
#include <stdio.h>

#include "commands.h"
#include "session.h"

#define SIGNATURE_BYTES_MAX 4627 /* ML-DSA-87 */
#define PUBLIC_BYTES_MAX    4096
#define ECDSA_BYTES_MAX     96 /* P-384, r || s */
#define TAG_BYTES_MAX       64
#define RANDOM_BYTES_MAX    (64u << 20)
/* Nonce and tag, or a block of RSA-4096. */
#define CIPHER_EXTRA_BYTES 512

/* Of an ECDSA signature, r || s; 0 for the other types, whose signatures have one form. */
static size_t ecdsa_bytes(const struct vks_key *key)
{
    if (key->type == VKS_KEY_TYPE_EC_P256)
        return 64;
    return key->type == VKS_KEY_TYPE_EC_P384 ? 96 : 0;
}

int command_public(const struct options *options)
{
    uint8_t der[PUBLIC_BYTES_MAX];
    size_t size = sizeof(der);
    struct session session;
    int error;

    if (!session_begin(options, false, &session))
        return 1;
    error = vks_public(session.device, &session.use, der, &size);
    if (error || options->given & OPTION_DER)
        return session_write(&session, error, der, size);
    error = output_write_pem("PUBLIC KEY", der, size);
    session_end(&session);
    return error ? complain_words("stdout", "the result could not be written", NULL) : 0;
}

int command_sign(const struct options *options)
{
    uint8_t signature[SIGNATURE_BYTES_MAX], der[VKS_ECDSA_DER_BYTES_MAX(ECDSA_BYTES_MAX)];
    size_t size = sizeof(signature), der_size = sizeof(der);
    struct session session;
    int error;

    if (!session_begin(options, true, &session))
        return 1;
    error = vks_sign(session.device, &session.use, bytes_of(&session.input), signature, &size);
    if (error || !ecdsa_bytes(&session.key) || options->given & OPTION_RAW)
        return session_write(&session, error, signature, size);
    error = vks_ecdsa_to_der((struct vks_bytes){signature, size}, der, &der_size);
    return session_write(&session, error, der, der_size);
}

/* The signature as the device takes it; complains and gives false if it is none. */
static bool signature_load(const struct session *session, const struct options *options, struct buffer *signature)
{
    size_t raw_size = ecdsa_bytes(&session->key);
    struct buffer der;

    if (!file_read(options->operands[1], SIGNATURE_BYTES_MAX, signature))
        return false;
    if (!raw_size || options->given & OPTION_RAW)
        return true;
    der = *signature;
    if (buffer_alloc(raw_size, signature) || vks_ecdsa_from_der(bytes_of(&der), signature->data, raw_size)) {
        complain_words(options->operands[1], "not an ECDSA signature in DER for this key",
                       "a signature as r || s goes with --raw");
        buffer_free(signature);
        buffer_free(&der);
        return false;
    }
    buffer_free(&der);
    return true;
}

int command_verify(const struct options *options)
{
    struct buffer signature;
    struct session session;
    int error;

    if (!session_begin(options, true, &session))
        return 1;
    if (!signature_load(&session, options, &signature)) {
        session_end(&session);
        return 1;
    }
    error = vks_verify(session.device, &session.use, bytes_of(&session.input), bytes_of(&signature));
    buffer_free(&signature);
    session_end(&session);
    return error ? complain("verify", error) : 0;
}

typedef int cipher(struct vks_device *device, const struct vks_use *use, struct vks_bytes parameter,
                   struct vks_bytes aad, struct vks_bytes input, void *output, size_t *output_size);

static int run_cipher(const struct options *options, cipher *run)
{
    struct vks_bytes parameter = bytes_of_text(options->oaep_label);
    struct session session;
    struct buffer output;
    int status;
    int error;

    if (options->nonce_size)
        parameter = (struct vks_bytes){options->nonce, options->nonce_size};
    if (options->tweak_size)
        parameter = (struct vks_bytes){options->tweak, options->tweak_size};
    if (!session_begin(options, true, &session))
        return 1;
    error = buffer_alloc(session.input.size + CIPHER_EXTRA_BYTES, &output);
    if (!error)
        error = run(session.device, &session.use, parameter, bytes_of_text(options->aad), bytes_of(&session.input),
                    output.data, &output.size);
    status = session_write(&session, error, output.data, output.size);
    buffer_free(&output);
    return status;
}

int command_encrypt(const struct options *options)
{
    return run_cipher(options, vks_encrypt);
}

int command_decrypt(const struct options *options)
{
    return run_cipher(options, vks_decrypt);
}

int command_mac(const struct options *options)
{
    uint8_t tag[TAG_BYTES_MAX];
    size_t size = sizeof(tag);
    struct session session;
    int error;

    if (!session_begin(options, true, &session))
        return 1;
    error = vks_mac(session.device, &session.use, bytes_of(&session.input), tag, &size);
    return session_write(&session, error, tag, size);
}

int command_mac_verify(const struct options *options)
{
    struct buffer tag;
    struct session session;
    int error;

    if (!session_begin(options, true, &session))
        return 1;
    if (!file_read(options->operands[1], TAG_BYTES_MAX, &tag)) {
        session_end(&session);
        return 1;
    }
    error = vks_mac_verify(session.device, &session.use, bytes_of(&session.input), bytes_of(&tag));
    buffer_free(&tag);
    session_end(&session);
    return error ? complain("mac-verify", error) : 0;
}

int command_random(const struct options *options)
{
    uint8_t piece[4096];
    struct vks_device *device;
    uint32_t left;
    int error;

    if (!parse_number(options->operands[0], &left) || left > RANDOM_BYTES_MAX)
        return complain_words("random", "N is a number of bytes, 1 to 67108864", NULL);
    error = vks_open(options->device, &device);
    if (error)
        return complain("random", error);
    while (left && !error) {
        size_t size = left < sizeof(piece) ? left : sizeof(piece);

        error = vks_random(device, piece, size);
        if (!error && output_write(piece, size)) {
            vks_close(device);
            return complain_words("stdout", "the result could not be written", NULL);
        }
        left -= (uint32_t)size;
    }
    vks_close(device);
    return error ? complain("random", error) : 0;
}

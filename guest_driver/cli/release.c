/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands whose results are secrets: derive, data-key, decapsulate. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "peer.h"
#include "session.h"

#define PEER_FILE_BYTES_MAX 4096

static bool key_takes_peer(const struct vks_key *key)
{
    return key->type == VKS_KEY_TYPE_EC_P256 || key->type == VKS_KEY_TYPE_EC_P384 || key->type == VKS_KEY_TYPE_X25519;
}

/* Complains and gives false where file and key do not go together. */
static bool peer_load(const struct session *session, const char *path, struct peer *peer)
{
    char text[120];
    struct buffer file;
    bool is_one;

    if (!file_read(path, PEER_FILE_BYTES_MAX, &file))
        return false;
    is_one = peer_parse(bytes_of(&file), peer);
    buffer_free(&file);
    if (!is_one) {
        complain_words(path, "not a public key of type ec-p256, ec-p384 or x25519, as PEM, DER or uncompressed point",
                       "'openssl pkey -in PRIVATE.pem -pubout' writes one, 'openssl x509 -in CERTIFICATE.pem -noout "
                       "-pubkey' another");
        return false;
    }
    if (peer->type == session->key.type)
        return true;
    snprintf(text, sizeof(text), "a public key of type %s, and the key is of type %s", vks_key_type_name(peer->type),
             vks_key_type_name(session->key.type));
    complain_words(path, text, "both sides have keys of the same type");
    return false;
}

/* The device would say of all this only that a size does not fit. */
static bool derive_check(const struct session *session, const struct options *options)
{
    if (options->mechanism == VKS_MECHANISM_ECDH && options->given & (OPTION_SALT | OPTION_INFO | OPTION_BYTES)) {
        complain_words("derive", "ecdh gives the shared secret as it is: no --salt, --info or --bytes",
                       "they go with ecdh-hkdf-sha256, -sha384 and -sha512");
        return false;
    }
    if (key_takes_peer(&session->key) && !options->peer) {
        complain_words("derive", "the peer's public key is missing", "--peer FILE names it");
        return false;
    }
    if (!key_takes_peer(&session->key) && options->peer) {
        complain_words("derive", "this type of key has no peer", "leave --peer out");
        return false;
    }
    return true;
}

int command_derive(const struct options *options)
{
    struct peer peer = {.size = 0};
    struct session session;
    struct buffer secret;
    int status;
    int error;

    if (!session_begin(options, false, &session))
        return 1;
    if (!derive_check(&session, options) || (options->peer && !peer_load(&session, options->peer, &peer))) {
        session_end(&session);
        return 1;
    }
    error = buffer_alloc(options->mechanism == VKS_MECHANISM_ECDH ? VKS_SECRET_BYTES_MAX : options->bytes, &secret);
    if (!error)
        error = vks_derive(session.device, &session.use, (struct vks_bytes){peer.point, peer.size},
                           bytes_of_text(options->salt), bytes_of_text(options->info), secret.data, &secret.size);
    if (error == VKS_STATUS_AUTH_FAILED && options->peer) {
        status = complain_words(options->peer, "not a public key: no point of this curve", NULL);
        session_end(&session);
    } else {
        status = session_write(&session, error, secret.data, secret.size);
    }
    buffer_free(&secret);
    return status;
}

/* Both halves, or neither; closes @fd. */
static int data_key_make(const struct session *session, const struct options *options, int fd, struct buffer *output)
{
    size_t secret_size = options->bytes;
    int error = vks_data_key(session->device, &session->use, bytes_of_text(options->aad), output->data, secret_size);

    if (error) {
        close(fd);
        return complain(session->name, error);
    }
    /* First: nothing shall be encrypted with a secret whose sealed form is lost. */
    error = file_finish(fd, output->data + secret_size, VKS_SEALED_BYTES(secret_size));
    if (error)
        return complain_words(options->operands[1], strerror(-error), NULL);
    if (output_write(output->data, secret_size) || output_end())
        return complain_words("stdout", "the result could not be written", NULL);
    return 0;
}

int command_data_key(const struct options *options)
{
    struct session session;

    if (!session_begin(options, false, &session))
        return 1;
    return session_make_file(&session, options, options->bytes,
                             "it may be all that opens what was encrypted earlier: name another file", data_key_make);
}

int command_decapsulate(const struct options *options)
{
    struct buffer secret;
    struct session session;
    int status;
    int error;

    if (!session_begin(options, true, &session))
        return 1;
    error = buffer_alloc(VKS_SHARED_BYTES, &secret);
    if (!error)
        error = vks_decapsulate(session.device, &session.use, bytes_of(&session.input), secret.data);
    status = session_write(&session, error, secret.data, secret.size);
    buffer_free(&secret);
    return status;
}

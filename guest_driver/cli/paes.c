/* SPDX-License-Identifier: BSD-3-Clause */
/* The command that makes keys for the kernel's xts(paes). The raw key goes nowhere: the kernel has the vault open it.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "session.h"

static const uint64_t OPENING = UINT64_C(1) << VKS_OP_DECRYPT | UINT64_C(1) << VKS_OP_RELEASE;

static int token_make(const struct session *session, const struct options *options, int fd, struct buffer *output)
{
    struct vks_paes_token token = {
        .version = htole32(VKS_PAES_VERSION),
        .key_version = htole32(session->use.key_version),
    };
    int error =
        vks_data_key(session->device, &session->use, bytes_of_text(VKS_PAES_AAD), output->data, VKS_PAES_KEY_BYTES);

    _Static_assert(sizeof(token) == VKS_PAES_TOKEN_BYTES, "the kernel takes keys of this length");
    _Static_assert(sizeof(token.sealed) == VKS_SEALED_BYTES(VKS_PAES_KEY_BYTES), "nonce, ciphertext, tag");
    if (error) {
        close(fd);
        return complain(session->name, error);
    }
    memcpy(token.magic, VKS_PAES_MAGIC, sizeof(token.magic));
    memcpy(token.key_id, session->use.key_id, sizeof(token.key_id));
    memcpy(token.sealed, output->data + VKS_PAES_KEY_BYTES, sizeof(token.sealed));
    error = file_finish(fd, &token, sizeof(token));
    return error ? complain_words(options->operands[1], strerror(-error), NULL) : 0;
}

int command_paes(const struct options *options)
{
    struct session session;

    if (!session_begin(options, false, &session))
        return 1;
    /* The token names its version: not "the current one", which may change until it is opened. */
    session.use.key_version = session.key.version;
    if ((session.key.op_mask & OPENING) != OPENING) {
        complain_words("paes", "nobody could open the token: the grant does not have decrypt and release",
                       "it takes data-key, decrypt and release");
        session_end(&session);
        return 1;
    }
    return session_make_file(&session, options, VKS_PAES_KEY_BYTES,
                             "it may be all that opens a disk: name another file", token_make);
}

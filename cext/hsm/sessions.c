/* SPDX-License-Identifier: Apache-2.0 */
/* From messages to calls of the module. Knows both; must not know whose message it is. */
#include "sessions.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients.h"
#include "hsm_text.h"
#include "token_pair.h"
#include "token_use.h"
#include "vmm_keystore.h"

enum {
    HANDLES = 256,
};

/* Handles are the same in all sessions of a process. Two ids that fall into one place take turns there. */
static struct {
    struct vks_hsm_object object;
    CK_OBJECT_HANDLE handle;
} handles[HANDLES];
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;

static struct session {
    struct vks_module module; /* a place of its own for the rv */
    struct vks_token token;
    pthread_t thread;
} sessions[VKS_HSM_SESSIONS_MAX];

static bool same(const struct vks_hsm_object *one, const struct vks_hsm_object *other)
{
    return one->size_bytes == other->size_bytes && memcmp(one->bytes, other->bytes, one->size_bytes) == 0;
}

static uint32_t place_of(const struct vks_hsm_object *object)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < object->size_bytes; i++)
        sum = sum * 31 + object->bytes[i];
    return sum % HANDLES;
}

static void remember(const struct vks_hsm_object *object, CK_OBJECT_HANDLE handle)
{
    uint32_t place = place_of(object);

    pthread_mutex_lock(&handles_lock);
    handles[place].object = *object;
    handles[place].handle = handle;
    pthread_mutex_unlock(&handles_lock);
}

static bool recall(const struct vks_hsm_object *object, CK_OBJECT_HANDLE *handle)
{
    uint32_t place = place_of(object);
    bool known;

    pthread_mutex_lock(&handles_lock);
    known = handles[place].handle != CK_INVALID_HANDLE && same(&handles[place].object, object);
    *handle = handles[place].handle;
    pthread_mutex_unlock(&handles_lock);
    return known;
}

static enum vks_hsm_error use_key(struct session *session, const struct vks_hsm_object *object,
                                  struct vks_token_use *use)
{
    CK_OBJECT_HANDLE handle;
    enum vks_hsm_error error;

    if (recall(object, &handle)) {
        error = vks_token_use(&session->token, handle, use);
        if (error != VKS_HSM_REFUSED ||
            (session->module.rv != CKR_KEY_HANDLE_INVALID && session->module.rv != CKR_OBJECT_HANDLE_INVALID))
            return error;
    }
    error = vks_token_pair_private(&session->token, object, &handle);
    if (error)
        return error;
    remember(object, handle);
    return vks_token_use(&session->token, handle, use);
}

/* The device's word for it. */
static uint32_t status_of(enum vks_hsm_error error)
{
    if (error == VKS_HSM_OK)
        return VKS_STATUS_OK;
    if (error == VKS_HSM_KEY_TYPE)
        return VKS_STATUS_UNSUPPORTED;
    if (error == VKS_HSM_UNSOUND)
        return VKS_STATUS_AUTH_FAILED;
    return error == VKS_HSM_PAIR_GONE ? VKS_STATUS_UNAVAILABLE : VKS_STATUS_INTERNAL;
}

static enum vks_hsm_error run(struct session *session, struct client_work *work)
{
    struct vks_hsm_result result = {.status = VKS_STATUS_UNAVAILABLE};
    struct vks_token_use use = {0};
    struct vks_hsm_run asked;
    enum vks_hsm_error error = VKS_HSM_OK;

    memcpy(&asked, work->body, sizeof(asked));
    if (work->object.size_bytes) {
        use.op = asked.op;
        use.mechanism = asked.mechanism;
        use.label = work->body + sizeof(asked);
        use.label_bytes = asked.label_bytes;
        use.input = use.label + asked.label_bytes;
        use.input_bytes = asked.input_bytes;
        error = use_key(session, &work->object, &use);
        result.status = status_of(error);
        result.output_bytes = error ? 0 : use.output_bytes;
    }
    if (vks_token_is_lost(&session->token, error))
        return error;
    clients_answer(work, &result, sizeof(result), use.output, result.output_bytes);
    explicit_bzero(&use, sizeof(use));
    return VKS_HSM_OK;
}

static enum vks_hsm_error answer_pair(struct session *session, struct client_work *work, enum vks_hsm_error error,
                                      const struct vks_hsm_object *object)
{
    uint8_t der[VKS_HSM_PUBLIC_BYTES_MAX];
    struct vks_hsm_public answer = {.object = *object};

    if (!error)
        error = vks_token_pair_public(&session->token, object, der, &answer.public_bytes);
    if (vks_token_is_lost(&session->token, error))
        return error;
    if (error) {
        answer.outcome = (uint32_t)vks_hsm_error_exit(error);
        answer.public_bytes = 0;
        vks_hsm_text(answer.text, error, session->module.rv);
    }
    clients_answer(work, &answer, sizeof(answer), der, answer.public_bytes);
    return VKS_HSM_OK;
}

static enum vks_hsm_error generate(struct session *session, struct client_work *work)
{
    struct vks_hsm_generate asked;

    memcpy(&asked, work->body, sizeof(asked));
    asked.label[sizeof(asked.label) - 1] = '\0';
    return answer_pair(session, work, vks_token_pair_make(&session->token, &asked.object, asked.label), &asked.object);
}

static enum vks_hsm_error find(struct session *session, struct client_work *work)
{
    struct vks_hsm_find asked;
    enum vks_hsm_error error = VKS_HSM_PAIR_ID;

    memcpy(&asked, work->body, sizeof(asked));
    asked.label[sizeof(asked.label) - 1] = '\0';
    if (asked.object.size_bytes <= sizeof(asked.object.bytes))
        error = vks_token_pair_find(&session->token, asked.label, &asked.object);
    return answer_pair(session, work, error, &asked.object);
}

static void *serve(void *argument)
{
    struct session *session = argument;
    char text[VKS_HSM_TEXT_BYTES];

    for (;;) {
        struct client_work *work = clients_take();
        enum vks_hsm_error error = VKS_HSM_OK;

        session->module.rv = CKR_OK;
        if (work->head.type == VKS_HSM_RUN)
            error = run(session, work);
        else if (work->head.type == VKS_HSM_GENERATE)
            error = generate(session, work);
        else
            error = find(session, work);
        if (!error)
            continue;
        /* All that waits is answered by the end of its channel. */
        vks_hsm_text(text, VKS_HSM_TOKEN_LOST, session->module.rv);
        fprintf(stderr, "vks-hsm: %s\n", text);
        _exit(VKS_HSM_EXIT_ABSENT);
    }
    return NULL;
}

uint32_t vks_hsm_sessions_start(const struct vks_token *token, bool threads)
{
    uint32_t count = 0;

    while (count < (threads ? VKS_HSM_SESSIONS_MAX : 1)) {
        struct session *session = &sessions[count];

        session->module = *token->module;
        session->token = *token;
        session->token.module = &session->module;
        if (count > 0 && vks_token_open_another(&session->token))
            break;
        if (pthread_create(&session->thread, NULL, serve, session)) {
            (void)session->module.functions->C_CloseSession(session->token.session);
            break;
        }
        count++;
    }
    return count;
}

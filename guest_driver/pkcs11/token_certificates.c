/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of the guest: read when somebody looks for them, then kept while they are fresh. */
#include "clock.h"
#include "module.h"
#include "token.h"

/* A reference to the present list, if it is fresh enough. */
static struct certificate_list *list_take(struct token *token)
{
    struct certificate_list *list;

    module_lock();
    list = token->certificates;
    if (list && clock_ms() - list->loaded_ms >= TOKEN_FRESH_MS)
        list = NULL;
    if (list)
        list->references++;
    module_unlock();
    return list;
}

/* With work. A reference to the new list. */
static struct certificate_list *list_load(struct token *token)
{
    uint64_t loaded_ms = clock_ms();
    struct certificate_list *list =
        certificate_list_make(token->certificate_folder, token->certificates, &token->last_certificate);
    struct certificate_list *old;

    if (!list)
        return NULL;
    list->loaded_ms = loaded_ms;
    list->references++;
    module_lock();
    old = token->certificates;
    token->certificates = list;
    module_unlock();
    token_certificates_put(old);
    return list;
}

CK_RV token_certificates_get(struct token *token, struct certificate_list **list)
{
    *list = list_take(token);
    if (*list)
        return CKR_OK;
    pthread_mutex_lock(&token->work);
    /* Whoever had it before may have loaded it. */
    *list = list_take(token);
    if (!*list)
        *list = list_load(token);
    pthread_mutex_unlock(&token->work);
    return *list ? CKR_OK : CKR_HOST_MEMORY;
}

void token_certificates_put(struct certificate_list *list)
{
    bool is_last;

    if (!list)
        return;
    module_lock();
    is_last = --list->references == 0;
    module_unlock();
    if (is_last)
        certificate_list_free(list);
}

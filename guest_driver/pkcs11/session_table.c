/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_table.h"

#include <stdlib.h>

#include "module.h"

#define PLACE_BITS 16
_Static_assert(SESSIONS_MAX == 1 << PLACE_BITS, "a place fits into a handle");

/* With the module's lock. */
static struct session **places;
static size_t place_count;
static uint32_t *free_places, free_count;
static CK_ULONG opened; /* in all: a handle is not given out again for long */

static void session_free(struct session *session)
{
    for (int kind = 0; kind < OPERATION_KIND_COUNT; kind++)
        operation_end(&session->operations[kind]);
    find_end(&session->find);
    pthread_mutex_destroy(&session->lock);
    free(session);
}

/* Place of @handle, or place_count. */
static size_t place_of(CK_SESSION_HANDLE handle)
{
    size_t place = handle & (SESSIONS_MAX - 1);

    return place < place_count && places[place] && places[place]->handle == handle ? place : place_count;
}

static bool table_grow(void)
{
    size_t count = place_count ? 2 * place_count : 64;
    struct session **more_places;
    uint32_t *more_free;

    if (count > SESSIONS_MAX)
        return false;
    more_places = realloc(places, count * sizeof(struct session *));
    if (!more_places)
        return false;
    places = more_places;
    more_free = realloc(free_places, count * sizeof(*free_places));
    if (!more_free)
        return false;
    free_places = more_free;
    /* The lowest on top. */
    for (size_t place = count; place-- > place_count;) {
        places[place] = NULL;
        free_places[free_count++] = (uint32_t)place;
    }
    place_count = count;
    return true;
}

CK_RV session_table_open(struct token *token, bool is_rw, CK_SESSION_HANDLE *handle)
{
    struct session *session = calloc(1, sizeof(*session));
    CK_RV rv = CKR_SESSION_COUNT;
    uint32_t place;

    if (!session)
        return CKR_HOST_MEMORY;
    pthread_mutex_init(&session->lock, NULL);
    session->token = token;
    session->is_rw = is_rw;
    module_lock();
    if (free_count || table_grow()) {
        place = free_places[--free_count];
        /* Where CK_ULONG is small it comes round, and no handle is 0. */
        if (++opened << PLACE_BITS == 0)
            opened = 1;
        session->handle = opened << PLACE_BITS | place;
        *handle = session->handle;
        places[place] = session;
        token->session_count++;
        token->rw_session_count += is_rw;
        session = NULL;
        rv = CKR_OK;
    }
    module_unlock();
    if (session)
        session_free(session);
    return rv;
}

/* Takes it out; the last one inside frees it. */
static void detach(size_t place)
{
    struct session *session = places[place];

    places[place] = NULL;
    free_places[free_count++] = (uint32_t)place;
    session->is_closed = true;
    secret_list_clear(&session->token->secrets, session->handle);
    session->token->rw_session_count -= session->is_rw;
    /* Logged in is who has a session (6.7.4). */
    if (--session->token->session_count == 0)
        session->token->is_logged_in = false;
    if (session->references == 0)
        session_free(session);
}

bool session_table_close(const struct token *token, CK_SESSION_HANDLE handle)
{
    size_t place = place_of(handle);

    if (token) {
        for (place = 0; place < place_count; place++)
            if (places[place] && places[place]->token == token)
                detach(place);
        return true;
    }
    if (place == place_count)
        return false;
    detach(place);
    return true;
}

void session_table_clear(void)
{
    for (size_t place = 0; place < place_count; place++)
        if (places[place])
            detach(place);
    free(places);
    free(free_places);
    places = NULL;
    free_places = NULL;
    place_count = 0;
    free_count = 0;
}

CK_RV session_enter(CK_SESSION_HANDLE handle, struct session **session)
{
    size_t place;
    CK_RV rv;

    module_lock();
    rv = module_enter_locked();
    if (rv == CKR_OK) {
        place = place_of(handle);
        if (place == place_count) {
            module_leave_locked();
            rv = CKR_SESSION_HANDLE_INVALID;
        } else {
            *session = places[place];
            (*session)->references++;
        }
    }
    module_unlock();
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&(*session)->lock);
    module_lock();
    rv = (*session)->is_closed ? CKR_SESSION_HANDLE_INVALID : CKR_OK;
    module_unlock();
    return rv == CKR_OK ? CKR_OK : session_leave(*session, rv);
}

CK_RV session_leave(struct session *session, CK_RV rv)
{
    bool is_last;

    pthread_mutex_unlock(&session->lock);
    module_lock();
    is_last = --session->references == 0 && session->is_closed;
    module_leave_locked();
    module_unlock();
    if (is_last)
        session_free(session);
    return rv;
}

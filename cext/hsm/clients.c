/* SPDX-License-Identifier: Apache-2.0 */
#include "clients.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "snapshot.h"
#include "vmm_keystore.h"

enum {
    ALLOWED_MAX = VKS_SNAPSHOT_KEYS_MAX,
};

struct client {
    uint64_t id;
    int fd; /* -1: closed; freed when nothing of it is under way */
    struct vks_hsm_key *allowed;
    uint32_t allowed_count;
    struct client_work *first, **last; /* waiting */
    uint32_t waiting, running;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_came = PTHREAD_COND_INITIALIZER;
static struct client **clients; /* [0]: keystored */
static uint32_t client_count, next_turn = 1;
static struct client_work *running;
static int wake_fd;

static struct client *find(uint64_t id)
{
    for (uint32_t i = 1; i < client_count; i++)
        if (clients[i]->id == id && clients[i]->fd >= 0)
            return clients[i];
    return NULL;
}

static int add(uint64_t id, int fd)
{
    struct client **more = realloc(clients, (client_count + 1) * sizeof(struct client *));
    struct client *client = calloc(1, sizeof(*client));

    if (more)
        clients = more;
    if (!more || !client) {
        free(client);
        return -ENOMEM;
    }
    client->id = id;
    client->fd = fd;
    client->last = &client->first;
    clients[client_count++] = client;
    return 0;
}

static void work_free(struct client_work *work)
{
    explicit_bzero(work->body, work->body_bytes);
    free(work);
}

static void drop_waiting(struct client *client)
{
    while (client->first) {
        struct client_work *work = client->first;

        client->first = work->next;
        work_free(work);
    }
    client->last = &client->first;
    client->waiting = 0;
}

static void free_if_idle(struct client *client)
{
    if (client->fd >= 0 || client->running)
        return;
    for (uint32_t i = 1; i < client_count; i++)
        if (clients[i] == client)
            clients[i] = clients[--client_count];
    free(client->allowed);
    free(client);
}

static void close_client(struct client *client)
{
    close(client->fd);
    client->fd = -1;
    drop_waiting(client);
    free_if_idle(client);
}

static int queue(struct client *client, const struct vks_ipc_message *message)
{
    uint32_t body_bytes = vks_ipc_body_bytes(message);
    struct client_work *work = malloc(sizeof(*work) + body_bytes);

    if (!work)
        return -ENOMEM;
    *work = (struct client_work){.client = client, .head = message->head, .body_bytes = body_bytes};
    memcpy(work->body, vks_ipc_body(message), body_bytes);
    *client->last = work;
    client->last = &work->next;
    client->waiting++;
    pthread_cond_signal(&work_came);
    return 0;
}

int clients_open(int control_fd)
{
    int error = add(0, control_fd);

    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (error)
        return error;
    return wake_fd < 0 ? -errno : wake_fd;
}

int clients_add(uint64_t id, int fd)
{
    int error;

    pthread_mutex_lock(&lock);
    error = find(id) ? -EEXIST : add(id, fd);
    pthread_mutex_unlock(&lock);
    if (error)
        close(fd);
    return error;
}

int clients_close(uint64_t id)
{
    struct client *client;

    pthread_mutex_lock(&lock);
    client = find(id);
    if (client)
        close_client(client);
    pthread_mutex_unlock(&lock);
    return client ? 0 : -ENOENT;
}

static int allow(struct client *client, const struct vks_hsm_key *keys, uint32_t count)
{
    struct vks_hsm_key *more;

    for (uint32_t i = 0; i < count; i++)
        if (keys[i].object.size_bytes == 0 || keys[i].object.size_bytes > VKS_HSM_OBJECT_BYTES_MAX)
            return -EINVAL;
    if (count > ALLOWED_MAX - client->allowed_count)
        return -EINVAL;
    if (count == 0)
        return 0;
    more = realloc(client->allowed, (client->allowed_count + count) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    memcpy(more + client->allowed_count, keys, count * sizeof(*more));
    client->allowed = more;
    client->allowed_count += count;
    return 0;
}

int clients_allow(uint64_t id, uint32_t flags, const struct vks_hsm_key *keys, uint32_t count)
{
    struct client *client;
    int error = -ENOENT;

    pthread_mutex_lock(&lock);
    client = find(id);
    if (client && (flags & VKS_HSM_ALLOW_F_BEGIN))
        client->allowed_count = 0;
    if (client)
        error = allow(client, keys, count);
    pthread_mutex_unlock(&lock);
    return error;
}

int clients_ask(const struct vks_ipc_message *message)
{
    int error;

    pthread_mutex_lock(&lock);
    error = queue(clients[0], message);
    pthread_mutex_unlock(&lock);
    return error;
}

int clients_poll(struct pollfd **fds, uint32_t first, uint32_t *count)
{
    struct pollfd *more;

    pthread_mutex_lock(&lock);
    more = realloc(*fds, (first + client_count) * sizeof(*more));
    *count = first;
    for (uint32_t i = 1; more && i < client_count; i++)
        if (clients[i]->fd >= 0 && clients[i]->waiting + clients[i]->running < VKS_HSM_WINDOW)
            more[(*count)++] = (struct pollfd){.fd = clients[i]->fd, .events = POLLIN};
    pthread_mutex_unlock(&lock);
    if (!more)
        return -ENOMEM;
    *fds = more;
    return 0;
}

/* Lengths that its structure announces, and no more than a token is ever asked for. */
static bool is_request(const struct vks_ipc_message *message)
{
    struct vks_hsm_run run;
    uint32_t rest_bytes;

    if (message->head.type != VKS_HSM_RUN)
        return false;
    memcpy(&run, vks_ipc_body(message), sizeof(run));
    rest_bytes = vks_ipc_body_bytes(message) - (uint32_t)sizeof(run);
    return run.label_bytes <= VKS_PARAMETER_BYTES_MAX && run.label_bytes <= rest_bytes &&
           run.input_bytes <= VKS_HSM_INPUT_BYTES_MAX && run.input_bytes == rest_bytes - run.label_bytes;
}

void clients_receive(const struct pollfd *fds, uint32_t count, struct vks_ipc_message *message)
{
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < count; i++) {
        struct client *client = NULL;
        int got;

        for (uint32_t j = 1; fds[i].revents && !client && j < client_count; j++)
            if (clients[j]->fd == fds[i].fd)
                client = clients[j];
        if (!client)
            continue;
        got = vks_ipc_receive(client->fd, message, VKS_IPC_NOWAIT);
        if (got == -EAGAIN)
            continue;
        if (got != 1 || !is_request(message) || queue(client, message))
            close_client(client);
        if (got == 1)
            vks_ipc_close_fds(message);
    }
    pthread_mutex_unlock(&lock);
}

/* Keystored's first, then whoever's turn it is; NULL: nobody waits. */
static struct client *next_client(void)
{
    if (clients[0]->first)
        return clients[0];
    for (uint32_t i = 0; i + 1 < client_count; i++) {
        uint32_t index = 1 + (next_turn - 1 + i) % (client_count - 1);

        if (!clients[index]->first)
            continue;
        next_turn = index + 1;
        return clients[index];
    }
    return NULL;
}

static void look_up(const struct client *client, struct client_work *work)
{
    struct vks_hsm_run run;

    if (work->head.type != VKS_HSM_RUN)
        return;
    memcpy(&run, work->body, sizeof(run));
    for (uint32_t i = 0; i < client->allowed_count; i++)
        if (client->allowed[i].version == run.version && run.op < VKS_OP_COUNT &&
            client->allowed[i].op_mask >> run.op & 1 &&
            memcmp(client->allowed[i].key_id, run.key_id, sizeof(run.key_id)) == 0)
            work->object = client->allowed[i].object;
}

struct client_work *clients_take(void)
{
    struct client *client;
    struct client_work *work;

    pthread_mutex_lock(&lock);
    while ((client = next_client()) == NULL)
        pthread_cond_wait(&work_came, &lock);
    work = client->first;
    client->first = work->next;
    if (!client->first)
        client->last = &client->first;
    client->waiting--;
    client->running++;
    look_up(client, work);
    work->started_ns = monotonic_ns();
    work->next = running;
    running = work;
    pthread_mutex_unlock(&lock);
    return work;
}

uint64_t clients_busy_ns(void)
{
    uint64_t now_ns = monotonic_ns(), longest_ns = 0;

    pthread_mutex_lock(&lock);
    for (const struct client_work *work = running; work; work = work->next)
        if (now_ns > work->started_ns && now_ns - work->started_ns > longest_ns)
            longest_ns = now_ns - work->started_ns;
    pthread_mutex_unlock(&lock);
    return longest_ns;
}

void clients_answer(struct client_work *work, const void *body, uint32_t body_bytes, const void *tail,
                    uint32_t tail_bytes)
{
    struct vks_ipc_head head = {.type = work->head.type | VKS_IPC_REPLY, .tag = work->head.tag};
    struct vks_ipc_part parts[] = {{body, body_bytes}, {tail, tail_bytes}};
    struct client *client = work->client;
    struct client_work **place = &running;

    pthread_mutex_lock(&lock);
    while (*place != work)
        place = &(*place)->next;
    *place = work->next;
    if (client->waiting + client->running-- == VKS_HSM_WINDOW)
        (void)!eventfd_write(wake_fd, 1);
    /* A worker that reads no answers has a window, and a socket, that are full: it loses the channel. */
    if (client->fd >= 0 && vks_ipc_send(client->fd, &head, parts, 2, NULL, 0) && client->id)
        close_client(client);
    else
        free_if_idle(client);
    pthread_mutex_unlock(&lock);
    work_free(work);
}

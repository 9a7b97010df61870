/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "native_queue.h"

static int watch(const struct native_queue *queue, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return epoll_ctl(queue->poll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int native_queue_open(struct native_queue *queue)
{
    int error = 0;

    *queue = (struct native_queue){.poll_fd = -1};
    queue->finished_end = &queue->finished;
    for (uint32_t i = 0; i < VKS_IOC_PENDING_MAX; i++) {
        queue->calls[i].request = &queue->requests[i];
        queue->calls[i].is_asynchronous = true;
        queue->calls[i].next = queue->free;
        queue->free = &queue->calls[i];
    }
    queue->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->finished_fd < 0 || (queue->poll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        error = -errno;
    if (!error)
        error = watch(queue, queue->finished_fd, EPOLLIN);
    if (error)
        native_queue_close(queue);
    return error;
}

void native_queue_close(struct native_queue *queue)
{
    if (queue->poll_fd >= 0)
        close(queue->poll_fd);
    if (queue->finished_fd >= 0)
        close(queue->finished_fd);
    queue->poll_fd = queue->finished_fd = -1;
}

int native_queue_watch(const struct native_queue *queue, const struct native_connection *connection)
{
    int error = watch(queue, connection->call_fd, EPOLLIN);

    if (!error)
        error = watch(queue, connection->err_fd, EPOLLIN);
    if (!error)
        error = watch(queue, connection->front_end.fd, EPOLLIN | EPOLLRDHUP);
    if (error)
        native_queue_unwatch(queue, connection);
    return error;
}

void native_queue_unwatch(const struct native_queue *queue, const struct native_connection *connection)
{
    /* By name, since to close them is not enough: the back-end has them too. */
    (void)epoll_ctl(queue->poll_fd, EPOLL_CTL_DEL, connection->call_fd, NULL);
    (void)epoll_ctl(queue->poll_fd, EPOLL_CTL_DEL, connection->err_fd, NULL);
    (void)epoll_ctl(queue->poll_fd, EPOLL_CTL_DEL, connection->front_end.fd, NULL);
}

struct native_call *native_queue_take(struct native_queue *queue, const struct vks_ioc_request *request)
{
    struct native_call *call = queue->free;

    if (!call)
        return NULL;
    queue->free = call->next;
    queue->outstanding++;
    call->next = NULL;
    call->is_done = false;
    *call->request = *request;
    return call;
}

void native_queue_give(struct native_queue *queue, struct native_call *call)
{
    call->next = queue->free;
    queue->free = call;
    queue->outstanding--;
}

void native_queue_finish(struct native_queue *queue, struct native_call *call)
{
    call->request->error = native_call_finish(call, call->connection->buffers.base);
    native_connection_release(call);
    call->next = NULL;
    *queue->finished_end = call;
    queue->finished_end = &call->next;
}

bool native_queue_reap(struct native_queue *queue, struct vks_ioc_request *request)
{
    struct native_call *call = queue->finished;

    if (!call)
        return false;
    queue->finished = call->next;
    if (!queue->finished)
        queue->finished_end = &queue->finished;
    *request = *call->request;
    native_queue_give(queue, call);
    return true;
}

void native_queue_show(struct native_queue *queue)
{
    uint64_t count = 1;

    if (queue->is_shown == !!queue->finished)
        return;
    queue->is_shown = !!queue->finished;
    /* Neither can wait: one is added to nothing, or what was added is taken. */
    if (queue->is_shown ? write(queue->finished_fd, &count, sizeof(count)) < 0
                        : read(queue->finished_fd, &count, sizeof(count)) < 0)
        queue->is_shown = !queue->is_shown;
}

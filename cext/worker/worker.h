/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest's data plane: a lane for each ring, which is a fast thread and a slow one. What the parts know:
 *
 *   control   messages of keystored and the custodian     ring    start, stop and notification of a virtqueue
 *   serve     from an available head to its answer        lane_slow, token_lane, order_lane   who works beside it
 *
 * Everything here is under one lock, which a lane gives up only while it computes, looks at its ring, or sleeps: then
 * others see rings, tables and state memory at rest. Where there is one ring there is one fast thread, and no lock.
 * The first lane also has the control socket, the token's channel, and what is done for whichever ring.
 */
#ifndef VKS_WORKER_H
#define VKS_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit_run.h"
#include "gather.h"
#include "guest_mem.h"
#include "head_queue.h"
#include "inflight.h"
#include "ipc_socket.h"
#include "job.h"
#include "key_loads.h"
#include "key_room.h"
#include "key_wants.h"
#include "lanes.h"
#include "latency_watch.h"
#include "lane_slow.h"
#include "order_lane.h"
#include "poll_board.h"
#include "poll_spin.h"
#include "snapshot_table.h"
#include "token_lane.h"
#include "vring.h"

enum {
    LANES_MAX = VKS_STATE_QUEUES_MAX,
};

struct ring {
    struct vks_vring vring;
    struct inflight inflight;
    struct head_queue redo;               /* in flight when the ring started, to be run again before anything new */
    struct head_queue parked[SLOW_SIZES]; /* slow ones for which no job was free */
    struct head_queue untokened;          /* that a token has to sign, and no slot was free */
    struct head_queue unordered;          /* for keystored, while another one is with it */
    struct head_queue unkeyed;            /* whose key is not here: keystored was asked for it, or will be */
    struct head_queue unleased;           /* whose budget is used up to what is on disk: keystored was asked for more */
    int kick_fd;
    int call_fd;
    int err_fd;
    uint32_t run; /* counts starts and stops: an answer of an earlier run is not written */
    bool running;
};

struct worker;

struct lane {
    struct worker *worker;
    uint32_t index; /* of its queue */
    struct ring ring;
    struct job fast;
    struct gather gather;
    struct slow_lane slow;
    struct latency_watch latency;
    struct poll_spin spin;
    uint32_t poll_from;    /* where to look for a place first */
    uint64_t now_ns;       /* CLOCK_REALTIME at the last record or long answer, or when the batch began */
    uint64_t signalled_ns; /* by the same clock: when answers were last told of, or the batch began */
    struct vks_key *computes[VKS_BATCH_LANES]; /* with these, while it has given the lock up for that */
    uint32_t computes_count;
    bool looks;  /* at its ring, without the lock */
    int wake_fd; /* eventfd: something has changed for it; the first lane has none */
    struct vks_secret_thread thread;
};

struct worker {
    int control_fd;
    int key_fd; /* -1 when the custodian is gone */
    struct vks_guest_mem mem;
    struct audit_run audit;
    uint32_t owed_records; /* of what has been gathered or is being computed */
    struct lane lane[LANES_MAX];
    uint32_t lane_count;
    pthread_mutex_t lock;
    pthread_cond_t rest;     /* a lane no longer looks */
    _Atomic bool wants_rest; /* no lane may look */
    struct token_lane token;
    struct order_lane order;
    struct snapshot_table *table;
    struct key_loads loads;
    struct key_room room;
    struct key_wants wants;
    struct vks_poll_board *board; /* NULL: there is none */
    uint32_t poll_places;
    struct vks_sandbox_report sandbox;
    bool snapshot_waits; /* its reply waits until a running job has let go of a key that was taken away */
    struct vks_ipc_head snapshot_request;
    struct vks_ipc_message message;
};

/* What a worker is made with; the descriptors are its own. */
struct worker_start {
    int control_fd;
    int key_fd;
    int state_fd;
    int board_fd;                             /* of the poll board, -1: there is none */
    uint32_t keeper;                          /* who must be able to kill it */
    const struct vks_sandbox_report *spawner; /* how the process that it was forked from is confined */
    const struct vks_zygote_spawn *asked;
};

/* Serve one guest until keystored is gone; does not return. */
_Noreturn void worker_main(const struct worker_start *start);

/* serve.c */
enum serve_result {
    SERVE_IDLE,    /* nothing waits; a kick will come */
    SERVE_MORE,    /* the batch was full */
    SERVE_BLOCKED, /* no room for audit records */
};
/* Take and answer up to one batch, give done jobs their answers, signal once. */
enum serve_result serve(struct lane *lane);
/*
 * serve_await.c. With nothing to do: look for work for as long as the snapshot allows, then ask for kicks. False when
 * the worker may sleep: nothing is there, and whatever comes will wake it.
 */
bool serve_await(struct lane *lane);

/* serve_head.c */
/*
 * Answer one request that was taken, or hand it to another lane, or gather or park it. The audit ring has room for it
 * and for all that are gathered.
 */
void serve_head(struct lane *lane, uint16_t head);
/* Run what was gathered: a group that is full, or, with class 0, everything. */
void serve_gathered(struct lane *lane, uint32_t batch_class);
/* One that was gathered is not run. */
void serve_ungather(struct lane *lane, struct job *job);

/* serve_done.c; the audit ring has room for one record where nothing else is said. */
/* Whether it has for one more than is owed by all lanes. */
bool serve_has_room(const struct worker *worker);
/* Record, then answer. A job of an earlier run of the ring is recorded only: its request will be run again. */
void serve_finish(struct lane *lane, const struct job *job, bool walked);
/*
 * What a lane has done: an answer, or a digest that goes on to the token. While that has it nothing executes here, and
 * a request of an earlier run of the ring is not asked for any more.
 */
void serve_conclude(struct lane *lane, struct job *job);
/* Record and answer what slow lane, token and keystored have done, as far as the audit ring has room. */
void serve_done_jobs(struct lane *lane);
/* Whether there is something for that. */
bool serve_has_done(const struct lane *lane);

/* ring.c */
__attribute__((warn_unused_result)) int ring_start(struct lane *lane, const struct vks_worker_ring_start *start,
                                                   struct vks_ipc_message *message);
/* Finish the slow operation that runs if that is soon, then let go of the ring. */
void ring_stop(struct lane *lane);
/* The driver or front-end broke the virtqueue: stop it, say so. */
void ring_break(struct lane *lane, int error);
/* Replace one of the ring's descriptors; takes *fd*, which may be -1. */
void ring_set_fd(int *place, int fd);
void ring_signal(const struct ring *ring);
/* Find ring and ranges again after the memory table changed. */
void ring_remap(struct lane *lane);

/* control.c; false when the other side is gone or broke the protocol. */
__attribute__((warn_unused_result)) bool control_receive(struct worker *worker);
__attribute__((warn_unused_result)) bool control_receive_keys(struct worker *worker);
/* Send the reply to a snapshot if it waited for jobs that are done now. */
void control_settle_snapshot(struct worker *worker);
/* Tell keystored something nobody asked for. */
void control_event(struct worker *worker, uint32_t type, const void *body, uint32_t body_bytes);

#endif

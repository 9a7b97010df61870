/* SPDX-License-Identifier: Apache-2.0 */
/* Between two looks at the ring: whether to look again soon, or to sleep. */
#include "clock.h"
#include "guest_fault.h"
#include "nonce_pool.h"
#include "worker.h"

static void cpu_relax(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* Also a ring that is broken, or whose memory went away when it was looked at. */
static bool has_work(const struct worker *worker)
{
    return vks_vring_available(&worker->ring.vring) != 0 || serve_has_done(worker) || guest_fault_seen();
}

/* Not while another lane, the token or keystored works: it may need this very processor, and it wakes us. */
static uint64_t spin_time_ns(const struct worker *worker)
{
    if (!worker->table || slow_lane_count(&worker->slow, SLOW_QUEUED) || slow_lane_count(&worker->slow, SLOW_RUNNING) ||
        token_lane_has(&worker->token, TOKEN_AWAY) || worker->order.state == ORDER_AWAY || worker->wants.away)
        return 0;
    return poll_spin_ns(&worker->spin, worker->table->head.poll_us);
}

/* Whether something came. No kick is asked for meanwhile: avail_event stays where it was. */
static bool look(struct worker *worker)
{
    uint64_t spin_ns = spin_time_ns(worker), now_ns, end_ns;
    bool found = false;
    int place = -1;

    if (!spin_ns)
        return false;
    now_ns = monotonic_ns();
    end_ns = now_ns + spin_ns;
    if (worker->board) {
        place = vks_poll_board_take(worker->board, worker->poll_places, worker->poll_from, now_ns, end_ns);
        if (place < 0)
            return false;
        /* Where it found a place it finds one again, and its neighbours theirs. */
        worker->poll_from = (uint32_t)place;
    }
    while (!found && monotonic_ns() < end_ns) {
        /* What is made while nobody waits costs nobody anything. */
        if (!vks_nonce_pool_fill())
            cpu_relax();
        found = has_work(worker);
    }
    if (place >= 0)
        vks_poll_board_leave(worker->board, place, end_ns);
    poll_spin_note(&worker->spin, found);
    return found;
}

bool serve_await(struct worker *worker)
{
    if (!worker->ring.running)
        return false;
    if (look(worker))
        return true;
    while (vks_nonce_pool_fill())
        if (has_work(worker))
            return true;
    vks_vring_want_kick(&worker->ring.vring);
    return has_work(worker);
}

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
static bool has_work(const struct lane *lane)
{
    return vks_vring_available(&lane->ring.vring) != 0 || serve_has_done(lane) || guest_fault_seen();
}

/* The first lane's alone. */
static bool fill_pool(const struct lane *lane)
{
    return lane->index == 0 && vks_nonce_pool_fill();
}

/* Not while another lane, the token or keystored works: it may need this very processor, and it wakes us. */
static uint64_t spin_time_ns(const struct lane *lane)
{
    if (!lane->worker->table || slow_lane_count(&lane->slow, SLOW_QUEUED) ||
        slow_lane_count(&lane->slow, SLOW_RUNNING) || token_lane_has(&lane->worker->token, TOKEN_AWAY) ||
        lane->worker->order.state == ORDER_AWAY || lane->worker->wants.away)
        return 0;
    return poll_spin_ns(&lane->spin, lane->worker->table->head.poll_us);
}

/* Whether something came. No kick is asked for meanwhile: avail_event stays where it was. */
static bool look(struct lane *lane)
{
    struct worker *worker = lane->worker;
    uint64_t spin_ns = spin_time_ns(lane), now_ns, end_ns;
    bool found = false;
    int place = -1;

    if (!spin_ns)
        return false;
    now_ns = monotonic_ns();
    end_ns = now_ns + spin_ns;
    if (worker->board) {
        place = vks_poll_board_take(worker->board, worker->poll_places, lane->poll_from, now_ns, end_ns);
        if (place < 0)
            return false;
        /* Where it found a place it finds one again, and its neighbours theirs. */
        lane->poll_from = (uint32_t)place;
    }
    if (lanes_begin_look(lane)) {
        while (!found && lanes_may_look(lane) && monotonic_ns() < end_ns) {
            /* What is made while nobody waits costs nobody anything. */
            if (!fill_pool(lane))
                cpu_relax();
            found = has_work(lane);
        }
        lanes_end_look(lane);
    }
    if (place >= 0)
        vks_poll_board_leave(worker->board, place, end_ns);
    poll_spin_note(&lane->spin, found);
    return found;
}

bool serve_await(struct lane *lane)
{
    if (!lane->ring.running)
        return false;
    /* Whatever may have been changed while it looked is what it goes on with. */
    if (look(lane) || !lane->ring.running)
        return true;
    while (fill_pool(lane))
        if (has_work(lane))
            return true;
    vks_vring_want_kick(&lane->ring.vring);
    return has_work(lane);
}

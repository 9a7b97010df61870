/* SPDX-License-Identifier: Apache-2.0 */
/* Lock, condition, and what a lane holds while it has no lock. */
#include "lanes.h"

#include <errno.h>
#include <unistd.h>

#include "worker.h"

void lanes_open(struct worker *worker)
{
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->rest, NULL);
}

void lanes_lock(struct worker *worker)
{
    if (worker->lane_count > 1)
        pthread_mutex_lock(&worker->lock);
}

void lanes_unlock(struct worker *worker)
{
    if (worker->lane_count > 1)
        pthread_mutex_unlock(&worker->lock);
}

void lanes_begin_compute(struct lane *lane, struct job *const jobs[], uint32_t count)
{
    if (lane->worker->lane_count == 1)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (!jobs[i]->key)
            continue;
        vks_key_ref(jobs[i]->key);
        lane->computes[lane->computes_count++] = jobs[i]->key;
    }
    lanes_unlock(lane->worker);
}

void lanes_end_compute(struct lane *lane)
{
    if (lane->worker->lane_count == 1)
        return;
    lanes_lock(lane->worker);
    while (lane->computes_count)
        vks_key_unref(lane->computes[--lane->computes_count]);
    control_settle_snapshot(lane->worker);
}

bool lanes_use_lost_key(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->lane_count; i++)
        for (uint32_t k = 0; k < worker->lane[i].computes_count; k++) {
            const struct vks_key *key = worker->lane[i].computes[k];
            int64_t index = snapshot_table_find(worker->table, vks_key_id(key), vks_key_version(key));

            if (index < 0 || worker->table->key[index] != key)
                return true;
        }
    return false;
}

bool lanes_begin_look(struct lane *lane)
{
    if (lane->worker->lane_count == 1)
        return true;
    if (atomic_load(&lane->worker->wants_rest))
        return false;
    lane->looks = true;
    lanes_unlock(lane->worker);
    return true;
}

bool lanes_may_look(const struct lane *lane)
{
    return !atomic_load_explicit(&lane->worker->wants_rest, memory_order_relaxed);
}

void lanes_end_look(struct lane *lane)
{
    if (lane->worker->lane_count == 1)
        return;
    lanes_lock(lane->worker);
    lane->looks = false;
    if (atomic_load(&lane->worker->wants_rest))
        pthread_cond_signal(&lane->worker->rest);
}

static bool anybody_looks(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->lane_count; i++)
        if (worker->lane[i].looks)
            return true;
    return false;
}

void lanes_rest(struct worker *worker)
{
    if (worker->lane_count == 1)
        return;
    atomic_store(&worker->wants_rest, true);
    while (anybody_looks(worker))
        pthread_cond_wait(&worker->rest, &worker->lock);
    atomic_store(&worker->wants_rest, false);
}

bool lanes_run(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->lane_count; i++)
        if (worker->lane[i].ring.running)
            return true;
    return false;
}

void lanes_wake(const struct lane *lane)
{
    uint64_t one = 1;

    while (lane->index && write(lane->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void lanes_wake_all(const struct worker *worker)
{
    for (uint32_t i = 1; i < worker->lane_count; i++)
        lanes_wake(&worker->lane[i]);
}

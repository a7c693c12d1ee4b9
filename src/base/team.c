/*
 * Thread team.
 *
 * A job is published by writing it into the team and then adding 1 to `generation`; members watch
 * that one word, run the job and take 1 off `pending`, on which the publisher waits. Every member
 * runs every job, so a member never falls behind by more than the job it is about to notice, and
 * the job's fields (and the caller's context) stay alive until it has finished with them. There is
 * no other meeting point: dispatch costs one cache line to each member and one back.
 *
 * Parking: a member that waited PARK_AFTER_NS counts itself in `parked`, then waits on the futex
 * `generation`. The publisher adds to `generation` first and reads `parked` second; both sides use
 * sequentially consistent operations, so either the publisher sees the sleeper and wakes it or the
 * kernel sees the new generation and does not let it sleep.
 *
 * Words that different threads write stand 128 bytes apart (two lines: the adjacent-line
 * prefetcher pulls pairs). Threads: hs_team_run from any thread but not from inside a job of the
 * same team, which would wait for itself.
 */
#include "base/team.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

#define TEAM_THREADS_MAX 1024
#define SPIN_ROUNDS      200
#define PARK_AFTER_NS    1000000u
#define WORD_SPACING     128

/* A 32-bit word that shares no cache line with the next one, wherever the struct starts. */
struct team_word {
    _Atomic uint32_t value;
    char spacing[WORD_SPACING - sizeof(uint32_t)];
};

struct team_member {
    struct hs_team *team;
    int index; /* 1 .. threads-1; 0 is the caller of hs_team_run */
    pthread_t thread;
};

struct hs_team {
    int threads;
    int started; /* members that have a thread */
    struct team_member *members;
    pthread_mutex_t run_lock; /* one job at a time */
    char spacing[WORD_SPACING];
    struct team_word generation; /* number of published jobs; futex word */
    struct team_word pending;    /* members that have not finished the current job */
    struct team_word parked;     /* members in or entering the futex */
    /* The job: written by the publisher while pending is 0, read after generation. NULL: end. */
    void (*job)(void *context, int member, int threads);
    void *context;
};

/* --- waiting --- */

static inline void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void hs_spin_wait(unsigned *rounds)
{
    if (*rounds < SPIN_ROUNDS) {
        ++*rounds;
        cpu_pause();
    } else {
        sched_yield();
    }
}

/* Sleeps until generation differs from `seen` (or for no reason: callers look again). */
static void park(struct hs_team *team, uint32_t seen)
{
    atomic_fetch_add(&team->parked.value, 1);
    if (atomic_load(&team->generation.value) == seen)
        (void)syscall(SYS_futex, &team->generation.value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&team->parked.value, 1);
}

/* Returns when generation differs from `seen`. */
static void await_job(struct hs_team *team, uint32_t seen)
{
    unsigned rounds = 0;
    uint64_t idle_since_ns = 0;
    while (atomic_load_explicit(&team->generation.value, memory_order_acquire) == seen) {
        hs_spin_wait(&rounds);
        if (rounds < SPIN_ROUNDS)
            continue;
        uint64_t now_ns = hs_clock_ns();
        if (idle_since_ns == 0)
            idle_since_ns = now_ns;
        else if (now_ns - idle_since_ns >= PARK_AFTER_NS)
            park(team, seen);
    }
}

/* --- jobs --- */

/* Hands the job to the members. The caller holds run_lock or is the only user. */
static void publish(struct hs_team *team, void (*job)(void *context, int member, int threads),
                    void *context)
{
    team->job = job;
    team->context = context;
    atomic_store_explicit(&team->pending.value, (uint32_t)team->started, memory_order_relaxed);
    atomic_fetch_add(&team->generation.value, 1);
    if (atomic_load(&team->parked.value) > 0)
        (void)syscall(SYS_futex, &team->generation.value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL,
                      0);
}

static void *member_main(void *argument)
{
    const struct team_member *member = argument;
    struct hs_team *team = member->team;
    for (uint32_t seen = 0;; seen++) {
        await_job(team, seen);
        if (!team->job)
            return NULL;
        team->job(team->context, member->index, team->threads);
        atomic_fetch_sub_explicit(&team->pending.value, 1, memory_order_release);
    }
}

void hs_team_run(struct hs_team *team, void (*job)(void *context, int member, int threads),
                 void *context)
{
    if (!team) {
        job(context, 0, 1);
        return;
    }
    pthread_mutex_lock(&team->run_lock);
    if (team->started > 0)
        publish(team, job, context);
    job(context, 0, team->threads);
    unsigned rounds = 0;
    while (atomic_load_explicit(&team->pending.value, memory_order_acquire) > 0)
        hs_spin_wait(&rounds);
    pthread_mutex_unlock(&team->run_lock);
}

struct for_job {
    _Atomic uint64_t next_piece;
    char spacing[WORD_SPACING];
    uint64_t pieces;
    long count, grain;
    void (*body)(void *context, long index);
    void *context;
};

static void for_member(void *argument, int member, int threads)
{
    struct for_job *job = argument;
    (void)member, (void)threads;
    for (;;) {
        uint64_t piece = atomic_fetch_add_explicit(&job->next_piece, 1, memory_order_relaxed);
        if (piece >= job->pieces)
            return;
        long first = (long)piece * job->grain;
        long last = job->count - first < job->grain ? job->count : first + job->grain;
        for (long i = first; i < last; i++)
            job->body(job->context, i);
    }
}

void hs_team_for(struct hs_team *team, long count, long grain,
                 void (*body)(void *context, long index), void *context)
{
    if (count <= 0)
        return;
    if (grain < 1)
        grain = 1;
    struct for_job job = {.pieces = (uint64_t)((count - 1) / grain + 1),
                          .count = count,
                          .grain = grain,
                          .body = body,
                          .context = context};
    hs_team_run(team, for_member, &job);
}

/* --- opening and closing --- */

int hs_team_threads(const struct hs_team *team)
{
    return team ? team->threads : 1;
}

void hs_team_close(struct hs_team **team_inout)
{
    struct hs_team *team = *team_inout;
    if (!team)
        return;
    if (team->started > 0)
        publish(team, NULL, NULL);
    for (int i = 0; i < team->started; i++)
        pthread_join(team->members[i].thread, NULL);
    pthread_mutex_destroy(&team->run_lock);
    hs_free(team->members);
    hs_free(team);
    *team_inout = NULL;
}

/* Starts member `index`; 0 or an errno value. */
static int start_member(struct hs_team *team, int index)
{
    struct team_member *member = &team->members[index - 1];
    *member = (struct team_member){.team = team, .index = index};
    int code = pthread_create(&member->thread, NULL, member_main, member);
    if (code != 0)
        return code;
    char name[24]; /* the system takes 15 characters; index <= 1023 needs 11 */
    (void)snprintf(name, sizeof name, "hasten-%d", index);
    (void)pthread_setname_np(member->thread, name);
    team->started++;
    return 0;
}

/* Starts all members with all signals blocked, so that handlers run on the program's threads. */
static int start_members(struct hs_team *team)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = 0;
    for (int i = 1; i < team->threads && code == 0; i++)
        code = start_member(team, i);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

enum hasten_status hs_team_open(int threads, struct hs_error *error, struct hs_team **team_out)
{
    if (threads < 1 || threads > TEAM_THREADS_MAX)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "use as many threads as cores",
                       "a team of %d threads is not possible, 1 to %d are", threads,
                       TEAM_THREADS_MAX);
    struct hs_team *team = hs_calloc(1, sizeof *team);
    struct team_member *members = hs_calloc((size_t)threads - 1, sizeof *members);
    if (!team || !members) {
        hs_free(team);
        hs_free(members);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "use fewer threads",
                       "no memory for a team of %d threads", threads);
    }
    team->threads = threads;
    team->members = members;
    pthread_mutex_init(&team->run_lock, NULL);
    int code = start_members(team);
    if (code != 0) {
        int wanted = team->started + 1;
        char reason[128];
        hs_team_close(&team);
        return hs_fail(error, HASTEN_LIMIT, "use fewer threads, or raise the limit (ulimit -u)",
                       "cannot start thread %d of %d: %s", wanted, threads - 1,
                       strerror_r(code, reason, sizeof reason));
    }
    *team_out = team;
    return HASTEN_OK;
}

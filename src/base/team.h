/*
 * Thread team: a fixed set of threads that run one job together.
 *
 * The caller of hs_team_run is member 0 while the job runs. Waiting members spin with pause, after
 * about 200 pauses also yield, and park on a futex only after 1 ms without a job: with a short spin
 * before the futex a 2-thread decode loses 65 % even on an idle machine, without yield a busy
 * neighbour causes 100 ms tails (measured, docs/performance). hs_team_run may be called by any
 * thread; concurrent calls on one team are served one after the other.
 */
#ifndef HASTEN_BASE_TEAM_H
#define HASTEN_BASE_TEAM_H

#include "base/status.h"

struct hs_team;

/* Starts a team of `threads` members (>= 1, the caller included). threads == 1 starts no thread. */
HS_MUST_USE enum hasten_status hs_team_open(int threads, struct hs_error *error,
                                            struct hs_team **team_out);
/* Joins the threads. NULL inside is allowed. No job may be running. */
void hs_team_close(struct hs_team **team);
int hs_team_threads(const struct hs_team *team); /* NULL gives 1 */

/*
 * Runs job(context, member, threads) on all members at once and returns when all have returned. A
 * NULL team runs job(context, 0, 1) on the caller.
 */
void hs_team_run(struct hs_team *team, void (*job)(void *context, int member, int threads),
                 void *context);

/* Calls body(context, i) for i in 0..count-1, dealt dynamically over the team in pieces of `grain`;
 * returns when all are done. */
void hs_team_for(struct hs_team *team, long count, long grain,
                 void (*body)(void *context, long index), void *context);

/* One round of the team's waiting policy; *rounds starts at 0. Used by the executor's own waits:
 * pause for the first 200 rounds, then sched_yield. */
void hs_spin_wait(unsigned *rounds);

#endif

/*
 * Teams shared by the models of a process: who asks for the same number of threads gets the same
 * team, counted by references. Members of a team spin between instructions; two teams on the same
 * cores would take the time from each other.
 *
 * A team of one has no members beside its caller and is therefore never shared: models opened with
 * one thread compute side by side.
 *
 * Threads: all functions from any thread. The registry is process-wide state under a mutex that
 * only opening and closing take.
 */
#ifndef HASTEN_RUNTIME_SHARED_TEAM_H
#define HASTEN_RUNTIME_SHARED_TEAM_H

#include <stdbool.h>

#include "base/team.h"

struct rt_team;

/* A hold on the team of `threads` members; started when nobody holds one. Errors as of
 * hs_team_open. */
HS_MUST_USE enum hasten_status rt_team_share(int threads, struct hs_error *error,
                                             struct rt_team **team_out);
/* Gives a hold back; the last one ends the threads. NULL inside is allowed. */
void rt_team_release(struct rt_team **team);
/* The team itself, borrowed while held. */
struct hs_team *rt_team_members(const struct rt_team *team);

/* The team's turn: one step at a time, in the order asked, over all models that share it. Around
 * every rt_run_step; never held while something else is waited for. */
void rt_team_enter(struct rt_team *team);
bool rt_team_try_enter(struct rt_team *team); /* false, at once, when somebody has it */
void rt_team_leave(struct rt_team *team);

#endif

/*
 * Run: everything that moves while a plan executes. Arena, scratch, bound constants and states,
 * progress, error, cancel word, profile. Several runs of one plan may go on at once; one run serves
 * one step at a time. A step allocates, parses, looks up and locks nothing.
 */
#ifndef HASTEN_RUNTIME_RUN_H
#define HASTEN_RUNTIME_RUN_H

#include <stdatomic.h>

#include "base/team.h"
#include "runtime/batch_builder.h"
#include "runtime/store.h"

struct rt_run;

/* Binds a plan to constants (prepared in the store) and a cache. All are borrowed and must outlive
 * the run. threads: the largest team this run will be stepped with. */
HS_MUST_USE enum hasten_status rt_run_open(const struct pl_plan *plan, const struct rt_store *store,
                                           const struct rt_cache *cache, int threads,
                                           struct hs_error *error, struct rt_run **run_out);
void rt_run_close(struct rt_run **run);

/*
 * Executes one step: reads the batch, appends K and V to the pages, computes logits f32[R][vocab]
 * and hidden states, valid until the next step. When no row's logits are wanted the head is left
 * out, and the logits are undefined. Any thread may call it; it is member 0 of the team meanwhile.
 * On an error (CANCELLED, a kernel's status) the pages' contents of the new positions are undefined
 * and the caller must not commit them.
 */
HS_MUST_USE enum hasten_status rt_run_step(struct rt_run *run, const struct rt_batch *batch,
                                           struct hs_team *team, struct hs_error *error,
                                           const float **logits_out);
/* Hidden states f32[R][plan.hidden_size] of the latest step; NULL when the plan has none. */
const float *rt_run_hidden(struct rt_run *run);
/* Asks a running step to stop at the next unit; from any thread or a signal handler. Cleared when
 * the next step starts. */
void rt_run_cancel(struct rt_run *run);

/* A flag that steps from now on look at between units: once it is true they end as cancelled. NULL:
 * none. Borrowed while steps run; any thread may set it, at any time. */
void rt_run_watch(struct rt_run *run, const atomic_bool *flag);

/* Per-instruction clock: wall nanoseconds and calls since switched on. Off by default. */
struct rt_profile_row {
    uint64_t calls, total_ns, rows; /* rows: sum of kn_call.rows */
};
void rt_run_profile(struct rt_run *run, bool on);                           /* clears the table */
const struct rt_profile_row *rt_run_profile_rows(const struct rt_run *run); /* per instruction */

#endif

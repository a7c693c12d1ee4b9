/*
 * Constant store: the weights of one model, as the instructions read them.
 *
 * Evaluates the constant expressions of plans (copy or pack of a file tensor) into one huge-page
 * block per prepare call, over the team, and tells the source when a tensor was read, so that file
 * pages can be dropped: after load no instruction reads the mapping. Keyed by (tensor, layout):
 * several plans share one packed copy. Not thread-safe while preparing; then immutable.
 */
#ifndef HASTEN_RUNTIME_STORE_H
#define HASTEN_RUNTIME_STORE_H

#include "base/team.h"
#include "plan/plan.h"

struct rt_source { /* where file tensors come from */
    /* Row-major bytes of a tensor, checked to be size_bytes long; NULL when it is not there. */
    const void *(*tensor)(void *context, const char *name, size_t *size_bytes_out);
    /* The tensor's bytes are not needed again (may be NULL). */
    void (*dropped)(void *context, const char *name);
    void *context;
};

struct rt_store;

HS_MUST_USE enum hasten_status rt_store_open(const struct rt_source *source, struct hs_error *error,
                                             struct rt_store **store_out);
void rt_store_close(struct rt_store **store);
/* Makes all constants of the plan present. NOT_FOUND / CORRUPT_INPUT when a tensor is missing or of
 * another size, OUT_OF_MEMORY. */
HS_MUST_USE enum hasten_status rt_store_prepare(struct rt_store *store, const struct pl_plan *plan,
                                                struct hs_team *team, struct hs_error *error);
/* Data of a plan's constant (prepared before); NULL if it is not used. */
const void *rt_store_find(const struct rt_store *store, const struct pl_constant *constant);
size_t rt_store_bytes(const struct rt_store *store);

#endif

/*
 * Constant store: the weights of one model, as the instructions read them.
 *
 * Evaluates the constant expressions of plans (copy or pack of a file tensor) into one huge-page
 * block per prepare call, over the team: each member reads a piece of a tensor from the source and
 * packs it while it is in the cache. After that nothing needs the source. Keyed by (tensor,
 * layout): several plans share one packed copy. Not thread-safe while preparing; then immutable.
 */
#ifndef HASTEN_RUNTIME_STORE_H
#define HASTEN_RUNTIME_STORE_H

#include "base/team.h"
#include "plan/plan.h"

struct rt_source { /* where file tensors come from */
    /* What read knows a tensor by, and the size of its row-major bytes; NULL when it is not there.
     */
    const void *(*find)(void *context, const char *name, size_t *size_bytes_out);
    /* Bytes [first, first + size_bytes) of it into target; called by several threads at once. */
    enum hasten_status (*read)(void *context, const void *tensor, size_t first, void *target,
                               size_t size_bytes, struct hs_error *error);
    void *context;
};

struct rt_store;

HS_MUST_USE enum hasten_status rt_store_open(const struct rt_source *source, struct hs_error *error,
                                             struct rt_store **store_out);
void rt_store_close(struct rt_store **store);
/* Makes all constants of the plan present. NOT_FOUND / CORRUPT_INPUT when a tensor is missing or of
 * another size, OUT_OF_MEMORY, and what the source fails with. */
HS_MUST_USE enum hasten_status rt_store_prepare(struct rt_store *store, const struct pl_plan *plan,
                                                struct hs_team *team, struct hs_error *error);
/* Data of a plan's constant (prepared before); NULL if it is not used. */
const void *rt_store_find(const struct rt_store *store, const struct pl_constant *constant);
size_t rt_store_bytes(const struct rt_store *store);

#endif

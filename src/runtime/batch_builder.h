/*
 * Batch builder: %batch of one step in one contiguous block of i32.
 *
 * Rows of a sequence are adjacent and in position order; sequences come in the order they were
 * added. The block is allocated once for the bounds; filling it allocates nothing. One thread.
 */
#ifndef HASTEN_RUNTIME_BATCH_BUILDER_H
#define HASTEN_RUNTIME_BATCH_BUILDER_H

#include "runtime/kv_cache.h"

struct rt_batch_limits {
    int32_t tokens_max, sequences_max, wanted_max, groups;
    int32_t pages_max; /* of one sequence's table */
};

enum rt_wanted {
    RT_WANT_NONE,
    RT_WANT_LAST,  /* logits of the last token */
    RT_WANT_ALL,   /* of every token */
    RT_WANT_HIDDEN /* the last token's hidden state; logits only if another sequence wants some */
};

struct rt_batch;

HS_MUST_USE enum hasten_status rt_batch_open(const struct rt_batch_limits *limits,
                                             struct hs_error *error, struct rt_batch **batch_out);
void rt_batch_close(struct rt_batch **batch);
void rt_batch_begin(struct rt_batch *batch);
/* Adds the next `count` tokens of a sequence, whose pages must be reserved already. LIMIT when
 * tokens, sequences or wanted rows exceed the bounds (nothing is added). */
HS_MUST_USE enum hasten_status rt_batch_add(struct rt_batch *batch,
                                            const struct rt_sequence *sequence,
                                            const int32_t *tokens, int32_t count,
                                            enum rt_wanted wanted, struct hs_error *error);
/* Views of what was added; valid until the next rt_batch_begin. */
const struct kn_batch *rt_batch_view(const struct rt_batch *batch);
const int32_t *rt_batch_tokens(const struct rt_batch *batch); /* [T] token ids */
bool rt_batch_wants_logits(const struct rt_batch *batch);     /* any of it */

#endif

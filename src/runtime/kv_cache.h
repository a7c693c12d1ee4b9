/*
 * KV cache: pools of pages and the sequences that hold them.
 *
 * A page holds 32 positions of all layers of a page group; a sequence has one table of page numbers
 * per group. Pages are reference-counted, so sequences can share full ones. Taking and giving back
 * are stack operations; memory is reserved when the cache opens and touched when first used. A
 * page is zeroed when taken: masked positions are multiplied by 0, and 0 * NaN would not be 0.
 *
 * Kept prefixes (option keep_prefixes): full pages of tokens that were computed stay in an index
 * after their sequence has gone (prefix_index.h), and rt_sequence_adopt starts a new sequence on
 * them. Such pages count as free: they are taken, least recently used first, when the stack is
 * empty. Sequences that compute the same prefix at the same time end up on the same pages. A shared
 * page is never written: it is full, and rewinding into one copies it.
 *
 * States of a page: free (on the stack, references 0) -> held (references >= 1) -> free, or ->
 * cached (only the index holds it) -> held or free. Not thread-safe: the caller (the engine)
 * serialises. Nothing here allocates after opening, except rt_sequence_open.
 */
#ifndef HASTEN_RUNTIME_KV_CACHE_H
#define HASTEN_RUNTIME_KV_CACHE_H

#include "kernels/kernel.h"
#include "plan/plan.h"

struct rt_cache_options {
    int64_t positions; /* capacity in positions over all sequences */
    /* The same for window groups, which need window + step positions a running sequence only; what
     * they have beyond is kept prefixes. 0: as positions. */
    int64_t window_positions;
    uint64_t shuffle_seed; /* 0: pages in order; else handed out in a random order (tests) */
    bool keep_prefixes;
    uint64_t hash_seed; /* of the prefix index: secret where texts come from strangers */
};

/* Prefixes since the cache was opened. */
struct rt_prefix_counts {
    uint64_t asked_tokens, found_tokens; /* by rt_sequence_adopt */
    uint64_t evicted_pages;
};

struct rt_cache;
struct rt_sequence;

/* Opens pools for the page groups of a plan. */
HS_MUST_USE enum hasten_status rt_cache_open(const struct pl_plan *plan,
                                             const struct rt_cache_options *options,
                                             struct hs_error *error, struct rt_cache **cache_out);
void rt_cache_close(struct rt_cache **cache); /* all sequences closed before */
int32_t rt_cache_groups(const struct rt_cache *cache);
/* Pages that can be taken: free ones and cached ones. */
int64_t rt_cache_pages_free(const struct rt_cache *cache, int32_t group);
int64_t rt_cache_pages_total(const struct rt_cache *cache, int32_t group);
/* Bytes of pages that were ever touched. */
size_t rt_cache_touched_bytes(const struct rt_cache *cache);
struct rt_prefix_counts rt_cache_prefix_counts(const struct rt_cache *cache);
/* The operand of state `state` of the plan. */
struct kn_state rt_cache_state(const struct rt_cache *cache, const struct pl_plan *plan,
                               int32_t state);

/* New empty sequence of at most max_positions positions. */
HS_MUST_USE enum hasten_status rt_sequence_open(struct rt_cache *cache, int64_t max_positions,
                                                struct hs_error *error,
                                                struct rt_sequence **sequence_out);
void rt_sequence_close(struct rt_sequence **sequence); /* gives its pages back */
int64_t rt_sequence_length(const struct rt_sequence *sequence);
int64_t rt_sequence_max(const struct rt_sequence *sequence);
/* Makes room for `count` more positions. LIMIT when the sequence is full (hint: a larger context),
 * AGAIN when no page is free; nothing is changed then. */
HS_MUST_USE enum hasten_status rt_sequence_reserve(struct rt_sequence *sequence, int64_t count,
                                                   struct hs_error *error);
/*
 * Starts an empty sequence on the longest kept prefix of the tokens it is going to be fed, always
 * short of their last one, whose logits somebody wants. Returns how many positions it holds then (a
 * multiple of TN_PAGE_POSITIONS, 0 when nothing fits): feeding goes on behind them. Exact: the
 * pages' bits are those that computing would give.
 */
int64_t rt_sequence_adopt(struct rt_sequence *sequence, const int32_t *tokens, int64_t count);
/* The step wrote `count` positions of these tokens (NULL: of unknown ones, which cannot be kept as
 * a prefix); pages of window groups that no later position can see are given back. */
void rt_sequence_commit(struct rt_sequence *sequence, const int32_t *tokens, int64_t count);
/* Forgets all positions from `length` on. Window groups can only go back as far as their pages are
 * still there: LIMIT otherwise. */
HS_MUST_USE enum hasten_status rt_sequence_rewind(struct rt_sequence *sequence, int64_t length,
                                                  struct hs_error *error);
/* Page table of a group: entries first..pages-1 are valid. */
const int32_t *rt_sequence_table(const struct rt_sequence *sequence, int32_t group,
                                 int32_t *first_out, int32_t *pages_out);

#endif

/* Batch builder; see batch_builder.h. */
#include "runtime/batch_builder.h"

#include <string.h>

#include "base/memory.h"

struct rt_batch {
    struct rt_batch_limits limits;
    struct kn_batch view;
    int32_t *block;
    int32_t *row_start, *kv_len, *seq_of_row, *position, *rows, *tokens;
    int32_t *first[KN_PAGE_GROUPS], *table[KN_PAGE_GROUPS];
    bool wants_logits;
};

/* Hands out consecutive parts of the block; with block == NULL only counts. */
static int32_t *part(int32_t *block, size_t *used, size_t count)
{
    int32_t *start = block ? block + *used : NULL;
    *used += count;
    return start;
}

static size_t lay_out(struct rt_batch *batch, int32_t *block)
{
    const struct rt_batch_limits *l = &batch->limits;
    size_t used = 0, tokens = (size_t)l->tokens_max, sequences = (size_t)l->sequences_max;
    batch->row_start = part(block, &used, sequences + 1);
    batch->kv_len = part(block, &used, sequences);
    batch->seq_of_row = part(block, &used, tokens);
    batch->position = part(block, &used, tokens);
    batch->rows = part(block, &used, (size_t)l->wanted_max);
    batch->tokens = part(block, &used, tokens);
    for (int32_t g = 0; g < l->groups; g++) {
        batch->first[g] = part(block, &used, sequences);
        batch->table[g] = part(block, &used, sequences * (size_t)l->pages_max);
    }
    return used;
}

enum hasten_status rt_batch_open(const struct rt_batch_limits *limits, struct hs_error *error,
                                 struct rt_batch **batch_out)
{
    struct rt_batch *batch = hs_calloc(1, sizeof *batch);
    if (!batch)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a batch");
    batch->limits = *limits;
    batch->block = hs_calloc(lay_out(batch, NULL), sizeof *batch->block);
    if (!batch->block) {
        rt_batch_close(&batch);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a batch");
    }
    lay_out(batch, batch->block);
    struct kn_batch *view = &batch->view;
    view->groups = limits->groups;
    view->table_stride = limits->pages_max;
    view->row_start = batch->row_start;
    view->kv_len = batch->kv_len;
    view->seq_of_row = batch->seq_of_row;
    view->position = batch->position;
    view->rows = batch->rows;
    for (int32_t g = 0; g < limits->groups; g++) {
        view->group[g].first = batch->first[g];
        view->group[g].table = batch->table[g];
    }
    *batch_out = batch;
    return HASTEN_OK;
}

void rt_batch_close(struct rt_batch **batch)
{
    if (!*batch)
        return;
    hs_free((*batch)->block);
    hs_free(*batch);
    *batch = NULL;
}

void rt_batch_begin(struct rt_batch *batch)
{
    batch->view.tokens = batch->view.sequences = batch->view.wanted_rows = 0;
    batch->row_start[0] = 0;
    batch->wants_logits = false;
}

static void add_tables(struct rt_batch *batch, const struct rt_sequence *sequence, int32_t s)
{
    for (int32_t g = 0; g < batch->limits.groups; g++) {
        int32_t first, pages;
        const int32_t *table = rt_sequence_table(sequence, g, &first, &pages);
        int32_t *target = batch->table[g] + (size_t)s * (size_t)batch->limits.pages_max;
        /* Entries before `first` were given back; no visible position lies there. They still name
         * a page of the pool, so that a kernel's prefetch can never leave it. */
        memset(target, 0, (size_t)first * sizeof *target);
        memcpy(target + first, table + first, (size_t)(pages - first) * sizeof *target);
        batch->first[g][s] = first;
    }
}

enum hasten_status rt_batch_add(struct rt_batch *batch, const struct rt_sequence *sequence,
                                const int32_t *tokens, int32_t count, enum rt_wanted wanted,
                                struct hs_error *error)
{
    struct kn_batch *view = &batch->view;
    const struct rt_batch_limits *limits = &batch->limits;
    int32_t wanted_rows = wanted == RT_WANT_ALL ? count : wanted == RT_WANT_NONE ? 0 : 1;
    int64_t length = rt_sequence_length(sequence);
    if (count < 1 || count > limits->tokens_max - view->tokens ||
        view->sequences == limits->sequences_max ||
        wanted_rows > limits->wanted_max - view->wanted_rows)
        return hs_fail(error, HASTEN_LIMIT, "send fewer tokens in one step",
                       "a step holds %d tokens, %d sequences and %d wanted rows at most",
                       (int)limits->tokens_max, (int)limits->sequences_max,
                       (int)limits->wanted_max);
    if ((length + count + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS > limits->pages_max)
        return hs_fail(error, HASTEN_LIMIT, "open the model with a larger context",
                       "a sequence of %lld positions exceeds the page table",
                       (long long)(length + count));
    int32_t s = view->sequences++;
    add_tables(batch, sequence, s);
    for (int32_t i = 0; i < count; i++) {
        int32_t row = view->tokens + i;
        batch->seq_of_row[row] = s;
        batch->position[row] = (int32_t)length + i;
        batch->tokens[row] = tokens[i];
        if (i >= count - wanted_rows)
            batch->rows[view->wanted_rows++] = row;
    }
    batch->wants_logits |= wanted == RT_WANT_ALL || wanted == RT_WANT_LAST;
    view->tokens += count;
    batch->row_start[s + 1] = view->tokens;
    batch->kv_len[s] = (int32_t)length + count;
    return HASTEN_OK;
}

const struct kn_batch *rt_batch_view(const struct rt_batch *batch)
{
    return &batch->view;
}

const int32_t *rt_batch_tokens(const struct rt_batch *batch)
{
    return batch->tokens;
}

bool rt_batch_wants_logits(const struct rt_batch *batch)
{
    return batch->wants_logits;
}

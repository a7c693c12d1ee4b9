/* Constant store; see store.h. Lookup is a linear scan: it happens once per constant when a run is
 * opened (a few hundred entries), never in a step. */
#include "runtime/store.h"

#include <string.h>

#include "base/memory.h"
#include "kernels/rows.h"

struct entry {
    char *tensor;
    enum tn_layout layout;
    uint8_t *data; /* inside a block */
    size_t size_bytes;
};

struct block {
    void *data;
    size_t size_bytes;
    struct block *next;
};

struct rt_store {
    struct rt_source source;
    struct hs_arena arena;
    struct entry *entries;
    int32_t count, capacity;
    struct block *blocks;
    size_t bytes;
};

enum hasten_status rt_store_open(const struct rt_source *source, struct hs_error *error,
                                 struct rt_store **store_out)
{
    struct rt_store *store = hs_calloc(1, sizeof *store);
    if (!store)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the constant store");
    store->source = *source;
    *store_out = store;
    return HASTEN_OK;
}

void rt_store_close(struct rt_store **store)
{
    if (!*store)
        return;
    for (struct block *block = (*store)->blocks; block; block = block->next)
        hs_block_free(block->data, block->size_bytes);
    hs_arena_free(&(*store)->arena);
    hs_free((*store)->entries);
    hs_free(*store);
    *store = NULL;
}

static const struct entry *find_entry(const struct rt_store *store, const char *tensor,
                                      enum tn_layout layout)
{
    for (int32_t i = 0; i < store->count; i++)
        if (store->entries[i].layout == layout && strcmp(store->entries[i].tensor, tensor) == 0)
            return &store->entries[i];
    return NULL;
}

const void *rt_store_find(const struct rt_store *store, const struct pl_constant *constant)
{
    const struct entry *entry =
        constant->is_used ? find_entry(store, constant->tensor, constant->layout) : NULL;
    return entry ? entry->data : NULL;
}

size_t rt_store_bytes(const struct rt_store *store)
{
    return store->bytes;
}

static enum hasten_status add_entry(struct rt_store *store, const struct pl_constant *constant,
                                    uint8_t *data, struct hs_error *error)
{
    if (store->count == store->capacity) {
        int32_t capacity = store->capacity ? 2 * store->capacity : 256;
        struct entry *grown = hs_realloc(store->entries, (size_t)capacity, sizeof *grown);
        if (!grown)
            return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the constant store");
        store->entries = grown;
        store->capacity = capacity;
    }
    char *tensor = hs_arena_strndup(&store->arena, constant->tensor, strlen(constant->tensor));
    if (!tensor)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the constant store");
    store->entries[store->count++] =
        (struct entry){tensor, constant->layout, data, constant->size_bytes};
    return HASTEN_OK;
}

static bool is_missing(const struct rt_store *store, const struct pl_constant *constant)
{
    return constant->is_used && !find_entry(store, constant->tensor, constant->layout);
}

/* Block for all constants of the plan that are not there yet; each starts on a cache line. */
static enum hasten_status new_block(struct rt_store *store, const struct pl_plan *plan,
                                    struct hs_error *error, struct block **block_out)
{
    size_t total = 0;
    for (int32_t i = 0; i < plan->constant_count; i++) {
        size_t aligned;
        if (!is_missing(store, &plan->constants[i]))
            continue;
        if (!hs_size_align(plan->constants[i].size_bytes, 64, &aligned) ||
            !hs_size_add(total, aligned, &total))
            return hs_fail(error, HASTEN_LIMIT, NULL,
                           "the model's weights exceed the address space");
    }
    *block_out = NULL;
    if (total == 0)
        return HASTEN_OK;
    struct block *block = hs_arena_alloc(&store->arena, 1, sizeof *block);
    if (!block || !(block->data = hs_block_new(total)))
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "use a smaller or more quantized model",
                       "no memory for %zu MiB of weights", total >> 20);
    block->size_bytes = total;
    block->next = store->blocks;
    store->blocks = block;
    store->bytes += total;
    *block_out = block;
    return HASTEN_OK;
}

struct pack_job {
    const struct pl_constant *constant;
    const void *source;
    uint8_t *target;
};

static void pack_one_panel(void *context, long panel)
{
    const struct pack_job *job = context;
    kn_pack_panels(job->constant->dtype, job->source, job->constant->rows, job->constant->cols,
                   panel, panel + 1, job->target);
}

/* Fills one constant from its file tensor, then lets the source drop the file's pages. */
static enum hasten_status evaluate(struct rt_store *store, const struct pl_constant *constant,
                                   struct hs_team *team, uint8_t *target, struct hs_error *error)
{
    size_t have = 0, want = 0;
    const void *bytes = store->source.tensor(store->source.context, constant->tensor, &have);
    if (!bytes)
        return hs_fail(error, HASTEN_NOT_FOUND, NULL, "tensor '%s' is missing", constant->tensor);
    if (!tn_weight_bytes(constant->dtype, TN_LAYOUT_ROWS, constant->rows, constant->cols, &want) ||
        want != have)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, "download the model again",
                       "tensor '%s' has %zu bytes, expected %zu", constant->tensor, have, want);
    if (constant->layout == TN_LAYOUT_ROWS) {
        memcpy(target, bytes, have);
    } else {
        struct pack_job job = {constant, bytes, target};
        long panels = (long)((constant->rows + TN_PANEL_ROWS - 1) / TN_PANEL_ROWS);
        hs_team_for(team, panels, panels > 256 ? 16 : 4, pack_one_panel, &job);
    }
    if (store->source.dropped)
        store->source.dropped(store->source.context, constant->tensor);
    return HASTEN_OK;
}

enum hasten_status rt_store_prepare(struct rt_store *store, const struct pl_plan *plan,
                                    struct hs_team *team, struct hs_error *error)
{
    struct block *block;
    size_t used = 0;
    HS_TRY(new_block(store, plan, error, &block));
    for (int32_t i = 0; i < plan->constant_count; i++) {
        const struct pl_constant *constant = &plan->constants[i];
        if (!is_missing(store, constant))
            continue;
        uint8_t *target = (uint8_t *)block->data + used;
        HS_TRY(evaluate(store, constant, team, target, error));
        HS_TRY(add_entry(store, constant, target, error));
        used += (constant->size_bytes + 63) & ~(size_t)63;
    }
    return HASTEN_OK;
}

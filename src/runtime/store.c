/* Constant store; see store.h. Lookup is a linear scan: it happens once per constant when a run is
 * opened (a few hundred entries), never in a step. */
#include "runtime/store.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/memory_limit.h"
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
    uint64_t available = hs_memory_available_bytes(); /* else the system swaps or kills */
    if (total > available)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY,
                       "end other programs, or use a smaller or more quantized model",
                       "the weights need %zu MiB, %llu MiB of memory are free", total >> 20,
                       (unsigned long long)(available >> 20));
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

/* --- reading and packing --- */

/* All constants are cut into pieces that the members claim in order, several at a time: neighbours
 * in the block mostly lie in one huge page, which then one member touches first and clears; when
 * two do so at once, both clear 2 MiB and one of them for nothing. */
enum {
    PIECE_BYTES = 256 << 10, /* read at once: fits a core's cache together with its packed form */
    PIECES_PER_CLAIM = 8,
    CLAIMS_PER_MEMBER = 8 /* at least, so that all finish at about the same time */
};

/* What each member works with; on cache lines of its own. */
struct reader {
    _Alignas(64) uint8_t *buffer; /* [piece bytes] */
    enum hasten_status status;
    struct hs_error error;
};

/* One constant on its way from the source to its place, cut into pieces of whole panels (or of
 * bytes when the layout stays as it is). */
struct part {
    const struct pl_constant *constant;
    const void *tensor; /* the source's */
    size_t size_bytes;  /* in the source */
    size_t piece_bytes; /* of the source, the last one may be shorter */
    size_t first_piece; /* pieces of all parts before it */
    uint8_t *target;
};

struct job {
    const struct rt_source *source;
    struct part *parts;
    int32_t part_count;
    size_t pieces, claim;   /* of all parts; claimed at once */
    struct reader *readers; /* [threads] */
    _Atomic size_t next;    /* piece that is claimed next; past the end after a failure */
};

static bool is_packed(const struct pl_constant *constant)
{
    return constant->layout != TN_LAYOUT_ROWS;
}

/* Source bytes of a panel's rows. */
static size_t panel_source_bytes(const struct pl_constant *constant)
{
    size_t row_bytes = 0;
    (void)!tn_row_bytes(constant->dtype, constant->cols, &row_bytes); /* was checked */
    return row_bytes * TN_PANEL_ROWS;
}

static size_t piece_bytes_of(const struct pl_constant *constant)
{
    if (!is_packed(constant))
        return PIECE_BYTES;
    size_t panel = panel_source_bytes(constant);
    return panel < PIECE_BYTES ? PIECE_BYTES / panel * panel : panel;
}

/* Rows [first panel * 32 ...) as a matrix of their own: panels lie one behind the other. */
static void pack_piece(const struct part *part, size_t first, size_t size_bytes,
                       const uint8_t *buffer)
{
    const struct pl_constant *constant = part->constant;
    size_t panel_bytes = panel_source_bytes(constant), panel = first / panel_bytes;
    int64_t rows = (int64_t)(size_bytes / (panel_bytes / TN_PANEL_ROWS));
    kn_pack_panels(constant->dtype, buffer, rows, constant->cols, 0,
                   (rows + TN_PANEL_ROWS - 1) / TN_PANEL_ROWS,
                   part->target + panel * tn_panel_bytes(constant->dtype, constant->cols));
}

static enum hasten_status read_piece(const struct job *job, const struct part *part, size_t piece,
                                     struct reader *reader)
{
    const struct rt_source *source = job->source;
    const size_t first = (piece - part->first_piece) * part->piece_bytes;
    const size_t left = part->size_bytes - first;
    const size_t size_bytes = left < part->piece_bytes ? left : part->piece_bytes;
    uint8_t *to = is_packed(part->constant) ? reader->buffer : part->target + first;
    HS_TRY(source->read(source->context, part->tensor, first, to, size_bytes, &reader->error));
    if (is_packed(part->constant))
        pack_piece(part, first, size_bytes, reader->buffer);
    return HASTEN_OK;
}

static void read_pieces(void *context, int member, int threads)
{
    struct job *job = context;
    struct reader *reader = &job->readers[member];
    const struct part *part = job->parts, *last = part + job->part_count - 1;
    (void)threads;
    for (;;) {
        size_t piece = atomic_fetch_add_explicit(&job->next, job->claim, memory_order_relaxed);
        size_t end = piece + job->claim;
        for (; piece < end; piece++) {
            if (piece >= job->pieces)
                return;
            while (part < last && piece >= part[1].first_piece)
                part++;
            reader->status = read_piece(job, part, piece, reader);
            if (reader->status != HASTEN_OK) { /* nobody begins another piece */
                atomic_store_explicit(&job->next, job->pieces, memory_order_relaxed);
                return;
            }
        }
    }
}

/* The constant's source, with its size checked, as the next part of the job. */
static enum hasten_status add_part(struct rt_store *store, const struct pl_constant *constant,
                                   uint8_t *target, struct job *job, struct hs_error *error)
{
    struct part *part = &job->parts[job->part_count];
    size_t want = 0;
    *part = (struct part){.constant = constant, .first_piece = job->pieces, .target = target};
    part->tensor = store->source.find(store->source.context, constant->tensor, &part->size_bytes);
    if (!part->tensor)
        return hs_fail(error, HASTEN_NOT_FOUND, NULL, "tensor '%s' is missing", constant->tensor);
    if (!tn_weight_bytes(constant->dtype, TN_LAYOUT_ROWS, constant->rows, constant->cols, &want) ||
        want != part->size_bytes)
        return hs_fail(error, HASTEN_CORRUPT_INPUT, "download the model again",
                       "tensor '%s' has %zu bytes, expected %zu", constant->tensor,
                       part->size_bytes, want);
    part->piece_bytes = piece_bytes_of(constant);
    job->pieces += (part->size_bytes + part->piece_bytes - 1) / part->piece_bytes;
    job->part_count++;
    return HASTEN_OK;
}

/* Buffers of all members in one block; *size_bytes_out as hs_block_free wants it. */
static struct reader *new_readers(const struct pl_plan *plan, int threads, size_t *size_bytes_out)
{
    size_t buffer = 64, each, total;
    for (int32_t i = 0; i < plan->constant_count; i++) {
        const struct pl_constant *constant = &plan->constants[i];
        if (constant->is_used && is_packed(constant) && piece_bytes_of(constant) > buffer)
            buffer = piece_bytes_of(constant);
    }
    if (!hs_size_align(buffer, 64, &buffer) || !hs_size_add(buffer, sizeof(struct reader), &each) ||
        !hs_size_mul(each, (size_t)threads, &total))
        return NULL;
    struct reader *readers = hs_block_new(total);
    for (int m = 0; readers && m < threads; m++)
        readers[m].buffer = (uint8_t *)(readers + threads) + (size_t)m * buffer;
    *size_bytes_out = total;
    return readers;
}

/* Reads all parts over the team. */
static enum hasten_status run_job(struct job *job, struct hs_team *team, struct hs_error *error)
{
    const size_t threads = (size_t)hs_team_threads(team);
    job->claim = job->pieces / (threads * CLAIMS_PER_MEMBER);
    job->claim = job->claim < 1 ? 1 : job->claim > PIECES_PER_CLAIM ? PIECES_PER_CLAIM : job->claim;
    hs_team_run(team, read_pieces, job);
    for (size_t m = 0; m < threads; m++)
        if (job->readers[m].status != HASTEN_OK) {
            if (error)
                *error = job->readers[m].error;
            return job->readers[m].status;
        }
    return HASTEN_OK;
}

static enum hasten_status fill_block(struct rt_store *store, const struct pl_plan *plan,
                                     struct hs_team *team, struct block *block, struct job *job,
                                     struct hs_error *error)
{
    size_t used = 0;
    for (int32_t i = 0; i < plan->constant_count; i++) {
        const struct pl_constant *constant = &plan->constants[i];
        if (!is_missing(store, constant))
            continue;
        HS_TRY(add_part(store, constant, (uint8_t *)block->data + used, job, error));
        used += (constant->size_bytes + 63) & ~(size_t)63;
    }
    HS_TRY(run_job(job, team, error));
    for (int32_t i = 0; i < job->part_count; i++)
        HS_TRY(add_entry(store, job->parts[i].constant, job->parts[i].target, error));
    return HASTEN_OK;
}

enum hasten_status rt_store_prepare(struct rt_store *store, const struct pl_plan *plan,
                                    struct hs_team *team, struct hs_error *error)
{
    struct block *block;
    size_t readers_bytes = 0;
    HS_TRY(new_block(store, plan, error, &block));
    if (!block)
        return HASTEN_OK;
    struct job job = {.source = &store->source};
    job.parts = hs_calloc((size_t)plan->constant_count, sizeof *job.parts);
    job.readers = new_readers(plan, hs_team_threads(team), &readers_bytes);
    enum hasten_status status = job.parts && job.readers
                                    ? fill_block(store, plan, team, block, &job, error)
                                    : hs_fail(error, HASTEN_OUT_OF_MEMORY, "use fewer threads",
                                              "no memory for reading weights");
    hs_block_free(job.readers, readers_bytes);
    hs_free(job.parts);
    return status;
}

/*
 * Executor.
 *
 * All members of the team walk the plan together. An instruction's units are dealt as chunks:
 * every member has a claim word (tag, next chunk, end chunk) for its own contiguous range and
 * empties that first, then steals from the others, so a member that the system does not schedule
 * delays only the chunk it holds. The tag is the instruction's sequence number: a late member that
 * still looks at an older instruction can never claim a chunk of a newer one (compare-and-swap on
 * the whole word).
 *
 * An instruction is complete when the count of finished chunks reaches its total; the member that
 * finishes the last chunk sets up the next instruction and publishes its number. That is a barrier
 * in which nobody waits for a member that had nothing to do. Instructions of one chunk are executed
 * by that member at once without being published: a run of narrow instructions costs no
 * synchronisation at all.
 *
 * Invariants:
 *   I1  `sequence` only grows; sequence - base is the index of the current instruction.
 *   I2  claim words, total and chunk size of instruction i are written only by the member that
 *       completed i-1, before it publishes i (release); they are read after acquiring i.
 *   I3  whoever holds a claimed chunk of i keeps i from completing, so call data read after a
 *       successful claim is that of i.
 *   I4  the first error wins; after it chunks are still claimed and counted but not executed, so
 *       all members meet at the end.
 */
#include "runtime/run.h"

#include <stdatomic.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/clock.h"
#include "base/memory.h"

enum { CHUNKS_PER_MEMBER = 8, CHUNKS_MAX = 0xffff };

struct claim {
    _Alignas(64) _Atomic uint64_t word; /* tag:32 | next:16 | end:16 */
};

struct rt_run {
    const struct pl_plan *plan;
    const void **constants;  /* [plan.constant_count] */
    struct kn_state *states; /* [plan.state_count] */
    uint8_t *arena;
    uint8_t *scratch; /* [threads][scratch_bytes] */
    size_t arena_bytes, scratch_bytes;
    int threads;

    /* of the current step */
    const struct kn_batch *batch;
    const int32_t *tokens;
    int members;
    uint32_t base;
    int32_t instructions;               /* of the plan's: all, or without the head */
    int32_t units, chunk_units, chunks; /* of the current instruction */
    struct claim *claims;               /* [threads] */
    _Alignas(64) _Atomic uint32_t sequence;
    _Alignas(64) _Atomic int32_t done;
    _Alignas(64) _Atomic int status; /* enum hasten_status, first error */
    _Atomic int failed_instruction;
    _Atomic bool cancel;
    const atomic_bool *watched; /* NULL: none */

    bool profiling;
    struct rt_profile_row *profile;
    uint64_t last_ns;
};

static enum hasten_status allocate_run(struct rt_run *run, struct hs_error *error)
{
    const struct pl_plan *plan = run->plan;
    size_t scratch_total;
    run->scratch_bytes = (plan->scratch_bytes + 4095) & ~(size_t)4095;
    run->arena_bytes = plan->arena_bytes;
    run->constants = hs_calloc((size_t)plan->constant_count + 1, sizeof *run->constants);
    run->states = hs_calloc((size_t)plan->state_count + 1, sizeof *run->states);
    run->profile = hs_calloc((size_t)plan->instruction_count + 1, sizeof *run->profile);
    run->claims = hs_block_new((size_t)run->threads * sizeof *run->claims);
    run->arena = hs_block_new(run->arena_bytes + 64);
    bool fits = hs_size_mul(run->scratch_bytes, (size_t)run->threads, &scratch_total);
    run->scratch = fits ? hs_block_new(scratch_total + 64) : NULL;
    if (!run->constants || !run->states || !run->profile || !run->claims || !run->arena ||
        !run->scratch)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "lower the number of tokens per step",
                       "no memory for a run (%zu MiB)", run->arena_bytes >> 20);
    return HASTEN_OK;
}

static enum hasten_status bind_operands(struct rt_run *run, const struct rt_store *store,
                                        const struct rt_cache *cache, struct hs_error *error)
{
    const struct pl_plan *plan = run->plan;
    for (int32_t i = 0; i < plan->constant_count; i++) {
        run->constants[i] = rt_store_find(store, &plan->constants[i]);
        if (plan->constants[i].is_used && !run->constants[i])
            return hs_fail(error, HASTEN_INTERNAL, NULL, "constant '%s' was not prepared",
                           plan->constants[i].tensor);
    }
    for (int32_t i = 0; i < plan->state_count; i++)
        run->states[i] = rt_cache_state(cache, plan, i);
    return HASTEN_OK;
}

enum hasten_status rt_run_open(const struct pl_plan *plan, const struct rt_store *store,
                               const struct rt_cache *cache, int threads, struct hs_error *error,
                               struct rt_run **run_out)
{
    struct rt_run *run = hs_block_new(sizeof *run); /* cache-line aligned members */
    if (!run)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a run");
    run->plan = plan;
    run->threads = threads;
    enum hasten_status status = allocate_run(run, error);
    if (status == HASTEN_OK)
        status = bind_operands(run, store, cache, error);
    if (status != HASTEN_OK) {
        rt_run_close(&run);
        return status;
    }
    *run_out = run;
    return HASTEN_OK;
}

void rt_run_close(struct rt_run **run_in)
{
    struct rt_run *run = *run_in;
    if (!run)
        return;
    if (run->claims)
        hs_block_free(run->claims, (size_t)run->threads * sizeof *run->claims);
    if (run->arena)
        hs_block_free(run->arena, run->arena_bytes + 64);
    if (run->scratch)
        hs_block_free(run->scratch, run->scratch_bytes * (size_t)run->threads + 64);
    hs_free(run->constants);
    hs_free(run->states);
    hs_free(run->profile);
    hs_block_free(run, sizeof *run);
    *run_in = NULL;
}

static int64_t bind_rows(const struct rt_run *run, const struct ir_dim_expr *rows)
{
    int64_t symbol = rows->symbol == IR_SYM_TOKENS   ? run->batch->tokens
                     : rows->symbol == IR_SYM_WANTED ? run->batch->wanted_rows
                                                     : 0;
    return rows->mul * symbol + rows->add;
}

static void *resolve(struct rt_run *run, struct pl_operand operand)
{
    switch (operand.space) {
    case PL_ARENA:
        return run->arena + operand.offset;
    case PL_CONST:
        return (void *)(uintptr_t)run->constants[operand.offset];
    case PL_STATE:
        return &run->states[operand.offset];
    case PL_INPUT:
        return (void *)(uintptr_t)run->tokens;
    case PL_NONE:
        break;
    }
    return NULL;
}

static void bind_call(struct rt_run *run, int32_t index, struct kn_call *call)
{
    const struct pl_instruction *instruction = &run->plan->instructions[index];
    call->batch = run->batch;
    call->rows = bind_rows(run, &instruction->rows);
    call->attrs = instruction->attrs;
    call->inputs = instruction->inputs;
    call->outputs = instruction->outputs;
    for (int32_t i = 0; i < instruction->inputs + instruction->outputs; i++)
        call->operand[i] = resolve(run, instruction->operand[i]);
    call->workspace_bytes = instruction->workspace_bytes;
    call->workspace = call->workspace_bytes ? run->arena + instruction->workspace : NULL;
}

static void fail_run(struct rt_run *run, enum hasten_status status, int32_t index)
{
    int expected = HASTEN_OK;
    if (atomic_compare_exchange_strong(&run->status, &expected, (int)status))
        atomic_store_explicit(&run->failed_instruction, index, memory_order_relaxed);
}

static bool has_failed(struct rt_run *run)
{
    return atomic_load_explicit(&run->status, memory_order_relaxed) != HASTEN_OK;
}

static bool is_cancelled(const struct rt_run *run)
{
    return atomic_load_explicit(&run->cancel, memory_order_relaxed) ||
           (run->watched && atomic_load_explicit(run->watched, memory_order_relaxed));
}

/* Executes units [first, last) unless the run has failed or is cancelled. */
static void execute(struct rt_run *run, int member, int32_t index, const struct kn_call *call,
                    int32_t first, int32_t last)
{
    if (is_cancelled(run))
        fail_run(run, HASTEN_CANCELLED, index);
    if (has_failed(run))
        return;
    void *scratch = run->scratch + (size_t)member * run->scratch_bytes;
    enum hasten_status status =
        run->plan->instructions[index].kernel->run(call, first, last, scratch);
    if (status != HASTEN_OK)
        fail_run(run, status, index);
}

static void record(struct rt_run *run, int32_t index, int64_t rows)
{
    uint64_t now = hs_clock_ns();
    run->profile[index].calls++;
    run->profile[index].rows += (uint64_t)rows;
    run->profile[index].total_ns += now - run->last_ns;
    run->last_ns = now;
}

/* Deals the chunks of the current instruction to the members' claim words (I2). */
static void deal(struct rt_run *run, uint32_t tag)
{
    for (int m = 0; m < run->members; m++) {
        uint64_t next = (uint64_t)run->chunks * (uint64_t)m / (uint64_t)run->members;
        uint64_t end = (uint64_t)run->chunks * (uint64_t)(m + 1) / (uint64_t)run->members;
        atomic_store_explicit(&run->claims[m].word, (uint64_t)tag << 32 | next << 16 | end,
                              memory_order_relaxed);
    }
}

/*
 * Instruction `index - 1` is complete (or the step starts): executes narrow instructions inline
 * until one is worth sharing, deals that one and publishes it; at the end of the plan publishes
 * the end.
 */
static void advance(struct rt_run *run, int member, int32_t index)
{
    struct kn_call call;
    for (; index < run->instructions; index++) {
        bind_call(run, index, &call);
        const struct kn_kernel *kernel = run->plan->instructions[index].kernel;
        int64_t units = has_failed(run) ? 0 : kernel->units(&call);
        if (units > 0 && kernel->begin)
            kernel->begin(&call);
        int64_t chunk =
            (units + run->members * CHUNKS_PER_MEMBER - 1) / (run->members * CHUNKS_PER_MEMBER);
        int64_t chunks = chunk > 0 ? (units + chunk - 1) / chunk : 0;
        if (chunks > 1 && run->members > 1) {
            run->units = (int32_t)units;
            run->chunk_units = (int32_t)chunk;
            run->chunks = (int32_t)chunks;
            break;
        }
        for (int64_t u = 0; u < units; u += chunk)
            execute(run, member, index, &call, (int32_t)u,
                    (int32_t)(u + chunk < units ? u + chunk : units));
        if (run->profiling)
            record(run, index, call.rows);
    }
    uint32_t tag = run->base + (uint32_t)index;
    if (index < run->instructions)
        deal(run, tag);
    atomic_store_explicit(&run->done, 0, memory_order_relaxed);
    atomic_store_explicit(&run->sequence, tag, memory_order_release);
}

/* Takes the next chunk of `victim`'s range if it belongs to instruction `tag`. */
static bool claim_chunk(struct rt_run *run, int victim, uint32_t tag, int32_t *chunk_out)
{
    _Atomic uint64_t *word = &run->claims[victim].word;
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
    for (;;) {
        uint32_t next = (uint32_t)(value >> 16) & CHUNKS_MAX, end = (uint32_t)value & CHUNKS_MAX;
        if ((uint32_t)(value >> 32) != tag || next >= end)
            return false;
        if (atomic_compare_exchange_weak_explicit(word, &value, value + (1u << 16),
                                                  memory_order_acq_rel, memory_order_relaxed)) {
            *chunk_out = (int32_t)next;
            return true;
        }
    }
}

/* All chunks this member can get of instruction `tag`; returns true when it finished the last one
 * of the instruction and must advance. */
static bool work_on(struct rt_run *run, int member, uint32_t tag)
{
    struct kn_call call;
    int32_t index = 0, finished = 0, chunk, total = 0;
    for (int k = 0; k < run->members; k++) {
        int victim = (member + k) % run->members;
        while (claim_chunk(run, victim, tag, &chunk)) {
            if (finished++ == 0) { /* I3: from here on the instruction stands still */
                index = (int32_t)(tag - run->base);
                total = run->chunks;
                bind_call(run, index, &call);
            }
            int32_t first = chunk * run->chunk_units, last = first + run->chunk_units;
            execute(run, member, index, &call, first, last < run->units ? last : run->units);
        }
    }
    if (finished == 0 ||
        atomic_fetch_add_explicit(&run->done, finished, memory_order_acq_rel) + finished != total)
        return false;
    if (run->profiling)
        record(run, index, call.rows);
    return true;
}

static void walk(void *context, int member, int threads)
{
    struct rt_run *run = context;
    (void)threads;
#if defined(__x86_64__)
    unsigned saved = _mm_getcsr();
    _mm_setcsr(0x9fc0); /* all exceptions masked, round to nearest, denormals are zero */
#endif
    uint32_t end = run->base + (uint32_t)run->instructions;
    if (member == 0)
        advance(run, member, 0);
    unsigned rounds = 0;
    uint32_t seen = run->base - 1; /* nothing published yet */
    for (;;) {
        uint32_t tag = atomic_load_explicit(&run->sequence, memory_order_acquire);
        if (tag == end)
            break;
        if (tag == seen) {
            hs_spin_wait(&rounds);
            continue;
        }
        rounds = 0;
        seen = tag;
        if (work_on(run, member, tag))
            advance(run, member, (int32_t)(tag - run->base) + 1);
    }
#if defined(__x86_64__)
    _mm_setcsr(saved);
#endif
}

enum hasten_status rt_run_step(struct rt_run *run, const struct rt_batch *batch,
                               struct hs_team *team, struct hs_error *error,
                               const float **logits_out)
{
    run->batch = rt_batch_view(batch);
    run->tokens = rt_batch_tokens(batch);
    run->members = hs_team_threads(team);
    if (run->members > run->threads || run->batch->tokens > run->plan->limits.tokens_max ||
        run->batch->wanted_rows > run->plan->limits.wanted_max)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "the step exceeds the plan's bounds");
    run->instructions =
        rt_batch_wants_logits(batch) ? run->plan->instruction_count : run->plan->hidden_count;
    /* A base of its own for every step: no number of an earlier step is ever published again
     * (until 2^32 instructions later, when no member can still be looking at it). The number
     * before the base means "nothing published". */
    run->base = atomic_load_explicit(&run->sequence, memory_order_relaxed) + 2;
    atomic_store_explicit(&run->sequence, run->base - 1, memory_order_relaxed);
    atomic_store_explicit(&run->status, HASTEN_OK, memory_order_relaxed);
    atomic_store_explicit(&run->cancel, false, memory_order_relaxed);
    if (run->profiling)
        run->last_ns = hs_clock_ns();

    hs_team_run(team, walk, run);

    enum hasten_status status =
        (enum hasten_status)atomic_load_explicit(&run->status, memory_order_relaxed);
    if (status == HASTEN_CANCELLED)
        return hs_fail(error, status, NULL, "the step was cancelled");
    if (status != HASTEN_OK) {
        int32_t index = atomic_load_explicit(&run->failed_instruction, memory_order_relaxed);
        return hs_fail(error, status, NULL, "instruction %d (%s) failed", (int)index,
                       run->plan->instructions[index].kernel->name);
    }
    *logits_out = resolve(run, run->plan->logits);
    return HASTEN_OK;
}

const float *rt_run_hidden(struct rt_run *run)
{
    return resolve(run, run->plan->hidden);
}

void rt_run_cancel(struct rt_run *run)
{
    atomic_store_explicit(&run->cancel, true, memory_order_relaxed);
}

void rt_run_watch(struct rt_run *run, const atomic_bool *flag)
{
    run->watched = flag;
}

void rt_run_profile(struct rt_run *run, bool on)
{
    run->profiling = on;
    memset(run->profile, 0, (size_t)run->plan->instruction_count * sizeof *run->profile);
}

const struct rt_profile_row *rt_run_profile_rows(const struct rt_run *run)
{
    return run->profile;
}

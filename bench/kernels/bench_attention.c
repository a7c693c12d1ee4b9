/*
 * bench_attention: microseconds per layer of the attention kernels that this machine supports, in
 * the shape of SmolLM2-135M (9 query heads, 3 KV heads, head_dim 64, 30 layers), for every type of
 * pages, whole and cut into slices.
 *
 * All 30 layers are run in turn over pages in random order, as in a step, so K and V come from
 * where they would come from there (2.9 MB per 128 positions in f16). Figures are the median of the
 * rounds, variants interleaved. Decode: one row at KV length L. Prefill: rows at the end of L.
 * With several threads the units are dealt as the executor deals them, a meeting per layer.
 *
 * Usage: bench_attention [rounds [threads [part of a kernel's name]]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/team.h"
#include "bench_sort.h"
#include "kernels/kernel.h"

enum { HEADS = 9, KV_HEADS = 3, HEAD_DIM = 64, LAYERS = 30, LENGTH_MAX = 4096, VARIANTS_MAX = 32 };
enum { ROUNDS_MAX = 1001, ROWS_MAX = 512, PAGES = LENGTH_MAX / TN_PAGE_POSITIONS, TYPES = 4 };
enum { SCRATCH_BYTES = 8 << 20, CHUNKS_PER_MEMBER = 8 };

static const enum tn_dtype types[TYPES] = {TN_F32, TN_F16, TN_BF16, TN_Q8_0};

struct bench_case {
    const char *name;
    int32_t rows, kv_len;
};

static const struct bench_case cases[] = {
    {"decode L=128", 1, 128},       {"decode L=300", 1, 300},        {"decode L=512", 1, 512},
    {"decode L=1024", 1, 1024},     {"decode L=2048", 1, 2048},      {"decode L=4096", 1, 4096},
    {"prefill 8 of 2048", 8, 2048}, {"prefill 512 of 512", 512, 512}};

struct bench {
    struct kn_batch batch;
    struct kn_state states[TYPES];
    struct op_attention_attrs attrs;
    struct kn_call call;
    int32_t row_start[2], kv_len[1], first[1], table[PAGES];
    int32_t seq_of_row[ROWS_MAX], position[ROWS_MAX];
    uint8_t *scratch; /* per thread */
    uint8_t *workspace;
    struct hs_team *team;
    int threads;
    /* of the layer that runs */
    const struct kn_kernel *kernel;
    int64_t units, grain;
};

struct variant {
    const struct kn_kernel *kernel;
    int type;
    bool slices;
    double times[ROUNDS_MAX];
};

static bool fill_pool(struct kn_state *state, enum tn_dtype dtype)
{
    if (tn_kv_layout_init(dtype, KV_HEADS, HEAD_DIM, NULL, &state->layout) != HASTEN_OK)
        return false;
    state->page_bytes = LAYERS * state->layout.layer_bytes;
    state->pool = hs_block_new(PAGES * state->page_bytes);
    if (!state->pool)
        return false;
    uint16_t *half = (void *)state->pool; /* numbers around 1 in f16 and bf16, small ones in f32 */
    for (size_t i = 0; i < PAGES * state->page_bytes / 2; i++)
        half[i] = (uint16_t)(0x3000 + i * 2654435761u % 0x0c00 + (i % 3 ? 0x8000 : 0));
    return true;
}

static bool set_up(struct bench *b)
{
    const size_t values = (size_t)ROWS_MAX * HEADS * HEAD_DIM;
    for (int i = 0; i < TYPES; i++)
        if (!fill_pool(&b->states[i], types[i]))
            return false;
    for (int32_t i = 0; i < PAGES; i++) /* a fixed permutation: 37 is odd, PAGES a power of two */
        b->table[i] = (i * 37 + 11) % PAGES;
    float *q = hs_block_new(values * sizeof(float));
    void *out = hs_block_new(values * sizeof(float));
    b->scratch = hs_block_new((size_t)SCRATCH_BYTES * (size_t)b->threads);
    b->workspace = hs_block_new(SCRATCH_BYTES);
    if (!q || !out || !b->scratch || !b->workspace)
        return false;
    for (size_t i = 0; i < values; i++)
        q[i] = (float)(i * 2654435761u % 1024) / 512.0f - 1.0f;
    b->attrs = (struct op_attention_attrs){
        .heads = HEADS, .kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .causal = 1, .scale = 0.125f};
    b->batch = (struct kn_batch){.sequences = 1,
                                 .groups = 1,
                                 .table_stride = PAGES,
                                 .row_start = b->row_start,
                                 .kv_len = b->kv_len,
                                 .seq_of_row = b->seq_of_row,
                                 .position = b->position};
    b->batch.group[0].first = b->first;
    b->batch.group[0].table = b->table;
    b->call = (struct kn_call){.batch = &b->batch,
                               .attrs = &b->attrs,
                               .operand = {q, NULL, NULL, out},
                               .inputs = 3,
                               .outputs = 1};
    return hs_team_open(b->threads, NULL, &b->team) == HASTEN_OK;
}

/* Members take turns at chunks of units, as the executor deals them, without stealing. */
static void run_member(void *context, int member, int threads)
{
    struct bench *b = context;
    const int64_t chunks = (b->units + b->grain - 1) / b->grain;
    for (int64_t c = chunks * member / threads; c < chunks * (member + 1) / threads; c++) {
        const int64_t first = c * b->grain, last = first + b->grain;
        (void)!b->kernel->run(&b->call, first, last < b->units ? last : b->units,
                              b->scratch + (size_t)member * SCRATCH_BYTES);
    }
}

/* Microseconds per layer of one pass over all layers. */
static double run_layers(struct bench *b, const struct variant *v)
{
    const struct kn_bounds bounds = {16, LENGTH_MAX};
    b->kernel = v->kernel;
    b->attrs.kv_dtype = (int32_t)types[v->type];
    b->call.operand[1] = &b->states[v->type];
    b->call.workspace = v->slices ? b->workspace : NULL;
    b->call.workspace_bytes = v->slices ? v->kernel->workspace_bytes(&b->attrs, &bounds) : 0;
    uint64_t start = hs_clock_ns();
    for (int layer = 0; layer < LAYERS; layer++) {
        b->attrs.kv_layer = layer;
        b->units = v->kernel->units(&b->call);
        b->grain =
            (b->units + CHUNKS_PER_MEMBER * b->threads - 1) / (CHUNKS_PER_MEMBER * b->threads);
        v->kernel->begin(&b->call);
        hs_team_run(b->team, run_member, b);
    }
    return (double)(hs_clock_ns() - start) / 1e3 / LAYERS;
}

/* What can run here: kernels by types of pages, with and without slices. */
static int list_variants(struct bench *b, const char *name, struct variant *variants)
{
    int count = 0;
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kn_at(i);
        if (kernel->op != OP_ATTENTION || kernel->cpu_class == HS_CPU_CLASS_REF ||
            kernel->cpu_class > hs_cpu_get()->best || !strstr(kernel->name, name))
            continue;
        for (int k = 0; k < 2 * TYPES && count < VARIANTS_MAX; k++) {
            b->attrs.kv_dtype = (int32_t)types[k / 2];
            if (kernel->accepts(&b->attrs))
                variants[count++] =
                    (struct variant){.kernel = kernel, .type = k / 2, .slices = k % 2};
        }
    }
    return count;
}

static void run_case(struct bench *b, const struct bench_case *c, int rounds, const char *name)
{
    static struct variant variants[VARIANTS_MAX];
    b->batch.tokens = b->row_start[1] = c->rows;
    b->kv_len[0] = c->kv_len;
    b->call.rows = c->rows;
    const int count = list_variants(b, name, variants);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < count; i++)
            variants[i].times[round] = run_layers(b, &variants[i]);
    double pairs = 0; /* query row, position */
    for (int32_t r = 0; r < c->rows; r++)
        pairs += c->kv_len - c->rows + r + 1;
    double flops = pairs * HEADS * HEAD_DIM * 4;
    for (int i = 0; i < count; i++) {
        const struct variant *v = &variants[i];
        double bytes =
            (double)c->kv_len / TN_PAGE_POSITIONS * (double)b->states[v->type].layout.layer_bytes;
        bench_sort(variants[i].times, (size_t)rounds);
        double us = v->times[rounds / 2];
        printf("%-18s %-22s %-4s %-6s %8.2f us/layer (best %8.2f) %6.1f GFLOP/s %5.1f GB/s of KV\n",
               c->name, v->kernel->name, tn_dtype_info(types[v->type])->name,
               v->slices ? "slices" : "whole", us, v->times[0], flops / us / 1e3, bytes / us / 1e3);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    int rounds = argc > 1 ? atoi(argv[1]) : 21;
    b.threads = argc > 2 ? atoi(argv[2]) : 1;
    if (rounds < 1 || rounds > ROUNDS_MAX || b.threads < 1 || b.threads > 64 || !set_up(&b)) {
        fprintf(stderr, "usage: bench_attention [rounds 1..%d [threads 1..64 [kernel]]]\n",
                ROUNDS_MAX);
        return 2;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_case(&b, &cases[i], rounds, argc > 3 ? argv[3] : "");
    hs_team_close(&b.team);
    return 0;
}

/*
 * bench_attention: microseconds per layer of every attention kernel that this machine supports, in
 * the shape of SmolLM2-135M (9 query heads, 3 KV heads, head_dim 64, 30 layers), one thread.
 *
 * All 30 layers are run in turn over pages in random order, as in a step, so K and V come from
 * where they would come from there (2.9 MB per 128 positions). Figures are the median of the
 * rounds, kernels interleaved. Decode: one row at KV length L. Prefill: 512 rows from depth 0.
 *
 * Usage: bench_attention [rounds]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/kernel.h"

enum { HEADS = 9, KV_HEADS = 3, HEAD_DIM = 64, LAYERS = 30, LENGTH_MAX = 4096, KERNELS_MAX = 16 };
enum { ROUNDS_MAX = 1001, ROWS_MAX = 512, PAGES = LENGTH_MAX / TN_PAGE_POSITIONS };

struct bench_case {
    const char *name;
    int32_t rows, kv_len;
};

static const struct bench_case cases[] = {{"decode L=128", 1, 128},
                                          {"decode L=1024", 1, 1024},
                                          {"decode L=4096", 1, 4096},
                                          {"prefill 512 at 0", 512, 512}};

struct bench {
    struct kn_batch batch;
    struct kn_state state;
    struct op_attention_attrs attrs;
    struct kn_call call;
    int32_t row_start[2], kv_len[1], first[1], table[PAGES];
    int32_t seq_of_row[ROWS_MAX], position[ROWS_MAX];
    void *scratch;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool fill_pool(struct bench *b)
{
    if (tn_kv_layout_init(TN_F16, KV_HEADS, HEAD_DIM, NULL, &b->state.layout) != HASTEN_OK)
        return false;
    b->state.page_bytes = LAYERS * b->state.layout.layer_bytes;
    b->state.pool = hs_block_new(PAGES * b->state.page_bytes);
    if (!b->state.pool)
        return false;
    uint16_t *half = (void *)b->state.pool;
    for (size_t i = 0; i < PAGES * b->state.page_bytes / 2; i++)
        half[i] = (uint16_t)(0x3000 + i * 2654435761u % 0x0c00 + (i % 3 ? 0x8000 : 0));
    for (int32_t i = 0; i < PAGES; i++) /* a fixed permutation: 37 is odd, PAGES a power of two */
        b->table[i] = (i * 37 + 11) % PAGES;
    return true;
}

static bool set_up(struct bench *b)
{
    const size_t values = (size_t)ROWS_MAX * HEADS * HEAD_DIM;
    size_t a8_bytes;
    if (!fill_pool(b) || !tn_a8_bytes(ROWS_MAX, HEADS * HEAD_DIM, &a8_bytes))
        return false;
    float *q = hs_block_new(values * sizeof(float));
    void *out = hs_block_new(values * sizeof(float) > a8_bytes ? values * sizeof(float) : a8_bytes);
    b->scratch = hs_block_new((size_t)8 << 20);
    if (!q || !out || !b->scratch)
        return false;
    for (size_t i = 0; i < values; i++)
        q[i] = (float)(i * 2654435761u % 1024) / 512.0f - 1.0f;
    b->attrs = (struct op_attention_attrs){.heads = HEADS,
                                           .kv_heads = KV_HEADS,
                                           .head_dim = HEAD_DIM,
                                           .causal = 1,
                                           .scale = 0.125f,
                                           .kv_dtype = TN_F16};
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
                               .operand = {q, &b->state, NULL, out},
                               .inputs = 3,
                               .outputs = 1};
    return true;
}

/* Microseconds per layer of one pass over all layers. */
static double run_layers(struct bench *b, const struct kn_kernel *kernel)
{
    uint64_t start = hs_clock_ns();
    for (int layer = 0; layer < LAYERS; layer++) {
        b->attrs.kv_layer = layer;
        if (kernel->run(&b->call, 0, kernel->units(&b->call), b->scratch) != HASTEN_OK)
            return -1.0;
    }
    return (double)(hs_clock_ns() - start) / 1e3 / LAYERS;
}

static void run_case(struct bench *b, const struct bench_case *c, int rounds)
{
    static double times[KERNELS_MAX][ROUNDS_MAX];
    const struct kn_kernel *kernels[KERNELS_MAX];
    int count = 0;
    b->batch.tokens = b->row_start[1] = c->rows;
    b->kv_len[0] = c->kv_len;
    b->call.rows = c->rows;
    for (int i = 0; i < kn_count() && count < KERNELS_MAX; i++) {
        const struct kn_kernel *kernel = kn_at(i);
        bool fits = kernel->op == OP_ATTENTION || kernel->op == OP_ATTENTION_QUANTIZE;
        if (fits && kernel->cpu_class != HS_CPU_CLASS_REF &&
            kernel->cpu_class <= hs_cpu_get()->best && kernel->accepts(&b->attrs))
            kernels[count++] = kernel;
    }
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < count; i++)
            times[i][round] = run_layers(b, kernels[i]);
    double pairs = 0; /* query row, position */
    for (int32_t r = 0; r < c->rows; r++)
        pairs += c->kv_len - c->rows + r + 1;
    double flops = pairs * HEADS * HEAD_DIM * 4;
    double bytes = (double)c->kv_len * KV_HEADS * HEAD_DIM * 4;
    for (int i = 0; i < count; i++) {
        qsort(times[i], (size_t)rounds, sizeof(double), compare_doubles);
        double us = times[i][rounds / 2];
        printf("%-18s %-32s %9.2f us/layer (best %9.2f) %7.1f GFLOP/s %6.1f GB/s of KV\n", c->name,
               kernels[i]->name, us, times[i][0], flops / us / 1e3, bytes / us / 1e3);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    int rounds = argc > 1 ? atoi(argv[1]) : 21;
    if (rounds < 1 || rounds > ROUNDS_MAX || !set_up(&b)) {
        fprintf(stderr, "usage: bench_attention [rounds 1..%d]\n", ROUNDS_MAX);
        return 2;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_case(&b, &cases[i], rounds);
    return 0;
}

/*
 * Micro benchmark of the linear kernels of one machine class (HASTEN_CPU caps it), one thread.
 *
 *   bench_linear [TYPE] [seconds per figure] [ROWS] [SHAPE]
 *       TYPE: q4_1, q6_k, f16, ... or all; ROWS: of activations, 0 = all; SHAPE: number from 1
 *
 * Few rows: copies of the weight fill 512 MiB, more than the caches hold, so the figure is GB/s of
 * weights read from memory; beside it stands what a plain reading loop got in the same seconds.
 * 512 rows: one weight again and again, GOP/s (2 operations per multiply-add), beside the peak of
 * vpdpbusd on registers. A shared machine changes its speed every second: probe and kernel take
 * turns, and the best and the median of each are printed. Never run in CI.
 */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "bench_sort.h"
#include "kernels/kernel.h"
#include "kernels/rows.h"

#define RING_BYTES ((size_t)512 << 20)
#define SAMPLES    4096

struct samples {
    double value[SAMPLES];
    int count;
};

static void sample_add(struct samples *samples, double value)
{
    if (samples->count < SAMPLES)
        samples->value[samples->count++] = value;
}

/* Best (largest) and median. */
static void summarise(struct samples *samples, double *best, double *median)
{
    bench_sort(samples->value, (size_t)samples->count);
    *best = samples->count ? samples->value[samples->count - 1] : 0;
    *median = samples->count ? samples->value[samples->count / 2] : 0;
}

/* GOP/s of vpdpbusd on registers. One block of assembly: accumulators that the compiler may put
 * into memory measure its store port (a kernel that beats the peak shows it). */
static double probe_vnni(void)
{
    const int rounds = 20000;
    int left = rounds;
    uint64_t start = hs_clock_ns();
    __asm__ volatile("1:\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm0\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm1\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm2\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm3\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm4\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm5\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm6\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm7\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm8\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm9\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm10\n\t"
                     "vpdpbusd %%zmm12, %%zmm13, %%zmm11\n\t"
                     "dec %0\n\t"
                     "jnz 1b\n\t"
                     "vzeroupper"
                     : "+r"(left)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
    return 12.0 * 128.0 * rounds / (double)(hs_clock_ns() - start);
}

/* GB/s of a plain reading loop over bytes. */
__attribute__((target("avx2"))) static double probe_read(const uint8_t *data, size_t bytes)
{
    __m256i sum[4] = {_mm256_setzero_si256()};
    uint64_t start = hs_clock_ns();
    for (size_t i = 0; i + 128 <= bytes; i += 128)
        for (int j = 0; j < 4; j++)
            sum[j] = _mm256_add_epi8(
                sum[j], _mm256_loadu_si256((const __m256i *)(const void *)(data + i + 32 * j)));
    uint64_t stop = hs_clock_ns();
    volatile int keep = _mm256_extract_epi32(
        _mm256_add_epi8(_mm256_add_epi8(sum[0], sum[1]), _mm256_add_epi8(sum[2], sum[3])), 0);
    (void)keep;
    return (double)bytes / (double)(stop - start);
}

struct bench {
    enum tn_dtype dtype;
    int64_t rows, cols; /* N, K */
    int64_t tokens;     /* T */
    uint8_t *ring;      /* RING_BYTES */
    double seconds;
};

static struct op_linear_attrs make_attrs(const struct bench *bench)
{
    struct op_linear_attrs attrs;
    memset(&attrs, 0, sizeof attrs);
    attrs.cols = bench->cols;
    attrs.segments = 1;
    attrs.input_a8 = tn_dtype_is_quantized(bench->dtype);
    attrs.unit_rows = 64;
    attrs.outputs = 1;
    attrs.segment[0].dtype = (int32_t)bench->dtype;
    attrs.segment[0].layout = TN_LAYOUT_PANEL32;
    attrs.segment[0].weight = 2;
    attrs.segment[0].rows = bench->rows;
    attrs.segment[0].steps[0] = (struct op_epilogue_step){OP_EPI_STORE, -1, 0, 0};
    return attrs;
}

/* Activations: any values; a8 when the kernel wants them so. NULL when out of memory. */
static void *make_input(const struct bench *bench, bool a8)
{
    const int64_t count = bench->tokens * bench->cols;
    float *x = hs_alloc((size_t)count * sizeof(float));
    size_t bytes;
    if (!x)
        return NULL;
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)((i * 7919 + 13) % 1021) / 510.0f - 1.0f;
    if (!a8)
        return x;
    void *base = tn_a8_bytes(bench->tokens, bench->cols, &bytes) ? hs_alloc(bytes) : NULL;
    if (base) {
        struct tn_a8 view = tn_a8_view(base, bench->tokens, bench->cols);
        for (int64_t t = 0; t < bench->tokens; t++)
            kn_quantize_row_ref(x + t * bench->cols, bench->cols, view.codes + t * bench->cols,
                                view.scales + t, view.sums + t, bench->tokens);
    }
    hs_free(x);
    return base;
}

/* One packed weight at the start of the ring, copied as often as it fits; returns the copies. */
static int64_t fill_ring(const struct bench *bench, size_t weight_bytes)
{
    size_t row_bytes;
    if (!tn_row_bytes(bench->dtype, bench->cols, &row_bytes))
        return 0;
    uint8_t *rows = hs_alloc((size_t)bench->rows * row_bytes);
    struct kn_random random = {.seed = 1, .deviation = 0.02f};
    bool made = rows != NULL;
    for (int64_t n = 0; n < bench->rows && made; n++, random.stream++)
        made = kn_random_row(bench->dtype, &random, bench->cols, rows + (size_t)n * row_bytes);
    if (made)
        kn_pack_panels(bench->dtype, rows, bench->rows, bench->cols, 0, (bench->rows + 31) / 32,
                       bench->ring);
    hs_free(rows);
    const int64_t copies = (int64_t)(RING_BYTES / weight_bytes);
    for (int64_t i = 1; i < copies && made; i++)
        memcpy(bench->ring + (size_t)i * weight_bytes, bench->ring, weight_bytes);
    return made ? copies : 0;
}

struct figures {
    struct samples kernel, probe;
};

/* Few tokens: about 32 MiB of weights per sample, then a probe over the same bytes later on. */
static void measure_stream(const struct bench *bench, const struct kn_kernel *kernel,
                           struct kn_call *call, void *scratch, struct figures *figures)
{
    size_t weight_bytes;
    if (!tn_weight_bytes(bench->dtype, TN_LAYOUT_PANEL32, bench->rows, bench->cols, &weight_bytes))
        return;
    const int64_t copies = fill_ring(bench, weight_bytes);
    const int64_t step = (int64_t)((32u << 20) / weight_bytes) + 1;
    const uint64_t end = hs_clock_ns() + (uint64_t)(bench->seconds * 1e9);
    int64_t at = 0;
    while (copies > 0 && hs_clock_ns() < end) {
        uint64_t start = hs_clock_ns();
        for (int64_t i = 0; i < step; i++, at = (at + 1) % copies) {
            call->operand[2] = bench->ring + (size_t)at * weight_bytes;
            if (kernel->run(call, 0, kernel->units(call), scratch) != HASTEN_OK)
                return;
        }
        double ns = (double)(hs_clock_ns() - start);
        sample_add(&figures->kernel, (double)weight_bytes * (double)step / ns);
        size_t place = (size_t)at * weight_bytes, part = (size_t)32 << 20;
        place = place + part > RING_BYTES ? 0 : place;
        sample_add(&figures->probe, probe_read(bench->ring + place, part));
        at = (int64_t)((place + part) / weight_bytes + 1) % copies;
    }
}

/* Many tokens: the same weight again and again. */
static void measure_compute(const struct bench *bench, const struct kn_kernel *kernel,
                            struct kn_call *call, void *scratch, struct figures *figures)
{
    if (fill_ring(bench, RING_BYTES) < 1)
        return;
    const double work = 2.0 * (double)bench->rows * (double)bench->cols * (double)bench->tokens;
    const bool vnni = hs_cpu_get()->best >= HS_CPU_CLASS_AVX512VNNI;
    const int64_t units = kernel->units(call);
    const uint64_t end = hs_clock_ns() + (uint64_t)(bench->seconds * 1e9);
    call->operand[2] = bench->ring;
    while (hs_clock_ns() < end) {
        for (int64_t u = 0; u < units && hs_clock_ns() < end; u += 8) {
            int64_t last = u + 8 < units ? u + 8 : units;
            uint64_t start = hs_clock_ns();
            if (kernel->run(call, u, last, scratch) != HASTEN_OK)
                return;
            double ns = (double)(hs_clock_ns() - start);
            sample_add(&figures->kernel, work * (double)(last - u) / (double)units / ns);
            sample_add(&figures->probe, vnni ? probe_vnni() : 0);
        }
    }
}

static bool measure(const struct bench *bench)
{
    static struct figures figures;
    const struct op_linear_attrs attrs = make_attrs(bench);
    const struct kn_kernel *kernel = kn_find(OP_LINEAR, &attrs, hs_cpu_get()->chosen);
    if (!kernel)
        return false;
    struct kn_call call = {.rows = bench->tokens, .attrs = &attrs, .inputs = 3, .outputs = 1};
    void *scratch = hs_block_new(kernel->scratch_bytes(&attrs) + 64);
    call.operand[0] = make_input(bench, attrs.input_a8);
    call.operand[3] = hs_alloc((size_t)(bench->rows * bench->tokens) * sizeof(float));
    const bool ready = scratch && call.operand[0] && call.operand[3];
    figures.kernel.count = figures.probe.count = 0;
    const bool stream = bench->tokens <= 64;
    if (ready)
        (stream ? measure_stream : measure_compute)(bench, kernel, &call, scratch, &figures);
    double best, median, probe_best, probe_median;
    summarise(&figures.kernel, &best, &median);
    summarise(&figures.probe, &probe_best, &probe_median);
    printf("%-6s %6lld x %-5lld T=%-4lld %-20s best %7.1f  median %7.1f %s | probe best %7.1f  "
           "median %7.1f | ratio %.2f %.2f\n",
           tn_dtype_info(bench->dtype)->name, (long long)bench->rows, (long long)bench->cols,
           (long long)bench->tokens, kernel->name, best, median, stream ? "GB/s " : "GOP/s",
           probe_best, probe_median, best / probe_best, median / probe_median);
    fflush(stdout);
    hs_free(call.operand[0]);
    hs_free(call.operand[3]);
    hs_block_free(scratch, kernel->scratch_bytes(&attrs) + 64);
    return ready;
}

int main(int argc, char **argv)
{
    static const int64_t shapes[][2] = {
        {960, 576}, {3072, 576}, {576, 1536}, {49152, 576}, {2048, 2048}};
    static const enum tn_dtype types[] = {TN_Q4_1, TN_Q4_0, TN_Q4_K, TN_IQ4_NL, TN_IQ4_XS, TN_MXFP4,
                                          TN_Q2_K, TN_Q3_K, TN_Q5_0, TN_Q5_1,   TN_Q5_K,   TN_Q6_K,
                                          TN_Q8_0, TN_F16,  TN_BF16, TN_F32};
    static const int64_t tokens[] = {1, 2, 3, 4, 6, 8, 16, 32, 512};
    struct bench bench = {.ring = hs_block_new(RING_BYTES), .seconds = 1.0};
    bool ok = bench.ring != NULL;
    const int64_t only_tokens = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    const long only_shape = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
    if (argc > 2)
        bench.seconds = strtod(argv[2], NULL);
    for (int d = 0; d < (int)(sizeof types / sizeof types[0]); d++) {
        if (argc > 1 && strcmp(argv[1], "all") != 0 &&
            strcmp(argv[1], tn_dtype_info(types[d])->name) != 0)
            continue;
        for (int s = 0; s < 5; s++) {
            if (shapes[s][1] % tn_dtype_info(types[d])->block != 0 ||
                (only_shape != 0 && s + 1 != only_shape))
                continue;
            for (int t = 0; t < 9 && ok; t++) {
                if (only_tokens != 0 && tokens[t] != only_tokens)
                    continue;
                bench.dtype = types[d];
                bench.rows = shapes[s][0];
                bench.cols = shapes[s][1];
                bench.tokens = tokens[t];
                ok = measure(&bench);
            }
        }
    }
    hs_block_free(bench.ring, RING_BYTES);
    if (!ok)
        fprintf(stderr, "bench_linear: out of memory or no kernel\n");
    return ok ? 0 : 1;
}

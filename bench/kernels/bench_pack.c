/*
 * Micro benchmark of packing, one thread: GB/s of file bytes turned into panels.
 *
 *   bench_pack [seconds per figure]
 *
 * cache: one panel of 1536 columns again and again, source and target in L2. memory: a matrix of
 * about 64 MiB into touched huge pages. first touch: the same into a new block each time, as
 * loading does. Never run in CI.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "kernels/pack.h"
#include "kernels/rows.h"

#define COLS         1536
#define MATRIX_BYTES ((size_t)64 << 20)

typedef void (*packer)(const struct kn_packing *job, int64_t first, int64_t last);

/* Best GB/s of calls that pack panels [0, panels) of job; a new target each when `fresh`. */
static double measure(packer pack, struct kn_packing job, int64_t panels, double seconds, int fresh)
{
    size_t bytes = 0, row_bytes = 0;
    double best = 0;
    const int64_t rows = panels * TN_PANEL_ROWS;
    if (!tn_weight_bytes(job.dtype, TN_LAYOUT_PANEL32, rows, COLS, &bytes) ||
        !tn_row_bytes(job.dtype, COLS, &row_bytes))
        return 0;
    const uint64_t end = hs_clock_ns() + (uint64_t)(seconds * 1e9);
    const int repeats = panels == 1 ? 100 : 1;
    while (hs_clock_ns() < end) {
        uint8_t *block = fresh ? hs_block_new(bytes) : NULL;
        if (block)
            job.target = block;
        const uint64_t start = hs_clock_ns();
        for (int i = 0; i < repeats; i++)
            pack(&job, 0, panels);
        const double ns = (double)(hs_clock_ns() - start);
        const double rate = (double)row_bytes * (double)rows * repeats / ns;
        best = rate > best ? rate : best;
        hs_block_free(block, bytes);
    }
    return best;
}

static bool bench_type(enum tn_dtype dtype, double seconds)
{
    size_t row_bytes = 0, packed_bytes = 0;
    if (!tn_row_bytes(dtype, COLS, &row_bytes))
        return false;
    const int64_t rows = (int64_t)(MATRIX_BYTES / row_bytes) / TN_PANEL_ROWS * TN_PANEL_ROWS;
    if (!tn_weight_bytes(dtype, TN_LAYOUT_PANEL32, rows, COLS, &packed_bytes))
        return false;
    uint8_t *source = hs_block_new((size_t)rows * row_bytes), *target = hs_block_new(packed_bytes);
    bool ok = source && target;
    for (int64_t r = 0; ok && r < rows; r++) {
        const struct kn_random random = {1, (uint64_t)(r % 64), 0.5f};
        if (r < 64)
            ok = kn_random_row(dtype, &random, COLS, source + (size_t)r * row_bytes);
        else
            memcpy(source + (size_t)r * row_bytes, source + (size_t)(r % 64) * row_bytes,
                   row_bytes);
    }
    const struct kn_packing job = {dtype, rows, COLS, source, target};
    const int64_t panels = rows / TN_PANEL_ROWS;
    const packer packers[] = {kn_pack_plain, kn_pack_avx2};
    for (int p = 0; ok && p < (hs_cpu_get()->best >= HS_CPU_CLASS_AVX2 ? 2 : 1); p++)
        printf("%-6s %-5s  cache %6.2f  memory %6.2f  first touch %6.2f GB/s\n",
               tn_dtype_info(dtype)->name, p ? "avx2" : "plain",
               measure(packers[p], job, 1, seconds / 4, 0),
               measure(packers[p], job, panels, seconds, 0),
               measure(packers[p], job, panels, seconds, 1));
    fflush(stdout);
    if (source)
        hs_block_free(source, (size_t)rows * row_bytes);
    if (target)
        hs_block_free(target, packed_bytes);
    return ok;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.3;
    bool ok = true;
    for (int i = 0; ok && i < TN_DTYPE_COUNT; i++)
        if (kn_can_pack((enum tn_dtype)i))
            ok = bench_type((enum tn_dtype)i, seconds);
    if (!ok)
        fprintf(stderr, "bench_pack: out of memory\n");
    return ok ? 0 : 1;
}

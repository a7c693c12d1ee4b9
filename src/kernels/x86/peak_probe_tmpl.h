/*
 * The probes of an x86 class, written once. The including file defines
 *   PROBE(name)       name with the class suffix
 *   V, VF             integer and float vector, LOAD, STORE, XOR, ZERO, SET1
 *   CHAINS            independent accumulators: instructions in flight (latency times ports)
 *   DOT(sum, u, s)    the class's int8 dot product step, FMA(a, b, sum)
 *   DOT_OPS, FMA_OPS  operations of one
 * Factors are hidden from the compiler in each round, so that nothing moves out of the loop.
 */
#include <stdalign.h>

/* Arrays become registers only when their loops are unrolled early. */
#if defined(__clang__)
#define PROBE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define PROBE_UNROLL _Pragma("GCC unroll 16")
#endif

#define HIDE(value) __asm__ volatile("" : "+v"(value))

static uint64_t sum_bytes(V value)
{
    alignas(64) uint64_t words[sizeof(V) / 8];
    uint64_t total = 0;
    STORE(words, value);
    for (size_t i = 0; i < sizeof(V) / 8; i++)
        total += words[i];
    return total;
}

static uint64_t PROBE(dot)(int64_t rounds)
{
    V sums[CHAINS], codes = SET1(3), weights = SET1(5);
    PROBE_UNROLL
    for (int c = 0; c < CHAINS; c++)
        sums[c] = ZERO();
    for (int64_t r = 0; r < rounds; r++) {
        HIDE(codes);
        HIDE(weights);
        PROBE_UNROLL
        for (int c = 0; c < CHAINS; c++) {
            sums[c] = DOT(sums[c], codes, weights);
            HIDE(sums[c]);
        }
    }
    PROBE_UNROLL
    for (int c = 1; c < CHAINS; c++)
        sums[0] = XOR(sums[0], sums[c]);
    return sum_bytes(sums[0]);
}

static uint64_t PROBE(fma)(int64_t rounds)
{
    VF sums[CHAINS], a = SETF(0.5f), b = SETF(0.25f), total = SETF(0.0f);
    PROBE_UNROLL
    for (int c = 0; c < CHAINS; c++)
        sums[c] = SETF((float)c);
    for (int64_t r = 0; r < rounds; r++) {
        HIDE(a);
        PROBE_UNROLL
        for (int c = 0; c < CHAINS; c++) {
            sums[c] = FMA(sums[c], a, b); /* converges: no denormals, no overflow */
            HIDE(sums[c]);
        }
    }
    PROBE_UNROLL
    for (int c = 0; c < CHAINS; c++)
        total = FMA(sums[c], b, total);
    return sum_bytes(CAST(total));
}

static uint64_t PROBE(read)(const void *data, size_t size_bytes)
{
    const char *at = data;
    V sums[4] = {ZERO(), ZERO(), ZERO(), ZERO()};
    for (size_t i = 0; i < size_bytes; i += 4 * sizeof(V)) {
        PROBE_UNROLL
        for (size_t j = 0; j < 4; j++)
            sums[j] = XOR(sums[j], LOAD(at + i + j * sizeof(V)));
    }
    return sum_bytes(XOR(XOR(sums[0], sums[1]), XOR(sums[2], sums[3])));
}

static void PROBE(fill)(void *data, size_t size_bytes)
{
    char *at = data;
    V value = SET1(1);
    for (size_t i = 0; i < size_bytes; i += 4 * sizeof(V)) {
        PROBE_UNROLL
        for (size_t j = 0; j < 4; j++)
            STORE(at + i + j * sizeof(V), value);
    }
}

static void PROBE(copy)(void *to, const void *from, size_t size_bytes)
{
    char *target = to;
    const char *source = from;
    for (size_t i = 0; i < size_bytes; i += 4 * sizeof(V)) {
        PROBE_UNROLL
        for (size_t j = 0; j < 4; j++)
            STORE(target + i + j * sizeof(V), LOAD(source + i + j * sizeof(V)));
    }
}

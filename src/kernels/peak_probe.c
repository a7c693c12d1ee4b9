/* Probes for every machine: plain C, and the dependent chain that shows the clock. */
#include "kernels/peak_probe.h"

#include <string.h>

/* Keeps the compiler from seeing through a value. */
#define HIDE(value) __asm__ volatile("" : "+r"(value))

uint64_t kn_peak_chain(int64_t rounds)
{
    uint64_t value = 1, step = 3;
    HIDE(step);
    for (int64_t i = 0; i < rounds; i++)
        for (int j = 0; j < KN_PEAK_CHAIN; j++) {
            value += step;
            HIDE(value);
        }
    return value;
}

enum { LANES = 16 };

static uint64_t dot(int64_t rounds)
{
    int8_t weights[LANES];
    int32_t sums[LANES] = {0};
    int32_t code = 3;
    for (int i = 0; i < LANES; i++)
        weights[i] = (int8_t)(i - 5);
    for (int64_t r = 0; r < rounds; r++) {
        HIDE(code);
        for (int i = 0; i < LANES; i++)
            sums[i] = (int32_t)((uint32_t)sums[i] + (uint32_t)(weights[i] * code));
    }
    uint64_t total = 0;
    for (int i = 0; i < LANES; i++)
        total += (uint32_t)sums[i];
    return total;
}

static uint64_t multiply_add(int64_t rounds)
{
    float sums[LANES] = {0}, factor = 0.5f;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < LANES; i++)
            sums[i] = sums[i] * factor + 1.0f;
    float total = 0;
    for (int i = 0; i < LANES; i++)
        total += sums[i];
    return (uint64_t)total;
}

static uint64_t read_stream(const void *data, size_t size_bytes)
{
    const uint64_t *words = data;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < size_bytes / sizeof *words; i += 8)
        for (int j = 0; j < 8; j++)
            sums[j] ^= words[i + (size_t)j];
    return sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
}

static void fill(void *data, size_t size_bytes)
{
    memset(data, 1, size_bytes);
}

static void copy(void *to, const void *from, size_t size_bytes)
{
    memcpy(to, from, size_bytes);
}

const struct kn_peak_probe kn_peak_probe__ref = {
    .cpu_class = HS_CPU_CLASS_REF,
    .dot_name = "plain C",
    .dot_ops = 2 * LANES,
    .dot = dot,
    .fma_name = "plain C, multiply and add",
    .fma_ops = 2 * LANES,
    .fma = multiply_add,
    .read = read_stream,
    .fill = fill,
    .copy = copy,
};

const struct kn_peak_probe *kn_peak_probe_find(enum hs_cpu_class cpu_class)
{
#if defined(__x86_64__)
    if (cpu_class >= HS_CPU_CLASS_AVX512VNNI)
        return &kn_peak_probe__avx512vnni;
    if (cpu_class >= HS_CPU_CLASS_AVX2)
        return &kn_peak_probe__avx2;
#endif
    (void)cpu_class;
    return &kn_peak_probe__ref;
}

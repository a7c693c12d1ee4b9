/* Probes of AVX2: vpmaddubsw, vpmaddwd, vpaddd (a dot product step has all three) and vfmadd231ps
 * on 256 bits. */
#include <immintrin.h>

#include "kernels/peak_probe.h"

#define PROBE(name)    name##__avx2
#define V              __m256i
#define VF             __m256
#define LOAD(p)        _mm256_load_si256((const void *)(p))
#define STORE(p, v)    _mm256_store_si256((void *)(p), v)
#define XOR            _mm256_xor_si256
#define ZERO           _mm256_setzero_si256
#define SET1           _mm256_set1_epi8
#define SETF           _mm256_set1_ps
#define CAST           _mm256_castps_si256
#define CHAINS         10
#define DOT(sum, u, s) dot_step(sum, u, s)
#define FMA(a, b, sum) _mm256_fmadd_ps(a, b, sum)

static inline __m256i dot_step(__m256i sum, __m256i codes, __m256i weights)
{
    __m256i pairs;
    /* The same factors in every chain: only what the compiler does not see is done each time. */
    __asm__ volatile("vpmaddubsw %2, %1, %0" : "=v"(pairs) : "v"(codes), "v"(weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "kernels/x86/peak_probe_tmpl.h"

const struct kn_peak_probe kn_peak_probe__avx2 = {
    .cpu_class = HS_CPU_CLASS_AVX2,
    .dot_name = "vpmaddubsw + vpmaddwd + vpaddd, 256 bits",
    .dot_ops = 64 * CHAINS,
    .dot = PROBE(dot),
    .fma_name = "vfmadd, 256 bits",
    .fma_ops = 16 * CHAINS,
    .fma = PROBE(fma),
    .read = PROBE(read),
    .fill = PROBE(fill),
    .copy = PROBE(copy),
};

/* Probes of AVX-512 VNNI: vpdpbusd and vfmadd231ps on 512 bits. */
#include <immintrin.h>

#include "kernels/peak_probe.h"

#define PROBE(name)    name##__avx512vnni
#define V              __m512i
#define VF             __m512
#define LOAD(p)        _mm512_load_si512((const void *)(p))
#define STORE(p, v)    _mm512_store_si512((void *)(p), v)
#define XOR            _mm512_xor_si512
#define ZERO           _mm512_setzero_si512
#define SET1           _mm512_set1_epi8
#define SETF           _mm512_set1_ps
#define CAST           _mm512_castps_si512
#define CHAINS         16
#define DOT(sum, u, s) _mm512_dpbusd_epi32(sum, u, s)
#define FMA(a, b, sum) _mm512_fmadd_ps(a, b, sum)

#include "kernels/x86/peak_probe_tmpl.h"

const struct kn_peak_probe kn_peak_probe__avx512vnni = {
    .cpu_class = HS_CPU_CLASS_AVX512VNNI,
    .dot_name = "vpdpbusd, 512 bits",
    .dot_ops = 128 * CHAINS,
    .dot = PROBE(dot),
    .fma_name = "vfmadd, 512 bits",
    .fma_ops = 32 * CHAINS,
    .fma = PROBE(fma),
    .read = PROBE(read),
    .fill = PROBE(fill),
    .copy = PROBE(copy),
};

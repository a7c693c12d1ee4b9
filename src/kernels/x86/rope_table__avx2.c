/*
 * rope_table for AVX2: kn_exp and kn_sincos (kernels/math.c) on four doubles, the same operations
 * lane by lane, so the same bits. Frequencies are computed once per range of rows and kept in
 * scratch. There is no AVX-512 form: both are bound by division, which is no faster there.
 *
 * Unit: one row. Scratch: f64 [dims/2 rounded up to 4]. Thread safety: a pure function of the call.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/kernel_table.h"
#include "kernels/math.h"

/* e^x for |x| < 700: kn_exp. */
static __m256d rope_exp(__m256d x)
{
    const __m256d one = _mm256_set1_pd(1.0);
    __m256d n = _mm256_round_pd(_mm256_mul_pd(x, _mm256_set1_pd(1.4426950408889634074)),
                                _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256d r = _mm256_sub_pd(x, _mm256_mul_pd(n, _mm256_set1_pd(6.93147180369123816490e-01)));
    r = _mm256_sub_pd(r, _mm256_mul_pd(n, _mm256_set1_pd(1.90821492927058770002e-10)));
    __m256d sum = one;
    for (int k = 14; k >= 1; k--)
        sum = _mm256_add_pd(one, _mm256_div_pd(_mm256_mul_pd(sum, r), _mm256_set1_pd((double)k)));
    /* times 2^n, exact: the result is a normal number */
    __m256i exponent = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n));
    exponent = _mm256_slli_epi64(_mm256_add_epi64(exponent, _mm256_set1_epi64x(1023)), 52);
    return _mm256_mul_pd(sum, _mm256_castsi256_pd(exponent));
}

/* kn_sincos for |angle| < 2^20, rounded to f32 and stored as (cos, sin) pairs. */
static __m256 rope_cos_sin(__m256d angle)
{
    const __m256d one = _mm256_set1_pd(1.0);
    __m256d n = _mm256_round_pd(_mm256_mul_pd(angle, _mm256_set1_pd(0.63661977236758134308)),
                                _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256d r = _mm256_sub_pd(angle, _mm256_mul_pd(n, _mm256_set1_pd(1.57079632673412561417e+00)));
    r = _mm256_sub_pd(r, _mm256_mul_pd(n, _mm256_set1_pd(6.07710050630396597660e-11)));
    r = _mm256_sub_pd(r, _mm256_mul_pd(n, _mm256_set1_pd(2.02226624879595063154e-21)));
    const __m256d r2 = _mm256_mul_pd(r, r);
    __m256d s = _mm256_setzero_pd(), c = s;
    for (int k = 17; k >= 3; k -= 2)
        s = _mm256_mul_pd(_mm256_div_pd(r2, _mm256_set1_pd((double)((k - 1) * k))),
                          _mm256_sub_pd(one, s));
    s = _mm256_mul_pd(r, _mm256_sub_pd(one, s));
    for (int k = 18; k >= 2; k -= 2)
        c = _mm256_mul_pd(_mm256_div_pd(r2, _mm256_set1_pd((double)((k - 1) * k))),
                          _mm256_sub_pd(one, c));
    c = _mm256_sub_pd(one, c);
    /* Quadrants 1 and 3 swap sin and cos; sin is negative in 2 and 3, cos in 1 and 2. */
    const __m256i quadrant = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n));
    const __m256i next = _mm256_add_epi64(quadrant, _mm256_set1_epi64x(1));
    const __m256d sign = _mm256_set1_pd(-0.0);
    const __m256d swap = _mm256_castsi256_pd(_mm256_slli_epi64(quadrant, 63));
    const __m256d sin_sign =
        _mm256_and_pd(sign, _mm256_castsi256_pd(_mm256_slli_epi64(quadrant, 62)));
    const __m256d cos_sign = _mm256_and_pd(sign, _mm256_castsi256_pd(_mm256_slli_epi64(next, 62)));
    __m128 sines = _mm256_cvtpd_ps(_mm256_xor_pd(_mm256_blendv_pd(s, c, swap), sin_sign));
    __m128 cosines = _mm256_cvtpd_ps(_mm256_xor_pd(_mm256_blendv_pd(c, s, swap), cos_sign));
    return _mm256_set_m128(_mm_unpackhi_ps(cosines, sines), _mm_unpacklo_ps(cosines, sines));
}

static bool rope_table_accepts(const void *attributes)
{
    const struct op_rope_attrs *a = attributes;
    return a->dims >= 2 && a->dims % 2 == 0 && a->base > 0.0;
}

static int64_t rope_table_units(const struct kn_call *call)
{
    return call->rows;
}

static size_t rope_table_scratch(const void *attributes)
{
    const struct op_rope_attrs *a = attributes;
    return ((size_t)a->dims / 2 + 3) / 4 * 4 * sizeof(double);
}

/* Frequencies of all pairs, and of up to three more that nobody reads. */
static void rope_frequencies(const struct op_rope_attrs *a, const float *factors, double *out)
{
    const double log_base = kn_log(a->base);
    const int half = a->dims / 2;
    for (int i = 0; i < half; i += 4) {
        double x[4];
        for (int j = 0; j < 4; j++)
            x[j] = -((2.0 * (i + j)) / a->dims) * log_base;
        _mm256_storeu_pd(out + i, _mm256_mul_pd(rope_exp(_mm256_loadu_pd(x)),
                                                _mm256_set1_pd(a->position_scale)));
    }
    for (int i = 0; factors && i < half; i++)
        out[i] = out[i] / (double)factors[i];
}

/* Inputs: %batch [, factors f32[dims/2]]. */
static enum hasten_status rope_table_run(const struct kn_call *call, int64_t first, int64_t last,
                                         void *scratch)
{
    const struct op_rope_attrs *a = call->attrs;
    const int half = a->dims / 2;
    double *frequency = scratch;
    if (first >= last)
        return HASTEN_OK;
    rope_frequencies(a, call->inputs > 1 ? call->operand[1] : NULL, frequency);
    for (int64_t t = first; t < last; t++) {
        const __m256d position = _mm256_set1_pd((double)call->batch->position[t]);
        float *row = (float *)call->operand[call->inputs] + t * a->dims;
        int i = 0;
        for (; i + 4 <= half; i += 4) {
            __m256d angle = _mm256_mul_pd(position, _mm256_loadu_pd(frequency + i));
            _mm256_storeu_ps(row + 2 * i, rope_cos_sin(angle));
        }
        if (i < half) {
            float pairs[8];
            __m256d angle = _mm256_mul_pd(position, _mm256_loadu_pd(frequency + i));
            _mm256_storeu_ps(pairs, rope_cos_sin(angle));
            memcpy(row + 2 * i, pairs, (size_t)(half - i) * 2 * sizeof(float));
        }
    }
    return HASTEN_OK;
}

const struct kn_kernel kn_rope_table__avx2 = {
    .name = "rope_table__avx2",
    .op = OP_ROPE_TABLE,
    .cpu_class = HS_CPU_CLASS_AVX2,
    .accepts = rope_table_accepts,
    .units = rope_table_units,
    .run = rope_table_run,
    .scratch_bytes = rope_table_scratch,
};

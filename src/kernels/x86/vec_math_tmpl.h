/*
 * exp, tanh, silu, gelu and the A8 quantizer on v16 (vec16_tmpl.h): the operations of
 * kernels/math.c and of kn_quantize_row_ref lane by lane, in their order, so results are equal in
 * every bit (of a NaN only the fact). Included only by files with ISA flags.
 */
#ifndef HASTEN_KERNELS_X86_VEC_MATH_TMPL_H
#define HASTEN_KERNELS_X86_VEC_MATH_TMPL_H

#include <stdint.h>

#include "kernels/x86/vec16_tmpl.h"

/* The polynomial part of kn_expf, right for -87.3 <= x <= 88.72 only. */
V16_INLINE v16 v16_exp_inner(v16 x)
{
    v16 n = v16_rint(v16_mul(x, v16_set1(1.44269504f)));
    v16 r = v16_fma(n, v16_set1(-0.693359375f), x);
    r = v16_fma(n, v16_set1(2.12194440e-4f), r);
    v16 p = v16_set1(1.9875691500e-4f);
    p = v16_fma(p, r, v16_set1(1.3981999507e-3f));
    p = v16_fma(p, r, v16_set1(8.3334519073e-3f));
    p = v16_fma(p, r, v16_set1(4.1665795894e-2f));
    p = v16_fma(p, r, v16_set1(1.6666665459e-1f));
    p = v16_fma(p, r, v16_set1(5.0000001201e-1f));
    v16 y = v16_add(v16_fma(p, v16_mul(r, r), r), v16_set1(1.0f));
    return v16_add_exponent(y, n);
}

/* kn_expf. NaN stays NaN through the polynomial: its exponent step converts to 0x80000000, whose
 * shift is 0, and both comparisons are false. */
V16_INLINE v16 v16_exp(v16 x)
{
    v16 y = v16_exp_inner(x);
    y = v16_select(v16_lt(x, v16_set1(-87.3f)), v16_zero(), y);
    return v16_select(v16_gt(x, v16_set1(88.72f)), v16_set1(__builtin_inff()), y);
}

/* kn_expf for x <= 0 or NaN (softmax): no overflow check. */
V16_INLINE v16 v16_exp_nonpositive(v16 x)
{
    v16 y = v16_exp_inner(x);
    return v16_select(v16_lt(x, v16_set1(-87.3f)), v16_zero(), y);
}

/* kn_tanhf */
V16_INLINE v16 v16_tanh(v16 x)
{
    const v16 one = v16_set1(1.0f);
    v16 t = v16_exp_nonpositive(v16_mul(v16_set1(-2.0f), v16_abs(x)));
    return v16_copysign(v16_div(v16_sub(one, t), v16_add(one, t)), x);
}

/* kn_siluf */
V16_INLINE v16 v16_silu(v16 x)
{
    return v16_div(x, v16_add(v16_set1(1.0f), v16_exp(v16_neg(x))));
}

/* kn_gelu_tanhf */
V16_INLINE v16 v16_gelu_tanh(v16 x)
{
    v16 cubic = v16_fma(v16_mul(v16_mul(v16_set1(0.044715f), x), x), x, x);
    v16 inner = v16_mul(v16_set1(0.79788456f), cubic);
    return v16_mul(v16_mul(v16_set1(0.5f), x), v16_add(v16_set1(1.0f), v16_tanh(inner)));
}

/* cap * tanh(x / cap) */
V16_INLINE v16 v16_softcap(v16 x, v16 cap)
{
    return v16_mul(cap, v16_tanh(v16_div(x, cap)));
}

/* Largest |x| of 32 values as float bits (>= 0x7f800000: inf or NaN among them). */
V16_INLINE uint32_t v16_abs_max_bits32(v16 low, v16 high)
{
    /* abs bits order like integers, which also puts NaN above inf */
#ifdef __AVX512F__
    __m512i m =
        _mm512_max_epu32(_mm512_castps_si512(v16_abs(low)), _mm512_castps_si512(v16_abs(high)));
    __m256i a = _mm256_max_epu32(_mm512_castsi512_si256(m), _mm512_extracti32x8_epi32(m, 1));
#else
    low = v16_abs(low);
    high = v16_abs(high);
    __m256i a = _mm256_max_epu32(
        _mm256_max_epu32(_mm256_castps_si256(low.lo), _mm256_castps_si256(low.hi)),
        _mm256_max_epu32(_mm256_castps_si256(high.lo), _mm256_castps_si256(high.hi)));
#endif
    __m128i b = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epu32(b, _mm_shuffle_epi32(b, 0x4e));
    b = _mm_max_epu32(b, _mm_shuffle_epi32(b, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(b);
}

/* codes[0..31] = nearest even of x * inv (|x * inv| <= 127.5); returns the sum of the codes. */
V16_INLINE int32_t v16_store_codes32(v16 low, v16 high, v16 inv, int8_t *codes)
{
    low = v16_mul(low, inv);
    high = v16_mul(high, inv);
#ifdef __AVX512F__
    __m512i a = _mm512_cvtps_epi32(low), b = _mm512_cvtps_epi32(high);
    _mm_storeu_si128((__m128i *)(void *)codes, _mm512_cvtepi32_epi8(a));
    _mm_storeu_si128((__m128i *)(void *)(codes + 16), _mm512_cvtepi32_epi8(b));
    a = _mm512_add_epi32(a, b);
    __m256i sum8 = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti32x8_epi32(a, 1));
#else
    __m256i a = _mm256_cvtps_epi32(low.lo), b = _mm256_cvtps_epi32(low.hi);
    __m256i c = _mm256_cvtps_epi32(high.lo), d = _mm256_cvtps_epi32(high.hi);
    __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)codes, packed);
    __m256i sum8 = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
#endif
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sum8), _mm256_extracti128_si256(sum8, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    return _mm_cvtsi128_si32(sum);
}

/*
 * One A8 block: 32 values (low: 0..15, high: 16..31) -> 32 codes, their scale and scale * sum
 * (NUMERICS.md, quantize). A block with inf or NaN: codes 0, scale and sum NaN.
 */
V16_INLINE void v16_quantize32(v16 low, v16 high, int8_t *codes, float *scale, float *sum)
{
    union {
        uint32_t bits;
        float value;
    } amax = {v16_abs_max_bits32(low, high)};
    if (__builtin_expect(amax.bits >= 0x7f800000u, 0)) {
        for (int i = 0; i < 32; i++)
            codes[i] = 0;
        *scale = *sum = __builtin_nanf("");
        return;
    }
    float d = amax.value / 127.0f;
    float inv = amax.value >= 0x1p-100f ? 127.0f / amax.value : 0.0f;
    *scale = d;
    *sum = d * (float)v16_store_codes32(low, high, v16_set1(inv), codes);
}

#endif

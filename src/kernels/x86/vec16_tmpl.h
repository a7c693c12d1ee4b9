/*
 * v16: sixteen f32 lanes as one type, so that an algorithm stands once for all x86 classes: one zmm
 * register in files compiled for AVX-512, two ymm registers in files compiled for AVX2. Included
 * only by files with ISA flags (__avx2.c, __avx512vnni.c) and by other *_tmpl.h headers.
 *
 * Every operation is one IEEE f32 operation per lane (fma: one rounding), so both forms give the
 * same bits as scalar code that executes the same operations. Masks (v16m) select lanes.
 */
#ifndef HASTEN_KERNELS_X86_VEC16_TMPL_H
#define HASTEN_KERNELS_X86_VEC16_TMPL_H

#include <immintrin.h>
#include <stdint.h>

/* The suffix of kernel names of this machine class: KN_ISA(attention) -> attention__avx512vnni. */
#ifdef __AVX512F__
#define KN_ISA(name)  name##__avx512vnni
#define KN_ISA_SUFFIX "__avx512vnni"
#define KN_ISA_CLASS  HS_CPU_CLASS_AVX512VNNI
#else
#define KN_ISA(name)  name##__avx2
#define KN_ISA_SUFFIX "__avx2"
#define KN_ISA_CLASS  HS_CPU_CLASS_AVX2
#endif

/* Rounding of the instructions that take it as an immediate. */
#define V16_NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* Stands before a loop of constant length <= 24 over registers: unroll it before registers are
 * chosen (clang takes GCC's form as a late hint only and would leave the registers in memory). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define V16_UNROLL /* checked code is slow anyway; unrolled it takes minutes to compile */
#elif defined(__clang__)
#define V16_UNROLL _Pragma("clang loop unroll(full)")
#else
#define V16_UNROLL _Pragma("GCC unroll 24")
#endif

#define V16_INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__

typedef __m512 v16;
typedef __mmask16 v16m;

V16_INLINE v16 v16_zero(void)
{
    return _mm512_setzero_ps();
}
V16_INLINE v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}
V16_INLINE v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
V16_INLINE void v16_store(float *p, v16 a)
{
    _mm512_storeu_ps(p, a);
}
/* 16 half-precision numbers, widened exactly. */
V16_INLINE v16 v16_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
/* Rounded to half precision, nearest even. */
V16_INLINE void v16_store_f16(uint16_t *p, v16 a)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, V16_NEAREST));
}
/* 16 bfloat16 numbers, widened exactly. */
V16_INLINE v16 v16_load_bf16(const uint16_t *p)
{
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}
/* Rounded to bfloat16, nearest even, as tn_f32_to_bf16 (the instruction flushes subnormals). */
V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    __m512i bits = _mm512_castps_si512(a), high = _mm512_srli_epi32(bits, 16);
    __m512i bias =
        _mm512_add_epi32(_mm512_and_si512(high, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, bias), 16);
    __m512i nan = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
    rounded = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), rounded, nan);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(rounded));
}
/* 16 int8 numbers. */
V16_INLINE v16 v16_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* The first n lanes (0..16); the others are zero (load) or untouched (store). */
V16_INLINE v16 v16_load_part(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
V16_INLINE void v16_store_part(float *p, v16 a, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a);
}
V16_INLINE v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}
V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}
V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}
V16_INLINE v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}
V16_INLINE v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}
/* a * b + c with one rounding */
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}
V16_INLINE v16 v16_abs(v16 a)
{
    return _mm512_abs_ps(a);
}
V16_INLINE v16 v16_neg(v16 a)
{
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
/* Magnitude of a, sign of b. */
V16_INLINE v16 v16_copysign(v16 a, v16 b)
{
    const v16 sign = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b));
}
/* Nearest integer, ties to even. */
V16_INLINE v16 v16_rint(v16 a)
{
    return _mm512_roundscale_ps(a, V16_NEAREST);
}
/* a * 2^n by adding n to the exponent field; n holds integers, no overflow check. */
V16_INLINE v16 v16_add_exponent(v16 a, v16 n)
{
    __m512i shifted = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), shifted));
}
V16_INLINE v16m v16_lt(v16 a, v16 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
V16_INLINE v16m v16_gt(v16 a, v16 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
/* Lanes first <= i < last; any integers. */
V16_INLINE v16m v16_lanes(int first, int last)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_cmplt_epi32_mask(lane, _mm512_set1_epi32(last)) &
           _mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(first));
}
/* yes where the mask is set, else no */
V16_INLINE v16 v16_select(v16m mask, v16 yes, v16 no)
{
    return _mm512_mask_blend_ps(mask, no, yes);
}
/* x0 of each pair of lanes in both of them; x1; the pair swapped. */
V16_INLINE v16 v16_dup_even(v16 a)
{
    return _mm512_moveldup_ps(a);
}
V16_INLINE v16 v16_dup_odd(v16 a)
{
    return _mm512_movehdup_ps(a);
}
V16_INLINE v16 v16_swap_pairs(v16 a)
{
    return _mm512_permute_ps(a, 0xb1);
}
/* a * b - c in even lanes, a * b + c in odd ones, one rounding */
V16_INLINE v16 v16_fma_sub_add(v16 a, v16 b, v16 c)
{
    return _mm512_fmaddsub_ps(a, b, c);
}
/* 32 floats at p: those with even index, those with odd index. */
V16_INLINE void v16_load_split(const float *p, v16 *even, v16 *odd)
{
    const __m512i pick =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 16);
    *even = _mm512_permutex2var_ps(a, pick, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(pick, _mm512_set1_epi32(1)), b);
}
/* Lanes i and i+8 added (lower index left), as 8 lanes: first half step of the 16-lane sum. */
V16_INLINE __m256 v16_fold_add(v16 a)
{
    return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}
V16_INLINE __m256 v16_fold_max(v16 a)
{
    return _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}

#else

typedef struct {
    __m256 lo, hi;
} v16;
typedef v16 v16m; /* all bits of a selected lane are set */

#define V16_BOTH(expr_lo, expr_hi) ((v16){(expr_lo), (expr_hi)})

V16_INLINE v16 v16_zero(void)
{
    return V16_BOTH(_mm256_setzero_ps(), _mm256_setzero_ps());
}
V16_INLINE v16 v16_set1(float x)
{
    __m256 a = _mm256_set1_ps(x);
    return V16_BOTH(a, a);
}
V16_INLINE v16 v16_load(const float *p)
{
    return V16_BOTH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
V16_INLINE void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
V16_INLINE v16 v16_load_f16(const uint16_t *p)
{
    return V16_BOTH(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)),
                    _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 8))));
}
V16_INLINE void v16_store_f16(uint16_t *p, v16 a)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a.lo, V16_NEAREST));
    _mm_storeu_si128((__m128i *)(void *)(p + 8), _mm256_cvtps_ph(a.hi, V16_NEAREST));
}
V16_INLINE __m256 v8_load_bf16(const uint16_t *p)
{
    __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}
V16_INLINE v16 v16_load_bf16(const uint16_t *p)
{
    return V16_BOTH(v8_load_bf16(p), v8_load_bf16(p + 8));
}
V16_INLINE __m256i v8_round_bf16(__m256 a)
{
    __m256i bits = _mm256_castps_si256(a), high = _mm256_srli_epi32(bits, 16);
    __m256i bias =
        _mm256_add_epi32(_mm256_and_si256(high, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7fff));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
    __m256i nan = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(rounded, nan, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
V16_INLINE void v16_store_bf16(uint16_t *p, v16 a)
{
    __m256i packed = _mm256_packus_epi32(v8_round_bf16(a.lo), v8_round_bf16(a.hi));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(packed, 0xd8));
}
V16_INLINE __m256 v8_load_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
V16_INLINE v16 v16_load_i8(const int8_t *p)
{
    return V16_BOTH(v8_load_i8(p), v8_load_i8(p + 8));
}
V16_INLINE v16 v16_add(v16 a, v16 b)
{
    return V16_BOTH(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}
V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    return V16_BOTH(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi));
}
V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    return V16_BOTH(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}
V16_INLINE v16 v16_div(v16 a, v16 b)
{
    return V16_BOTH(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi));
}
V16_INLINE v16 v16_max(v16 a, v16 b)
{
    return V16_BOTH(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return V16_BOTH(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}
V16_INLINE v16 v16_abs(v16 a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return V16_BOTH(_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi));
}
V16_INLINE v16 v16_neg(v16 a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return V16_BOTH(_mm256_xor_ps(sign, a.lo), _mm256_xor_ps(sign, a.hi));
}
V16_INLINE v16 v16_copysign(v16 a, v16 b)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    v16 m = v16_abs(a);
    return V16_BOTH(_mm256_or_ps(m.lo, _mm256_and_ps(sign, b.lo)),
                    _mm256_or_ps(m.hi, _mm256_and_ps(sign, b.hi)));
}
V16_INLINE v16 v16_rint(v16 a)
{
    return V16_BOTH(_mm256_round_ps(a.lo, V16_NEAREST), _mm256_round_ps(a.hi, V16_NEAREST));
}
V16_INLINE __m256 v8_add_exponent(__m256 a, __m256 n)
{
    __m256i shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), shifted));
}
V16_INLINE v16 v16_add_exponent(v16 a, v16 n)
{
    return V16_BOTH(v8_add_exponent(a.lo, n.lo), v8_add_exponent(a.hi, n.hi));
}
V16_INLINE v16m v16_lt(v16 a, v16 b)
{
    return V16_BOTH(_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ));
}
V16_INLINE v16m v16_gt(v16 a, v16 b)
{
    return V16_BOTH(_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ));
}
V16_INLINE __m256i v8_lanes(int first, int last)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), lane),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(last), lane));
}
V16_INLINE v16m v16_lanes(int first, int last)
{
    return V16_BOTH(_mm256_castsi256_ps(v8_lanes(first, last)),
                    _mm256_castsi256_ps(v8_lanes(first - 8, last - 8)));
}
V16_INLINE v16 v16_load_part(const float *p, int n)
{
    return V16_BOTH(_mm256_maskload_ps(p, v8_lanes(0, n)),
                    _mm256_maskload_ps(p + 8, v8_lanes(0, n - 8)));
}
V16_INLINE void v16_store_part(float *p, v16 a, int n)
{
    _mm256_maskstore_ps(p, v8_lanes(0, n), a.lo);
    _mm256_maskstore_ps(p + 8, v8_lanes(0, n - 8), a.hi);
}
V16_INLINE v16 v16_select(v16m mask, v16 yes, v16 no)
{
    return V16_BOTH(_mm256_blendv_ps(no.lo, yes.lo, mask.lo),
                    _mm256_blendv_ps(no.hi, yes.hi, mask.hi));
}
V16_INLINE v16 v16_dup_even(v16 a)
{
    return V16_BOTH(_mm256_moveldup_ps(a.lo), _mm256_moveldup_ps(a.hi));
}
V16_INLINE v16 v16_dup_odd(v16 a)
{
    return V16_BOTH(_mm256_movehdup_ps(a.lo), _mm256_movehdup_ps(a.hi));
}
V16_INLINE v16 v16_swap_pairs(v16 a)
{
    return V16_BOTH(_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1));
}
V16_INLINE v16 v16_fma_sub_add(v16 a, v16 b, v16 c)
{
    return V16_BOTH(_mm256_fmaddsub_ps(a.lo, b.lo, c.lo), _mm256_fmaddsub_ps(a.hi, b.hi, c.hi));
}
V16_INLINE __m256 v8_merge_split(__m256 a, __m256 b, const int odd)
{
    __m256 mixed = odd ? _mm256_shuffle_ps(a, b, 0xdd) : _mm256_shuffle_ps(a, b, 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}
V16_INLINE void v16_load_split(const float *p, v16 *even, v16 *odd)
{
    v16 a = v16_load(p), b = v16_load(p + 16);
    *even = V16_BOTH(v8_merge_split(a.lo, a.hi, 0), v8_merge_split(b.lo, b.hi, 0));
    *odd = V16_BOTH(v8_merge_split(a.lo, a.hi, 1), v8_merge_split(b.lo, b.hi, 1));
}
V16_INLINE __m256 v16_fold_add(v16 a)
{
    return _mm256_add_ps(a.lo, a.hi);
}
V16_INLINE __m256 v16_fold_max(v16 a)
{
    return _mm256_max_ps(a.lo, a.hi);
}

#endif

/* Sum of 32 virtual lanes (NUMERICS.md, row reductions): low = lanes 0..15, high = 16..31. */
V16_INLINE float v16_sum32(v16 low, v16 high)
{
    __m256 a = v16_fold_add(v16_add(low, high));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}
V16_INLINE float v16_max_lane(v16 v)
{
    __m256 a = v16_fold_max(v);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_shuffle_ps(b, b, 1)));
}

#endif

/*
 * linear, coded weights on AVX2 (no VNNI): one tile for every packed form.
 *
 * vpmaddubsw multiplies unsigned with signed bytes and adds pairs in int16, a dword lane is one
 * feature. It saturates at 32767, so:
 *   nibbles as they stand (0..15): a pair is at most 2 * 15 * 127 = 3810, all 8 pairs of a block
 *     fit into int16 (30480) and are widened once per group; forms with a zero then add
 *     -zero * sum(activation codes);
 *   bytes and tables: |w| times a with the sign of w, at most 2 * 128 * 127 = 32512; widened at
 *     once. Exact for w = -128 too (|w| = 128 unsigned). Activation codes are -127..127.
 * 16 registers: one token takes the whole panel (4 registers of 8 features, one forward stream);
 * more tokens take the two 16-feature halves one after the other, the second from L1.
 *
 * Every field of a form is a compile-time constant of the tile function it is inlined into.
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_CODES_AVX2_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_CODES_AVX2_TMPL_H

#include "kernels/x86/linear_forms_tmpl.h"
#include "kernels/x86/linear_tile_tmpl.h"

#define PREFETCH_BYTES 4096
#define TOKENS_MAX     4

V16_INLINE __m256i broadcast_codes(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

V16_INLINE __m256i load_codes(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Keeps a running sum a running sum: gcc regroups integer additions into a tree over the whole
 * block, whose products then live on the stack. */
#define KEEP_ORDER(sum) __asm__("" : "+x"(sum))

/* A part of a tile: `quarters` registers of 8 features from first_quarter on. */
struct code_part {
    int first_quarter, quarters, tokens; /* constants */
    const int8_t *codes;                 /* [tokens][ld], of this block */
    int64_t ld;
};

/* sum[t][q] += signed weights of register q times activations k..k+3. */
V16_INLINE void dot_signed(__m256i weight, const struct code_part *part, int q, int k,
                           __m256i sum[TOKENS_MAX][4])
{
    const __m256i ones = _mm256_set1_epi16(1), size = _mm256_abs_epi8(weight);
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        __m256i a = broadcast_codes(part->codes + t * part->ld + k);
        __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(a, weight));
        sum[t][q] = _mm256_add_epi32(sum[t][q], _mm256_madd_epi16(pairs, ones));
        KEEP_ORDER(sum[t][q]);
    }
}

/* 8-bit weights: group g of `group` k. */
V16_INLINE void dot_bytes(const uint8_t *w, int group, int g, const struct code_part *part,
                          __m256i sum[TOKENS_MAX][4])
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    KN_UNROLL
    for (int i = 0; i < group / 4; i++) {
        const int j = g * 4 + i;
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++)
            dot_signed(_mm256_xor_si256(load_codes(w + 128 * j + 32 * q), flip), part, q, 4 * j,
                       sum);
    }
}

/* Tables: the low nibbles (k 0..15) and, or the high ones (k 16..31). */
V16_INLINE void dot_table(const uint8_t *w, __m256i table, const struct code_part *part,
                          __m256i sum[TOKENS_MAX][4])
{
    const __m256i mask = _mm256_set1_epi8(0x0f);
    KN_UNROLL
    for (int j = 0; j < 4; j++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++) {
            __m256i both = load_codes(w + 128 * j + 32 * q);
            __m256i first = _mm256_and_si256(both, mask);
            __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
            dot_signed(_mm256_shuffle_epi8(table, first), part, q, 4 * j, sum);
            dot_signed(_mm256_shuffle_epi8(table, second), part, q, 4 * j + 16, sum);
        }
    }
}

/* Unsigned weights, sums in int16 pairs. */
V16_INLINE void dot_pairs(__m256i weight, const struct code_part *part, int t, int q, int k,
                          __m256i sum[TOKENS_MAX][4])
{
    __m256i a = broadcast_codes(part->codes + t * part->ld + k);
    sum[t][q] = _mm256_add_epi16(sum[t][q], _mm256_maddubs_epi16(weight, a));
    KEEP_ORDER(sum[t][q]);
}

/* Nibbles, the low ones (k 0..15), the high ones (k 16..31) or both; sum is used as int16 pairs
 * until the end. */
V16_INLINE void dot_nibbles(const uint8_t *w, bool low, bool high, const struct code_part *part,
                            __m256i sum[TOKENS_MAX][4])
{
    const __m256i mask = _mm256_set1_epi8(0x0f), ones = _mm256_set1_epi16(1);
    KN_UNROLL
    for (int j = 0; j < 4; j++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++) {
            __m256i both = load_codes(w + 128 * j + 32 * q);
            __m256i first = _mm256_and_si256(both, mask);
            __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
            KN_UNROLL
            for (int t = 0; t < part->tokens; t++) {
                if (low)
                    dot_pairs(first, part, t, q, 4 * j, sum);
                if (high)
                    dot_pairs(second, part, t, q, 4 * j + 16, sum);
            }
        }
    }
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++)
            sum[t][q] = _mm256_madd_epi16(sum[t][q], ones);
    }
}

/* Integer sums of group g of one block. w: codes of the part's first quarter. */
V16_INLINE void dot_group(const struct code_form *form, const uint8_t *w, int g, __m256i table,
                          const struct code_part *part, const int32_t *offset,
                          __m256i sum[TOKENS_MAX][4])
{
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++)
            sum[t][q] = _mm256_setzero_si256();
    }
    if (form->bits == 8)
        dot_bytes(w, form->group, g, part, sum);
    else if (form->values)
        dot_table(w, table, part, sum);
    else
        dot_nibbles(w, g == 0, g == 1 || form->group == 32, part, sum);
    if (form->bits == 8 || form->zero == 0)
        return;
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) { /* from -128 * sum(activation codes) */
        const __m256i start = _mm256_set1_epi32(offset[t] >> (form->zero == 8 ? 4 : 5));
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++)
            sum[t][q] = _mm256_add_epi32(sum[t][q], start);
    }
}

/* 8 scales (field 0) or minimums (field 1) of group g, features 8 q..8 q + 7. */
V16_INLINE __m256 load_scales(const struct code_form *form, const uint8_t *header,
                              const uint8_t *block, int field, int g, int q)
{
    const int place = field * (32 / form->group) + g;
    if (form->scale == TN_SCALE_F32)
        return _mm256_loadu_ps((const float *)(const void *)block + 32 * place + 8 * q);
    const uint8_t *halves = form->scale == TN_SCALE_F16 ? block + 64 * place : header + 64 * field;
    const __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)halves + q));
    if (form->scale == TN_SCALE_F16)
        return d;
    const __m128i bytes =
        _mm_loadl_epi64((const __m128i *)(const void *)(block + 32 * place + 8 * q));
    return _mm256_mul_ps(
        d, _mm256_cvtepi32_ps(field ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes)));
}

/* What a block's place in the panel and in the activations is. */
struct code_place {
    const uint8_t *header, *block;
    const float *scales, *sums;
};

/* acc = fma(isum, d_w * d_a, acc), then with minimums acc = fma(m_w, sum_a, acc). */
V16_INLINE void add_group(const struct code_form *form, const struct code_place *at, int g,
                          const struct code_part *part, __m256i sum[TOKENS_MAX][4],
                          __m256 acc[TOKENS_MAX][4])
{
    KN_UNROLL
    for (int q = 0; q < part->quarters; q++) {
        const __m256 d = load_scales(form, at->header, at->block, 0, g, part->first_quarter + q);
        KN_UNROLL
        for (int t = 0; t < part->tokens; t++) {
            __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(at->scales[t]));
            acc[t][q] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t][q]), scale, acc[t][q]);
        }
    }
    if (!form->minimum)
        return;
    KN_UNROLL
    for (int q = 0; q < part->quarters; q++) {
        const __m256 m = load_scales(form, at->header, at->block, 1, g, part->first_quarter + q);
        KN_UNROLL
        for (int t = 0; t < part->tokens; t++) {
            const __m256 a = _mm256_set1_ps(at->sums[t]);
            acc[t][q] = form->scale == TN_SCALE_SUPER ? _mm256_fnmadd_ps(m, a, acc[t][q])
                                                      : _mm256_fmadd_ps(m, a, acc[t][q]);
        }
    }
}

V16_INLINE void prefetch_block(const uint8_t *w, int bytes)
{
    KN_UNROLL
    for (int i = 0; i < bytes / 64; i++)
        _mm_prefetch((const char *)w + PREFETCH_BYTES + 64 * i, _MM_HINT_T0);
}

V16_INLINE __m256i code_table(const struct code_form *form)
{
    if (!form->values)
        return _mm256_setzero_si256();
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)form->values));
}

KN_TILE_BODY void code_part_tile(const struct linear_tile *tile, const struct code_form *form,
                                 struct code_part part, bool prefetch)
{
    const int groups = 32 / form->group;
    const uint8_t *w = tile->w;
    struct code_place at = {NULL, NULL, tile->scales, groups == 2 ? tile->sums16 : tile->sums};
    const int32_t *offset = groups == 2 ? tile->offset16 : tile->offset;
    const __m256i table = code_table(form);
    __m256 acc[TOKENS_MAX][4];
    KN_UNROLL
    for (int t = 0; t < part.tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part.quarters; q++)
            acc[t][q] = _mm256_setzero_ps();
    }
    for (int64_t k = 0; k < tile->cols; k += form->k_block) {
        at.header = w;
        w += form->header_bytes;
        for (int b = 0; b < form->k_block; b += TN_QUANT_BLOCK) {
            const uint8_t *codes = w + form->codes_at + 32 * part.first_quarter;
            __m256i sum[TOKENS_MAX][4];
            if (prefetch)
                prefetch_block(w, form->block_bytes);
            at.block = w;
            KN_UNROLL
            for (int g = 0; g < groups; g++) {
                dot_group(form, codes, g, table, &part, offset, sum);
                add_group(form, &at, g, &part, sum, acc);
                at.sums += tile->ld_scales;
                offset += tile->ld_scales;
            }
            w += form->block_bytes;
            part.codes += TN_QUANT_BLOCK;
            at.scales += tile->ld_scales;
        }
    }
    KN_UNROLL
    for (int t = 0; t < part.tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part.quarters; q++)
            _mm256_storeu_ps(tile->out + t * tile->ld_out + 8 * (part.first_quarter + q),
                             acc[t][q]);
    }
}

V16_INLINE void code_tile(const struct linear_tile *tile, const struct code_form *form, int tokens,
                          bool prefetch)
{
    struct code_part part = {0, tokens == 1 ? 4 : 2, tokens, tile->codes, tile->ld_x};
    code_part_tile(tile, form, part, prefetch);
    if (tokens == 1)
        return;
    part.first_quarter = 2;
    code_part_tile(tile, form, part, false);
}

#endif

/*
 * linear, coded weights on AVX2 (no VNNI): one tile for every packed form.
 *
 * vpmaddubsw multiplies unsigned with signed bytes and adds pairs in int16, a dword lane is one
 * feature. It saturates at 32767, so:
 *   codes of up to 5 bits as they stand: a pair is at most 2 * 31 * 127 = 7874, four fit into int16
 *     (31496) before they are widened; 6 bits (16002): two. Forms with a zero then add
 *     -zero * sum(activation codes);
 *   bytes and tables: |w| times a with the sign of w, at most 2 * 128 * 127 = 32512; widened at
 *     once. Exact for w = -128 too (|w| = 128 unsigned). Activation codes are -127..127.
 * 16 registers: 1 and 2 tokens take the whole panel (4 registers of 8 features, one forward
 * stream); more take the two 16-feature halves one after the other, the second from L1. From 2
 * tokens on registers hold the sums of a group only; accumulators lie in memory, which the load and
 * store ports fetch beside the multiplications.
 *
 * Every field of a form is a compile-time constant of the tile function it is inlined into.
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_CODES_AVX2_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_CODES_AVX2_TMPL_H

#include "kernels/x86/linear_forms_tmpl.h"
#include "kernels/x86/linear_tile_tmpl.h"

#define TOKENS_MAX        4
#define ONE_STREAM_TOKENS 2
#define OFFSET_ROWS       4

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
    const int8_t *codes[2];              /* of this block: rows 0..2, row 3; addressing modes */
    int64_t ld;
    const uint8_t *ahead; /* as in struct linear_tile */
    int ahead_lines;
};

/* Activations of token t from k on. */
V16_INLINE const int8_t *part_codes(const struct code_part *part, int t, int k)
{
    return part->codes[t / 3] + t % 3 * part->ld + k;
}

/* sum[t][q] += signed weights of register q times activations k..k+3. */
V16_INLINE void dot_signed(__m256i weight, const struct code_part *part, int q, int k,
                           __m256i sum[TOKENS_MAX][4])
{
    const __m256i ones = _mm256_set1_epi16(1), size = _mm256_abs_epi8(weight);
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        __m256i a = broadcast_codes(part_codes(part, t, k));
        __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(a, weight));
        sum[t][q] = _mm256_add_epi32(sum[t][q], _mm256_madd_epi16(pairs, ones));
        KEEP_ORDER(sum[t][q]);
    }
}

/* v shifted so that its bit `from` comes to `to`; neighbours' bits come along. */
V16_INLINE __m256i move_bits(__m256i v, int from, int to)
{
    if (from < to)
        return _mm256_slli_epi16(v, to - from);
    return from > to ? _mm256_srli_epi16(v, from - to) : v;
}

/* The codes of dword j of 8 features as bytes (tensor/layout.h: planes). w: codes of the features'
 * part of a line. */
V16_INLINE __m256i weight_codes(const struct code_form *form, const uint8_t *w, int j,
                                __m256i table)
{
    const int bits = form->bits, low_bits = bits >= 4 ? 4 : 2;
    const __m256i low_mask = _mm256_set1_epi8((1 << low_bits) - 1);
    __m256i low, high;
    if (bits == 8 || form->spread)
        return load_codes(w + 128 * j);
    if (bits >= 4)
        low = move_bits(load_codes(w + 128 * (j % 4)), j / 4 * 4, 0);
    else
        low = move_bits(load_codes(w + 128 * (j / 4)), j % 4 * 2, 0);
    low = _mm256_and_si256(low, low_mask);
    if (bits == low_bits)
        return form->values ? _mm256_shuffle_epi8(table, low) : low;
    w += 128 * low_bits;
    if (bits == 6)
        high = move_bits(load_codes(w + 128 * (j / 4)), j % 4 * 2, 4);
    else
        high = move_bits(load_codes(w), j, low_bits);
    high = _mm256_and_si256(high, _mm256_set1_epi8((1 << bits) - (1 << low_bits)));
    return _mm256_or_si256(low, high);
}

/* Unsigned codes w[0..dwords) of register q times activations from dword j on. */
V16_INLINE void dot_unsigned(const __m256i w[4], int dwords, const struct code_part *part, int q,
                             int j, __m256i sum[TOKENS_MAX][4])
{
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        const int8_t *a = part_codes(part, t, 4 * j);
        __m256i pairs = _mm256_maddubs_epi16(w[0], broadcast_codes(a));
        KN_UNROLL
        for (int i = 1; i < dwords; i++)
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[i], broadcast_codes(a + 4 * i)));
        sum[t][q] = _mm256_add_epi32(sum[t][q], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        KEEP_ORDER(sum[t][q]);
    }
}

/* -zero * sum(activation codes), from -128 * sum. */
V16_INLINE __m256i sum_start(const struct code_form *form, const int32_t *offset, int t)
{
    if (form->bits == 8 || form->values || form->zero == 0)
        return _mm256_setzero_si256();
    return _mm256_set1_epi32(offset[t] >> offset_shift(form->zero));
}

/* Codes of up to 4 bits, dwords first..last - 1: int16 pairs of the whole group, sum += them. */
V16_INLINE void dot_small(const struct code_form *form, const uint8_t *w, int first, int last,
                          __m256i table, const struct code_part *part, __m256i sum[TOKENS_MAX][4])
{
    __m256i pairs[TOKENS_MAX][4];
    KN_UNROLL
    for (int i = 0; i < 8; i++) {
        /* low and high nibbles of a vector one after the other: one load does for both */
        const int j = form->bits == 4 && !form->spread ? i / 2 + i % 2 * 4 : i;
        if (j < first || j >= last)
            continue;
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++) {
            const __m256i codes = weight_codes(form, w + 32 * q, j, table);
            KN_UNROLL
            for (int t = 0; t < part->tokens; t++) {
                const __m256i a = broadcast_codes(part_codes(part, t, 4 * j));
                const __m256i p = _mm256_maddubs_epi16(codes, a);
                pairs[t][q] = j == first ? p : _mm256_add_epi16(pairs[t][q], p);
                KEEP_ORDER(pairs[t][q]);
            }
        }
    }
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++)
            sum[t][q] =
                _mm256_add_epi32(sum[t][q], _mm256_madd_epi16(pairs[t][q], _mm256_set1_epi16(1)));
    }
}

/* Wider codes, dwords first..last - 1. */
V16_INLINE void dot_wide(const struct code_form *form, const uint8_t *w, int first, int last,
                         __m256i table, const struct code_part *part, __m256i sum[TOKENS_MAX][4])
{
    const bool is_signed = form->bits == 8 || form->values;
    const int step = is_signed ? 1 : form->bits == 6 ? 2 : 4;
    KN_UNROLL
    for (int j = first; j < last; j += step) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++) {
            __m256i codes[4];
            KN_UNROLL
            for (int i = 0; i < step; i++)
                codes[i] = weight_codes(form, w + 32 * q, j + i, table);
            if (form->bits == 8)
                codes[0] = _mm256_xor_si256(codes[0], _mm256_set1_epi8((char)0x80));
            if (is_signed)
                dot_signed(codes[0], part, q, 4 * j, sum);
            else
                dot_unsigned(codes, step, part, q, j, sum);
        }
    }
}

/* Integer sums of group g of one block: exact, so any order of the products will do. w: codes of
 * the part's first quarter. */
V16_INLINE void dot_group(const struct code_form *form, const uint8_t *w, int g, __m256i table,
                          const struct code_part *part, const int32_t *offset,
                          __m256i sum[TOKENS_MAX][4])
{
    const int first = g * (form->group / 4), last = first + form->group / 4;
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++)
            sum[t][q] = sum_start(form, offset, t);
    }
    if (form->bits <= 4 && !form->values)
        dot_small(form, w, first, last, table, part, sum);
    else
        dot_wide(form, w, first, last, table, part, sum);
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

/* 16 of them, features 16 h..16 h + 15. */
V16_INLINE v16 load_scales16(const struct code_form *form, const uint8_t *header,
                             const uint8_t *block, int field, int g, int h)
{
    return V16_BOTH(load_scales(form, header, block, field, g, 2 * h),
                    load_scales(form, header, block, field, g, 2 * h + 1));
}

/* What a block's place in the panel and in the activations is. */
struct code_place {
    const uint8_t *header, *block;
    const float *scales, *sums;
};

/* Accumulators of a part; of 2 to 4 tokens they are kept in memory (on the stack, in L1). */
struct code_acc {
    __m256 of[TOKENS_MAX][4];
};
#define KEEP_IN_MEMORY(acc) __asm__("" : "+m"(acc))

/* acc = fma(isum, d_w * d_a, acc), then with minimums acc = fma(m_w, sum_a, acc). */
V16_INLINE void add_group(const struct code_form *form, const struct code_place *at, int g,
                          const struct code_part *part, __m256i sum[TOKENS_MAX][4],
                          struct code_acc *acc)
{
    KN_UNROLL
    for (int q = 0; q < part->quarters; q++) {
        const __m256 d = load_scales(form, at->header, at->block, 0, g, part->first_quarter + q);
        KN_UNROLL
        for (int t = 0; t < part->tokens; t++) {
            __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(at->scales[t]));
            acc->of[t][q] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t][q]), scale, acc->of[t][q]);
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
            acc->of[t][q] = form->scale == TN_SCALE_SUPER ? _mm256_fnmadd_ps(m, a, acc->of[t][q])
                                                          : _mm256_fmadd_ps(m, a, acc->of[t][q]);
        }
    }
}

V16_INLINE __m256i code_table(const struct code_form *form)
{
    if (!form->values)
        return _mm256_setzero_si256();
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)form->values));
}

KN_TILE_BODY void code_part_tile(const struct linear_tile *tile, const struct code_form *form,
                                 struct code_part part)
{
    const int groups = 32 / form->group;
    const bool in_memory = part.tokens >= 2;
    const uint8_t *w = tile->w;
    struct code_place at = {NULL, NULL, tile->scales, groups == 2 ? tile->sums16 : tile->sums};
    const int32_t *offset = groups == 2 ? tile->offset16 : tile->offset;
    const __m256i table = code_table(form);
    struct code_acc acc;
    KN_UNROLL
    for (int t = 0; t < part.tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part.quarters; q++)
            acc.of[t][q] = _mm256_setzero_ps();
    }
    for (int64_t k = 0; k < tile->cols; k += form->k_block) {
        at.header = w;
        w += form->header_bytes;
        for (int b = 0; b < form->k_block; b += TN_QUANT_BLOCK) {
            const uint8_t *codes = w + form->codes_at + 32 * part.first_quarter;
            __m256i sum[TOKENS_MAX][4];
            prefetch_block(&part.ahead, part.ahead_lines, w, form->block_bytes);
            at.block = w;
            KN_UNROLL
            for (int g = 0; g < groups; g++) {
                dot_group(form, codes, g, table, &part, offset, sum);
                if (in_memory)
                    KEEP_IN_MEMORY(acc);
                add_group(form, &at, g, &part, sum, &acc);
                if (in_memory)
                    KEEP_IN_MEMORY(acc);
                at.sums += tile->ld_scales;
                offset += tile->ld_scales;
            }
            w += form->block_bytes;
            part.codes[0] += TN_QUANT_BLOCK;
            if (part.tokens > 3)
                part.codes[1] += TN_QUANT_BLOCK;
            at.scales += tile->ld_scales;
        }
    }
    KN_UNROLL
    for (int t = 0; t < part.tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part.quarters; q++)
            _mm256_storeu_ps(tile->out + t * tile->ld_out + 8 * (part.first_quarter + q),
                             acc.of[t][q]);
    }
}

V16_INLINE void code_tile(const struct linear_tile *tile, const struct code_form *form, int tokens)
{
    const int quarters = tokens <= 2 ? 4 : 2;
    struct code_part part = {.quarters = quarters,
                             .tokens = tokens,
                             .codes = {tile->codes, tile->codes + 3 * tile->ld_x},
                             .ld = tile->ld_x,
                             .ahead = tile->ahead,
                             .ahead_lines = tile->ahead_lines};
    if (quarters == 2) /* both halves prefetch */
        part.ahead_lines = (tile->ahead_lines + 1) / 2;
    code_part_tile(tile, form, part);
    if (quarters == 4)
        return;
    part.first_quarter = 2;
    part.ahead += tile->cols / TN_QUANT_BLOCK * 64 * part.ahead_lines;
    part.ahead_lines = tile->ahead_lines / 2;
    code_part_tile(tile, form, part);
}

/* Codes of a block -> a byte each; tables: values + 128. */
V16_INLINE void spread_codes(const struct code_form *form, const struct code_form *to_form,
                             const uint8_t *codes, uint8_t *out)
{
    const __m256i table = code_table(form);
    const __m256i shift = _mm256_set1_epi8((char)(to_form->zero - form->zero));
    KN_UNROLL
    for (int j = 0; j < 8; j++) {
        KN_UNROLL
        for (int q = 0; q < 4; q++) {
            const __m256i v = weight_codes(form, codes + 32 * q, j, table);
            _mm256_storeu_si256((__m256i *)(void *)(out + 128 * j + 32 * q),
                                _mm256_add_epi8(v, shift));
        }
    }
}

/* Bytes and tables are multiplied as signed numbers. */
static bool wants_offsets(const struct tn_panel_form *form)
{
    return form->code_bits != 8 && form->zero != 0;
}

/* -128 * sums of the 16-k groups of one block: two groups x 4 rows. */
V16_INLINE __m256i block_offsets(const int8_t *const row[OFFSET_ROWS], int64_t k)
{
    __m256i part[OFFSET_ROWS];
    for (int i = 0; i < OFFSET_ROWS; i++) {
        const __m256i codes = load_codes((const uint8_t *)row[i] + k);
        part[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes),
                                    _mm256_set1_epi16(-128));
    }
    return _mm256_hadd_epi32(_mm256_hadd_epi32(part[0], part[1]),
                             _mm256_hadd_epi32(part[2], part[3]));
}

/* The first `count` of 4. */
V16_INLINE void store_offsets(int32_t *out, __m128i sums, int count)
{
    if (count == OFFSET_ROWS) {
        _mm_storeu_si128((__m128i *)(void *)out, sums);
        return;
    }
    if (count & 2) {
        _mm_storel_epi64((__m128i *)(void *)out, sums);
        sums = _mm_unpackhi_epi64(sums, sums);
        out += 2;
    }
    if (count & 1)
        *out = _mm_cvtsi128_si32(sums);
}

static void row_offsets(const int8_t *const row[OFFSET_ROWS], int count, int64_t cols, int64_t ld,
                        int32_t *out)
{
    for (int64_t k = 0; k < cols; k += 32, out += ld) {
        const __m256i both = block_offsets(row, k);
        const __m128i high = _mm256_extracti128_si256(both, 1);
        store_offsets(out, _mm_add_epi32(_mm256_castsi256_si128(both), high), count);
    }
}

static void row_offsets16(const int8_t *const row[OFFSET_ROWS], int count, int64_t cols, int64_t ld,
                          int32_t *out)
{
    for (int64_t k = 0; k < cols; k += 32, out += 2 * ld) {
        const __m256i both = block_offsets(row, k);
        store_offsets(out, _mm256_castsi256_si128(both), count);
        store_offsets(out + ld, _mm256_extracti128_si256(both, 1), count);
    }
}

#endif

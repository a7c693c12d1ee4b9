/*
 * linear, coded weights on AVX-512 VNNI: one tile for every packed form.
 *
 * vpdpbusd multiplies unsigned weight codes with signed activation codes; a dword lane is one
 * feature, the activation dword is broadcast. Panels store code + zero, so sums of forms with a
 * zero start at -zero * sum(activation codes); tables give value + 128 by vpshufb. The integer sum
 * of a group (32 k, or 16) is exact and goes into the float chain of NUMERICS.md. Scales of K
 * types are an f16 times an int8, which is exact in f32.
 *
 * Up to 6 tokens all int32 sums and f32 accumulators are in registers. 7 and 8 tokens: the sums
 * are, the accumulators lie in the output tile (L1) and are read and written once per group, which
 * the load and store ports do beside the multiplications; a tile of 8 reads and unpacks a weight
 * once where two of 4 do it twice.
 *
 * Every field of a form is a compile-time constant of the tile function it is inlined into.
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_CODES_AVX512_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_CODES_AVX512_TMPL_H

#include "kernels/x86/linear_forms_tmpl.h"
#include "kernels/x86/linear_tile_tmpl.h"

#define TOKENS_MAX        8
#define ONE_STREAM_TOKENS TOKENS_MAX
#define REGISTER_TOKENS   6 /* accumulators in registers */
#define OFFSET_ROWS       8

V16_INLINE __m512i broadcast_codes(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

V16_INLINE __m512i load_codes(const uint8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

/* Rows t of x: three per base pointer, so that they are addressing modes and not 8 pointers. */
struct code_rows {
    const int8_t *base[3];
    int64_t ld;
};

V16_INLINE const int8_t *code_row(const struct code_rows *x, int t)
{
    return x->base[t / 3] + t % 3 * x->ld;
}

/* sum += codes of vectors w0 (features 0..15), w1 (16..31) times activations k..k+3. */
V16_INLINE void dot_dword(__m512i w0, __m512i w1, const struct code_rows *x, int k, int tokens,
                          __m512i sum[TOKENS_MAX][2])
{
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        __m512i a = broadcast_codes(code_row(x, t) + k);
        sum[t][0] = _mm512_dpbusd_epi32(sum[t][0], w0, a);
        sum[t][1] = _mm512_dpbusd_epi32(sum[t][1], w1, a);
    }
}

/* v shifted so that its bit `from` comes to `to`; neighbours' bits come along. */
V16_INLINE __m512i move_bits(__m512i v, int from, int to)
{
    if (from < to)
        return _mm512_slli_epi16(v, (unsigned)(to - from));
    return from > to ? _mm512_srli_epi16(v, (unsigned)(from - to)) : v;
}

/* The codes of dword j, features 16 h..16 h + 15, as bytes (tensor/layout.h: planes). */
V16_INLINE __m512i weight_codes(const struct code_form *form, const uint8_t *w, int j, int h,
                                __m512i table)
{
    const int bits = form->bits, low_bits = bits >= 4 ? 4 : 2;
    __m512i low, high;
    w += 64 * h;
    if (bits == 8)
        return load_codes(w + 128 * j);
    if (bits >= 4)
        low = move_bits(load_codes(w + 128 * (j % 4)), j / 4 * 4, 0);
    else
        low = move_bits(load_codes(w + 128 * (j / 4)), j % 4 * 2, 0);
    if (bits == low_bits) {
        low = _mm512_and_si512(low, _mm512_set1_epi8(bits == 4 ? 15 : 3));
        return form->values ? _mm512_shuffle_epi8(table, low) : low;
    }
    w += 128 * low_bits;
    if (bits == 6)
        high = move_bits(load_codes(w + 128 * (j / 4)), j % 4 * 2, 4);
    else
        high = move_bits(load_codes(w), j, low_bits);
    low = _mm512_ternarylogic_epi32(_mm512_set1_epi8((1 << low_bits) - 1), low, high, 0xCA);
    return _mm512_and_si512(low, _mm512_set1_epi8((1 << bits) - 1));
}

/* sum += dword j of both halves times its activations. */
V16_INLINE void dot_codes(const struct code_form *form, const uint8_t *w, int j, __m512i table,
                          const struct code_rows *x, int tokens, __m512i sum[TOKENS_MAX][2])
{
    dot_dword(weight_codes(form, w, j, 0, table), weight_codes(form, w, j, 1, table), x, 4 * j,
              tokens, sum);
}

/* For few tokens: high nibbles stay where they are (x 16) and the sum is shifted once, which saves
 * a shift per vector. Starts at 0. */
V16_INLINE void dot_high_few(const uint8_t *w, const struct code_rows *x, int tokens,
                             __m512i sum[TOKENS_MAX][2])
{
    const __m512i mask = _mm512_set1_epi8((char)0xf0);
    KN_UNROLL
    for (int t = 0; t < tokens; t++)
        sum[t][0] = sum[t][1] = _mm512_setzero_si512();
    KN_UNROLL
    for (int j = 0; j < 4; j++)
        dot_dword(_mm512_and_si512(load_codes(w + 128 * j), mask),
                  _mm512_and_si512(load_codes(w + 128 * j + 64), mask), x, 4 * j + 16, tokens, sum);
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        sum[t][0] = _mm512_srai_epi32(sum[t][0], 4);
        sum[t][1] = _mm512_srai_epi32(sum[t][1], 4);
    }
}

/* -zero * sum(activation codes), from -128 * sum. */
V16_INLINE __m512i sum_start(const struct code_form *form, const int32_t *offset, int t)
{
    const int zero = form->values ? 128 : form->zero;
    if (zero == 0)
        return _mm512_setzero_si512();
    return _mm512_set1_epi32(offset[t] >> offset_shift(zero));
}

/* Integer sums of group g of one block: exact, so any order of the products will do. */
V16_INLINE void dot_group(const struct code_form *form, const uint8_t *w, int g, __m512i table,
                          const struct code_rows *x, int tokens, const int32_t *offset,
                          __m512i sum[TOKENS_MAX][2])
{
    const bool few = form->bits == 4 && !form->values && tokens <= 3;
    const bool starts = form->values || form->zero != 0;
    const int first = g * (form->group / 4), last = few ? 4 : first + form->group / 4;
    if (few)
        dot_high_few(w, x, tokens, sum);
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        const __m512i start = sum_start(form, offset, t);
        if (!few)
            sum[t][0] = sum[t][1] = start;
        else if (starts) {
            sum[t][0] = _mm512_add_epi32(sum[t][0], start);
            sum[t][1] = _mm512_add_epi32(sum[t][1], start);
        }
    }
    KN_UNROLL
    for (int i = 0; i < 8; i++) {
        /* low and high nibbles of a vector one after the other: one load does for both */
        const int j = form->bits == 4 && !few ? i / 2 + i % 2 * 4 : i;
        if (j >= first && j < last)
            dot_codes(form, w, j, table, x, tokens, sum);
    }
}

/* 16 scales (field 0) or minimums (field 1) of group g, features 16 h..16 h + 15. */
V16_INLINE v16 load_scales16(const struct code_form *form, const uint8_t *header,
                             const uint8_t *block, int field, int g, int h)
{
    const int groups = 32 / form->group, place = field * groups + g;
    if (form->scale == TN_SCALE_F32)
        return _mm512_loadu_ps((const float *)(const void *)block + 32 * place + 16 * h);
    if (form->scale == TN_SCALE_F16)
        return v16_load_f16((const uint16_t *)(const void *)block + 32 * place + 16 * h);
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + 32 * place) + h);
    const __m512i codes = field ? _mm512_cvtepu8_epi32(bytes) : _mm512_cvtepi8_epi32(bytes);
    return _mm512_mul_ps(v16_load_f16((const uint16_t *)(const void *)header + 32 * field + 16 * h),
                         _mm512_cvtepi32_ps(codes));
}

/* acc = fma(isum, d_w * d_a, acc), then with minimums acc = fma(m_w, sum_a, acc). */
V16_INLINE void add_group(const struct code_form *form, const uint8_t *header, const uint8_t *block,
                          int g, const float *scales, const float *sums, int tokens,
                          __m512i sum[TOKENS_MAX][2], __m512 acc[TOKENS_MAX][2])
{
    KN_UNROLL
    for (int h = 0; h < 2; h++) {
        const __m512 d = load_scales16(form, header, block, 0, g, h);
        KN_UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(scales[t]));
            acc[t][h] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t][h]), scale, acc[t][h]);
        }
    }
    if (!form->minimum)
        return;
    KN_UNROLL
    for (int h = 0; h < 2; h++) {
        const __m512 m = load_scales16(form, header, block, 1, g, h);
        KN_UNROLL
        for (int t = 0; t < tokens; t++) {
            const __m512 a = _mm512_set1_ps(sums[t]);
            acc[t][h] = form->scale == TN_SCALE_SUPER ? _mm512_fnmadd_ps(m, a, acc[t][h])
                                                      : _mm512_fmadd_ps(m, a, acc[t][h]);
        }
    }
}

/* value + 128 of the 16 codes of a table type, in every 128-bit part. */
V16_INLINE __m512i code_table(const struct code_form *form)
{
    if (!form->values)
        return _mm512_setzero_si512();
    const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)form->values);
    return _mm512_broadcast_i32x4(_mm_xor_si128(values, _mm_set1_epi8((char)0x80)));
}

/* Accumulators that do not fit into registers lie in the output tile. */
V16_INLINE void load_acc(const struct linear_tile *tile, int tokens, __m512 acc[TOKENS_MAX][2])
{
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        acc[t][0] = _mm512_loadu_ps(tile->out + t * tile->ld_out);
        acc[t][1] = _mm512_loadu_ps(tile->out + t * tile->ld_out + 16);
    }
}

V16_INLINE void store_acc(const struct linear_tile *tile, int tokens, __m512 acc[TOKENS_MAX][2])
{
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        _mm512_storeu_ps(tile->out + t * tile->ld_out, acc[t][0]);
        _mm512_storeu_ps(tile->out + t * tile->ld_out + 16, acc[t][1]);
    }
}

KN_TILE_BODY void code_tile(const struct linear_tile *tile, const struct code_form *form,
                            int tokens)
{
    const int groups = 32 / form->group;
    const bool in_memory = tokens > REGISTER_TOKENS;
    const uint8_t *w = tile->w, *ahead = tile->ahead;
    const float *scales = tile->scales, *sums = groups == 2 ? tile->sums16 : tile->sums;
    const int32_t *offset = groups == 2 ? tile->offset16 : tile->offset;
    const __m512i table = code_table(form);
    struct code_rows x = {{tile->codes, tile->codes + 3 * tile->ld_x, tile->codes + 6 * tile->ld_x},
                          tile->ld_x};
    __m512 acc[TOKENS_MAX][2];
    KN_UNROLL
    for (int t = 0; t < tokens; t++)
        acc[t][0] = acc[t][1] = _mm512_setzero_ps();
    if (in_memory)
        store_acc(tile, tokens, acc);
    for (int64_t k = 0; k < tile->cols; k += form->k_block) {
        const uint8_t *header = w;
        w += form->header_bytes;
        for (int b = 0; b < form->k_block; b += TN_QUANT_BLOCK) {
            __m512i sum[TOKENS_MAX][2];
            prefetch_block(&ahead, tile->ahead_lines, w, form->block_bytes);
            KN_UNROLL
            for (int g = 0; g < groups; g++) {
                dot_group(form, w + form->codes_at, g, table, &x, tokens, offset, sum);
                if (in_memory)
                    load_acc(tile, tokens, acc);
                add_group(form, header, w, g, scales, sums, tokens, sum, acc);
                if (in_memory)
                    store_acc(tile, tokens, acc);
                sums += tile->ld_scales;
                offset += tile->ld_scales;
            }
            w += form->block_bytes;
            KN_UNROLL
            for (int i = 0; i < (tokens + 2) / 3; i++)
                x.base[i] += TN_QUANT_BLOCK;
            scales += tile->ld_scales;
        }
    }
    if (!in_memory)
        store_acc(tile, tokens, acc);
}

/* Codes of a block -> a byte each; signed ones as code + 128, which tables give already. */
V16_INLINE void spread_codes(const struct code_form *form, const struct code_form *to_form,
                             const uint8_t *codes, uint8_t *out)
{
    const __m512i table = code_table(form);
    const __m512i shift = _mm512_set1_epi8((char)(form->values ? 0 : to_form->zero - form->zero));
    KN_UNROLL
    for (int i = 0; i < 16; i++) {
        const __m512i v = weight_codes(form, codes, i / 2, i % 2, table);
        _mm512_storeu_si512((void *)(out + 64 * i), _mm512_add_epi8(v, shift));
    }
}

static bool wants_offsets(const struct tn_panel_form *form)
{
    return form->zero != 0 || form->values;
}

/* Lanes 0..3 of each 128-bit part: the part's sums of a, b, c, d. */
V16_INLINE __m512i add_parts(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* -128 * sum of two blocks (64 bytes; with `one` only the first) of 8 rows: 8 rows' first block,
 * then 8 rows' second block. */
V16_INLINE __m512i sum_blocks(const int8_t *const row[OFFSET_ROWS], int64_t k, bool one)
{
    const __m512i order = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15);
    const __mmask16 mask = one ? 0x00ff : 0xffff;
    __m512i part[OFFSET_ROWS];
    KN_UNROLL
    for (int i = 0; i < OFFSET_ROWS; i++)
        part[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1),
                                      _mm512_maskz_loadu_epi32(mask, row[i] + k));
    __m512i p = add_parts(part[0], part[1], part[2], part[3]);
    __m512i q = add_parts(part[4], part[5], part[6], part[7]);
    __m512i sum =
        _mm512_add_epi32(_mm512_shuffle_i32x4(p, q, 0x88), _mm512_shuffle_i32x4(p, q, 0xDD));
    sum = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7));
    return _mm512_permutexvar_epi32(order, sum);
}

/* 2 blocks at a time. */
static void row_offsets(const int8_t *const row[OFFSET_ROWS], int count, int64_t cols, int64_t ld,
                        int32_t *out)
{
    const __mmask8 stored = (__mmask8)((1u << count) - 1u);
    for (int64_t k = 0; k < cols; k += 2 * TN_QUANT_BLOCK, out += 2 * ld) {
        const bool one = k + TN_QUANT_BLOCK == cols;
        const __m512i sum = sum_blocks(row, k, one);
        _mm256_mask_storeu_epi32(out, stored, _mm512_castsi512_si256(sum));
        if (!one)
            _mm256_mask_storeu_epi32(out + ld, stored, _mm512_extracti32x8_epi32(sum, 1));
    }
}

/* 4 groups at a time: types of groups of 16 have K in 256s. */
static void row_offsets16(const int8_t *const row[OFFSET_ROWS], int count, int64_t cols, int64_t ld,
                          int32_t *out)
{
    const __mmask8 stored = (__mmask8)((1u << count) - 1u);
    for (int64_t k = 0; k < cols; k += 2 * TN_QUANT_BLOCK, out += 4 * ld) {
        __m512i part[OFFSET_ROWS];
        KN_UNROLL
        for (int i = 0; i < OFFSET_ROWS; i++)
            part[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char)128),
                                          load_codes((const uint8_t *)row[i] + k));
        const __m512i p = add_parts(part[0], part[1], part[2], part[3]); /* [group][token] */
        const __m512i q = add_parts(part[4], part[5], part[6], part[7]);
        __m512i sum[2] = {
            _mm512_permutex2var_epi64(p, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), q),
            _mm512_permutex2var_epi64(p, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), q)};
        KN_UNROLL
        for (int i = 0; i < 2; i++) {
            sum[i] = _mm512_sub_epi32(_mm512_setzero_si512(), sum[i]);
            _mm256_mask_storeu_epi32(out + 2 * i * ld, stored, _mm512_castsi512_si256(sum[i]));
            _mm256_mask_storeu_epi32(out + (2 * i + 1) * ld, stored,
                                     _mm512_extracti32x8_epi32(sum[i], 1));
        }
    }
}

#endif

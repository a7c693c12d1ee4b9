/*
 * Packing, second half: staged rows -> PANEL32 (tensor/layout.h).
 *
 * A block of 32 k of 32 rows at a time, all of it in L1: its rows are staged (pack_stage_tmpl.h),
 * their dwords transposed (row r's dword j -> lane r of line j), and the lines written as the
 * planes of the form. Scales are one dword a row until here, so every step is a loop over 32 rows
 * that compilers turn into vectors; only the transposition is written with intrinsics. Stores go
 * through the caches: the first touch of a huge page has just cleared its lines there (streaming
 * stores: a quarter slower).
 *
 * Included once per machine class: by pack.c in plain C, by x86/pack__avx2.c.
 */
#ifndef HASTEN_KERNELS_PACK_TMPL_H
#define HASTEN_KERNELS_PACK_TMPL_H

#include "kernels/pack_stage_tmpl.h"

#ifdef __AVX2__
#include <immintrin.h>

static inline __m256i load_rows(const uint32_t *low, const uint32_t *high)
{
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
        _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

/* Dwords j..j+3 of 8 rows -> lines j..j+3, lanes of these rows: 4 x 4 in both halves. */
static inline void transpose_4x8(const uint32_t (*row)[8], int j, uint32_t *line)
{
    const __m256i a = load_rows(row[0] + j, row[4] + j), b = load_rows(row[1] + j, row[5] + j);
    const __m256i c = load_rows(row[2] + j, row[6] + j), d = load_rows(row[3] + j, row[7] + j);
    const __m256i ab0 = _mm256_unpacklo_epi32(a, b), ab1 = _mm256_unpackhi_epi32(a, b);
    const __m256i cd0 = _mm256_unpacklo_epi32(c, d), cd1 = _mm256_unpackhi_epi32(c, d);
    __m256i *to = (__m256i *)(void *)line;
    _mm256_storeu_si256(to, _mm256_unpacklo_epi64(ab0, cd0));
    _mm256_storeu_si256(to + 4, _mm256_unpackhi_epi64(ab0, cd0));
    _mm256_storeu_si256(to + 8, _mm256_unpacklo_epi64(ab1, cd1));
    _mm256_storeu_si256(to + 12, _mm256_unpackhi_epi64(ab1, cd1));
}
#else
static inline void transpose_4x8(const uint32_t (*row)[8], int j, uint32_t *line)
{
    for (int r = 0; r < 8; r++)
        for (int i = 0; i < 4; i++)
            line[i * TN_PANEL_ROWS + r] = row[r][j + i];
}
#endif

/* The first `dwords` (4 or 8) dwords of 32 rows -> as many lines of 32 lanes. */
static void transpose(const uint32_t row[TN_PANEL_ROWS][8], int dwords, uint32_t *line)
{
    for (int r = 0; r < TN_PANEL_ROWS; r += 8)
        for (int j = 0; j < dwords; j += 4)
            transpose_4x8(row + r, j, line + j * TN_PANEL_ROWS + r);
}

/* Lines of codes, one per byte, -> the planes of a form of 2 to 6 bits. */
static void put_planes(int bits, const uint32_t line[8][TN_PANEL_ROWS], uint32_t *out)
{
    if (bits >= 4)
        for (int j = 0; j < 4; j++, out += TN_PANEL_ROWS)
            for (int r = 0; r < TN_PANEL_ROWS; r++)
                out[r] = (line[j][r] & EACH(15)) | (line[j + 4][r] & EACH(15)) << 4;
    if (bits & 2) {
        const int shift = bits & 4;
        for (int e = 0; e < 8; e += 4, out += TN_PANEL_ROWS)
            for (int r = 0; r < TN_PANEL_ROWS; r++)
                out[r] = (line[e][r] >> shift & EACH(3)) |
                         (line[e + 1][r] >> shift & EACH(3)) << 2 |
                         (line[e + 2][r] >> shift & EACH(3)) << 4 |
                         (line[e + 3][r] >> shift & EACH(3)) << 6;
    }
    if (bits & 1) {
        memset(out, 0, TN_PANEL_ROWS * sizeof *out);
        for (int j = 0; j < 8; j++)
            for (int r = 0; r < TN_PANEL_ROWS; r++)
                out[r] |= (line[j][r] >> (bits - 1) & EACH(1)) << j;
    }
}

static void put_halves(const uint32_t dwords[TN_PANEL_ROWS], int shift, uint8_t *out)
{
    uint16_t halves[TN_PANEL_ROWS];
    for (int r = 0; r < TN_PANEL_ROWS; r++)
        halves[r] = (uint16_t)(dwords[r] >> shift);
    memcpy(out, halves, sizeof halves);
}

static void put_bytes(const uint32_t dwords[TN_PANEL_ROWS], int shift, uint8_t *out)
{
    for (int r = 0; r < TN_PANEL_ROWS; r++)
        out[r] = (uint8_t)(dwords[r] >> shift);
}

/* Scales and minimums of a block. */
static void put_scales(const struct tn_panel_form *form, const struct staged *staged,
                       uint8_t *block)
{
    if (form->scale == TN_SCALE_F32) {
        memcpy(block, staged->scales, sizeof staged->scales);
    } else if (form->scale == TN_SCALE_F16) {
        put_halves(staged->scales, 0, block);
        if (form->minimum)
            put_halves(staged->scales, 16, block + 64);
    } else {
        const int groups = TN_QUANT_BLOCK / form->group;
        const int used = groups * (form->minimum ? 2 : 1);
        for (int i = 0; i < used; i++)
            put_bytes(staged->scales, i < groups ? 8 * i : 16 + 8 * (i - groups), block + 32 * i);
        memset(block + 32 * used, 0, (size_t)(form->codes_at - 32 * used));
    }
}

static void put_header(const struct tn_panel_form *form, const struct staged *staged,
                       uint8_t *header)
{
    put_halves(staged->headers, 0, header);
    if (form->minimum)
        put_halves(staged->headers, 16, header + 64);
}

/* What rows beyond the matrix hold: scales 0, codes that mean 0 where the type has such. */
static void stage_missing(const struct tn_panel_form *form, bool paired, struct staged *staged)
{
    memset(staged, 0, sizeof *staged);
    memset(staged->codes, paired ? (form->zero & 15) * 0x11 : form->zero, sizeof staged->codes);
    memset(staged->highs, form->zero & 16 ? 0xff : 0, sizeof staged->highs);
}

/* Bit i of a row's dword -> the plane of high bits: bit i / 4 of byte i % 4. */
static void put_high_bits(const uint32_t highs[TN_PANEL_ROWS], uint32_t *out)
{
    memset(out, 0, TN_PANEL_ROWS * sizeof *out);
    for (int j = 0; j < 8; j++)
        for (int r = 0; r < TN_PANEL_ROWS; r++) /* bit i of 4 bits to bit 0 of byte i */
            out[r] |= ((highs[r] >> (4 * j) & 15) * 0x00204081u & EACH(1)) << j;
}

/* The codes of a block, behind its scales. */
static void put_codes(const struct tn_panel_form *form, bool paired, const struct staged *staged,
                      uint32_t *out)
{
    uint32_t line[8][TN_PANEL_ROWS];
    const uint32_t(*codes)[8] = (const uint32_t(*)[8])staged->codes;
    if (paired || form->code_bits == 8) {
        transpose(codes, paired ? 4 : 8, out);
        if (form->code_bits == 5)
            put_high_bits(staged->highs, out + 4 * TN_PANEL_ROWS);
        return;
    }
    transpose(codes, 8, line[0]);
    put_planes(form->code_bits, (const uint32_t(*)[TN_PANEL_ROWS])line, out);
}

static void pack_coded_panel(enum tn_dtype dtype, const uint8_t *first_row, int rows, int64_t cols,
                             uint8_t *panel)
{
    const struct tn_panel_form *form = tn_panel_form(dtype);
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    const struct staging *staging = &stagings[dtype];
    const int blocks = form->k_block / TN_QUANT_BLOCK;
    const size_t row_bytes = (size_t)(cols / info->block) * (size_t)info->block_bytes;
    struct staged staged;
    if (rows < TN_PANEL_ROWS)
        stage_missing(form, staging->paired, &staged);
    for (int64_t k = 0; k < cols; k += form->k_block, first_row += info->block_bytes) {
        uint8_t *header = panel;
        panel += form->header_bytes;
        for (int sub = 0; sub < blocks; sub++, panel += form->block_bytes) {
            staging->stage(first_row, row_bytes, rows, sub, &staged);
            put_scales(form, &staged, panel);
            put_codes(form, staging->paired, &staged, (uint32_t *)(void *)(panel + form->codes_at));
        }
        if (form->header_bytes)
            put_header(form, &staged, header);
    }
}

/* 32 bytes of 32 rows, `bytes` of them there (the others are 0), -> lines of dwords. */
static void transpose_plain(const uint8_t *first_row, size_t row_bytes, int rows, size_t bytes,
                            uint32_t line[8][TN_PANEL_ROWS])
{
    uint32_t staged[TN_PANEL_ROWS][8];
    if (rows < TN_PANEL_ROWS || bytes < sizeof staged[0])
        memset(staged, 0, sizeof staged);
    if (bytes == sizeof staged[0]) {
        for (int r = 0; r < rows; r++)
            memcpy(staged[r], first_row + (size_t)r * row_bytes, sizeof staged[r]);
    } else {
        for (int r = 0; r < rows; r++)
            memcpy(staged[r], first_row + (size_t)r * row_bytes, bytes);
    }
    transpose((const uint32_t(*)[8])staged, 8, line[0]);
}

/* F32, F16, BF16: element (k, r) at (k * 32 + r) * its bytes. */
static void pack_plain_panel(enum tn_dtype dtype, const uint8_t *first_row, int rows, int64_t cols,
                             uint8_t *panel)
{
    const size_t element_bytes = (size_t)tn_dtype_info(dtype)->block_bytes;
    const size_t row_bytes = (size_t)cols * element_bytes;
    for (size_t at = 0; at < row_bytes; at += 32) {
        uint32_t line[8][TN_PANEL_ROWS];
        const size_t bytes = row_bytes - at < 32 ? row_bytes - at : 32;
        transpose_plain(first_row + at, row_bytes, rows, bytes, line);
        if (element_bytes == 4) {
            memcpy(panel, line, bytes * TN_PANEL_ROWS);
        } else {
            for (size_t i = 0; i < bytes / 2; i++)
                put_halves(line[i / 2], i % 2 ? 16 : 0, panel + 64 * i);
        }
        panel += bytes * TN_PANEL_ROWS;
    }
}

static inline void pack_panels(const struct kn_packing *job, int64_t first, int64_t last)
{
    size_t row_bytes;
    if (!tn_row_bytes(job->dtype, job->cols, &row_bytes))
        return;
    const size_t panel_bytes = tn_panel_bytes(job->dtype, job->cols);
    for (int64_t p = first; p < last; p++) {
        const int64_t row = p * TN_PANEL_ROWS, left = job->rows - row;
        const int count = left < TN_PANEL_ROWS ? (int)left : TN_PANEL_ROWS;
        const uint8_t *first_row = job->source + (size_t)row * row_bytes;
        uint8_t *panel = job->target + (size_t)p * panel_bytes;
        if (tn_dtype_is_quantized(job->dtype))
            pack_coded_panel(job->dtype, first_row, count, job->cols, panel);
        else
            pack_plain_panel(job->dtype, first_row, count, job->cols, panel);
    }
}

#endif

/*
 * PANEL32 packing (tensor/layout.h): 32 rows side by side, k-blocks one after another, so that a
 * mat-mul reads one forward stream. Plain C: the work is memory bound, and panels are independent,
 * so loading packs them on all threads.
 */
#include <string.h>

#include "kernels/pack_stage.h"
#include "kernels/rows.h"
#include "kernels/rows_codec.h"

/* Place of dword j of row r (0..31) behind the scales: two 16-lane halves per j. */
static size_t dword_place(int j, int r)
{
    return ((size_t)j * 2 + (size_t)(r / 16)) * 64 + (size_t)(r % 16) * 4;
}

bool kn_can_pack(enum tn_dtype dtype)
{
    return tn_panel_bytes(dtype, tn_dtype_info(dtype)->block) != 0;
}

/* F32, F16, BF16: element (k, r) at (k * 32 + r) * bytes. */
static void pack_plain(const uint8_t *row, int64_t cols, int r, size_t element_bytes,
                       uint8_t *panel)
{
    uint8_t *target = panel + (size_t)r * element_bytes;
    size_t step = TN_PANEL_ROWS * element_bytes;
    if (element_bytes == 2) {
        for (int64_t k = 0; k < cols; k++)
            memcpy(target + (size_t)k * step, row + 2 * k, 2);
    } else {
        for (int64_t k = 0; k < cols; k++)
            memcpy(target + (size_t)k * step, row + 4 * k, 4);
    }
}

/* Scales and minimums of row r of a block of 32 k. */
static void place_scales(const struct tn_panel_form *form, const struct kn_staged *staged, int r,
                         uint8_t *block)
{
    if (form->scale == TN_SCALE_SUPER) {
        const int groups = TN_QUANT_BLOCK / form->group;
        for (int g = 0; g < groups; g++) {
            block[32 * g + r] = staged->scales[g];
            if (form->minimum)
                block[32 * (groups + g) + r] = staged->scales[2 + g];
        }
        return;
    }
    const size_t bytes = form->scale == TN_SCALE_F32 ? 4 : 2;
    memcpy(block + bytes * (size_t)r, staged->scales, bytes);
    if (form->minimum)
        memcpy(block + 32 * bytes + bytes * (size_t)r, staged->scales + bytes, bytes);
}

static void place_header(const struct tn_panel_form *form, const struct kn_staged *staged, int r,
                         uint8_t *header)
{
    memcpy(header + 2 * r, staged->header, 2);
    if (form->minimum)
        memcpy(header + 64 + 2 * r, staged->header + 2, 2);
}

/* What rows beyond the matrix hold: scales 0, codes that mean 0 where the type has such. */
static struct kn_staged missing_row(const struct tn_panel_form *form)
{
    struct kn_staged staged;
    memset(&staged, 0, sizeof staged);
    memset(staged.dwords, form->code_bits == 8 ? form->zero : form->zero * 0x11,
           sizeof staged.dwords);
    return staged;
}

/* The rows' block `sub` of 32 k, all at once so that the target stays in L1. source: the first
 * row's k-block in the file. */
static void pack_block(enum tn_dtype dtype, const uint8_t *source, size_t row_bytes, int rows,
                       int sub, uint8_t *header)
{
    const struct tn_panel_form *form = tn_panel_form(dtype);
    const kn_stager stage = kn_stager_of(dtype);
    uint8_t *block = header + form->header_bytes + sub * form->block_bytes;
    struct kn_staged staged = missing_row(form);
    memset(block, 0, (size_t)form->codes_at); /* i8 scales may leave a gap */
    for (int r = TN_PANEL_ROWS - 1; r >= 0; r--) {
        if (r < rows)
            stage(source + (size_t)r * row_bytes, sub, &staged);
        place_scales(form, &staged, r, block);
        for (int j = 0; j < form->code_bits; j++) /* 32 codes are as many dwords */
            memcpy(block + form->codes_at + dword_place(j, r), &staged.dwords[j], 4);
        if (form->header_bytes && sub == 0)
            place_header(form, &staged, r, header);
    }
}

static void pack_coded_panel(enum tn_dtype dtype, const uint8_t *first_row, int rows, int64_t cols,
                             uint8_t *panel)
{
    const struct tn_panel_form *form = tn_panel_form(dtype);
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    const int blocks = form->k_block / TN_QUANT_BLOCK;
    const size_t row_bytes = (size_t)(cols / info->block) * (size_t)info->block_bytes;
    const size_t step = tn_panel_bytes(dtype, form->k_block);
    for (int64_t k = 0; k < cols; k += form->k_block, panel += step) {
        for (int sub = 0; sub < blocks; sub++)
            pack_block(dtype, first_row, row_bytes, rows, sub, panel);
        first_row += info->block_bytes;
    }
}

static void pack_plain_panel(enum tn_dtype dtype, const uint8_t *first_row, int rows, int64_t cols,
                             uint8_t *panel)
{
    size_t element_bytes = (size_t)tn_dtype_info(dtype)->block_bytes;
    if (rows < TN_PANEL_ROWS)
        memset(panel, 0, tn_panel_bytes(dtype, cols));
    for (int r = 0; r < rows; r++)
        pack_plain(first_row + (size_t)r * (size_t)cols * element_bytes, cols, r, element_bytes,
                   panel);
}

void kn_pack_panels(enum tn_dtype dtype, const void *source, int64_t rows, int64_t cols,
                    int64_t first, int64_t last, void *target)
{
    size_t row_bytes;
    if (!tn_row_bytes(dtype, cols, &row_bytes))
        return;
    size_t panel_bytes = tn_panel_bytes(dtype, cols);
    for (int64_t p = first; p < last; p++) {
        int64_t row = p * TN_PANEL_ROWS;
        int count = rows - row < TN_PANEL_ROWS ? (int)(rows - row) : TN_PANEL_ROWS;
        const uint8_t *first_row = (const uint8_t *)source + (size_t)row * row_bytes;
        uint8_t *panel = (uint8_t *)target + (size_t)p * panel_bytes;
        if (tn_dtype_is_quantized(dtype))
            pack_coded_panel(dtype, first_row, count, cols, panel);
        else
            pack_plain_panel(dtype, first_row, count, cols, panel);
    }
}

/* Scale and minimum of group g of row r in a block of 32 k. */
static void read_scales(const struct tn_panel_form *form, const uint8_t *header,
                        const uint8_t *block, int r, int g, float scale_minimum[2])
{
    const int groups = TN_QUANT_BLOCK / form->group;
    scale_minimum[1] = 0.0f;
    if (form->scale == TN_SCALE_F32) {
        memcpy(scale_minimum, block + 4 * r, 4);
    } else if (form->scale == TN_SCALE_F16) {
        scale_minimum[0] = tn_f16_to_f32(kn_load_u16(block + 2 * r));
        if (form->minimum)
            scale_minimum[1] = tn_f16_to_f32(kn_load_u16(block + 64 + 2 * r));
    } else {
        float d = tn_f16_to_f32(kn_load_u16(header + 2 * r));
        scale_minimum[0] = d * (float)(int8_t)block[32 * g + r];
        if (form->minimum) {
            float dmin = tn_f16_to_f32(kn_load_u16(header + 64 + 2 * r));
            scale_minimum[1] = -(dmin * (float)block[32 * (groups + g) + r]);
        }
    }
}

/* Code i of row r in a block of 32 k. */
static int read_code(const struct tn_panel_form *form, const uint8_t *block, int r, int i)
{
    const uint8_t *codes = block + form->codes_at;
    if (form->code_bits == 8)
        return codes[dword_place(i / 4, r) + (size_t)(i % 4)] - form->zero;
    int pair = codes[dword_place(i % 16 / 4, r) + (size_t)(i % 4)];
    int nibble = i < 16 ? pair & 15 : pair >> 4;
    return form->values ? form->values[nibble] : nibble - form->zero;
}

/* scale * code [+ minimum] has the bits of the decoders in rows_decode.c: a - m is a + (-m). */
static void decode_panel_block(const struct tn_panel_form *form, const uint8_t *header,
                               const uint8_t *block, int r, float *out)
{
    for (int g = 0; g < TN_QUANT_BLOCK / form->group; g++) {
        float scale[2];
        read_scales(form, header, block, r, g, scale);
        for (int i = g * form->group; i < (g + 1) * form->group; i++) {
            float value = scale[0] * (float)read_code(form, block, r, i);
            out[i] = form->minimum ? value + scale[1] : value;
        }
    }
}

void kn_decode_panel_row(enum tn_dtype dtype, const void *packed, int64_t cols, int64_t row,
                         float *out)
{
    const struct tn_panel_form *form = tn_panel_form(dtype);
    const uint8_t *panel =
        (const uint8_t *)packed + (size_t)(row / TN_PANEL_ROWS) * tn_panel_bytes(dtype, cols);
    const int r = (int)(row % TN_PANEL_ROWS);
    if (!form) {
        const size_t element_bytes = (size_t)tn_dtype_info(dtype)->block_bytes;
        const uint8_t *element = panel + (size_t)r * element_bytes;
        for (int64_t k = 0; k < cols; k++, element += TN_PANEL_ROWS * element_bytes)
            kn_decode_row(dtype, element, 1, out + k);
        return;
    }
    const size_t step = tn_panel_bytes(dtype, form->k_block);
    for (int64_t k = 0; k < cols; k += form->k_block, panel += step)
        for (int i = 0; i < form->k_block; i += TN_QUANT_BLOCK)
            decode_panel_block(form, panel,
                               panel + form->header_bytes + i / TN_QUANT_BLOCK * form->block_bytes,
                               r, out + k + i);
}

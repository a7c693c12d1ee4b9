/*
 * PANEL32 packing (tensor/layout.h): 32 rows side by side, k-blocks one after another, so that a
 * mat-mul reads one forward stream. Plain C: the work is memory bound, and panels are independent,
 * so loading packs them on all threads.
 */
#include <string.h>

#include "kernels/rows.h"
#include "kernels/rows_codec.h"

#define PANEL_BLOCK_Q8_0 1088 /* bytes per k-block */
#define PANEL_BLOCK_Q4_1 640

/* Place of dword j of row r (0..31) behind the scales: two 16-lane halves per j. */
static size_t dword_place(int j, int r)
{
    return ((size_t)j * 2 + (size_t)(r / 16)) * 64 + (size_t)(r % 16) * 4;
}

bool kn_can_pack(enum tn_dtype dtype)
{
    return tn_panel_bytes(dtype, TN_QUANT_BLOCK) != 0;
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

static void pack_q8_0_block(const uint8_t *source, int r, uint8_t *block)
{
    memcpy(block + 2 * r, source, 2);
    for (int j = 0; j < 8; j++) {
        uint32_t codes;
        memcpy(&codes, source + 2 + 4 * j, 4);
        codes ^= 0x80808080u; /* q + 128 */
        memcpy(block + 64 + dword_place(j, r), &codes, 4);
    }
}

static void pack_q4_1_block(const uint8_t *source, int r, uint8_t *block)
{
    memcpy(block + 2 * r, source, 2);
    memcpy(block + 64 + 2 * r, source + 2, 2);
    for (int j = 0; j < 4; j++)
        memcpy(block + 128 + dword_place(j, r), source + 4 + 4 * j, 4);
}

/* Rows of one panel, k-block by k-block so that the target block stays in L1. */
static void pack_coded_panel(enum tn_dtype dtype, const uint8_t *first_row, int rows, int64_t cols,
                             uint8_t *panel)
{
    static const uint8_t zero_block[34]; /* codes and scales 0 in the file's form */
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    size_t source_step = (size_t)info->block_bytes;
    size_t row_bytes = (size_t)(cols / info->block) * source_step;
    size_t target_step = dtype == TN_Q8_0 ? PANEL_BLOCK_Q8_0 : PANEL_BLOCK_Q4_1;
    for (int64_t b = 0; b < cols / info->block; b++, panel += target_step) {
        for (int r = 0; r < TN_PANEL_ROWS; r++) {
            const uint8_t *source =
                r < rows ? first_row + (size_t)r * row_bytes + (size_t)b * source_step : zero_block;
            if (dtype == TN_Q8_0)
                pack_q8_0_block(source, r, panel);
            else
                pack_q4_1_block(source, r, panel);
        }
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

/* Rebuilds the file's block of row r from a packed k-block. */
static void unpack_block(enum tn_dtype dtype, const uint8_t *block, int r, uint8_t *out)
{
    memcpy(out, block + 2 * r, 2);
    if (dtype == TN_Q8_0) {
        for (int j = 0; j < 8; j++) {
            uint32_t codes;
            memcpy(&codes, block + 64 + dword_place(j, r), 4);
            codes ^= 0x80808080u;
            memcpy(out + 2 + 4 * j, &codes, 4);
        }
        return;
    }
    memcpy(out + 2, block + 64 + 2 * r, 2);
    for (int j = 0; j < 4; j++)
        memcpy(out + 4 + 4 * j, block + 128 + dword_place(j, r), 4);
}

void kn_decode_panel_row(enum tn_dtype dtype, const void *packed, int64_t cols, int64_t row,
                         float *out)
{
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    const uint8_t *panel =
        (const uint8_t *)packed + (size_t)(row / TN_PANEL_ROWS) * tn_panel_bytes(dtype, cols);
    int r = (int)(row % TN_PANEL_ROWS);
    if (!tn_dtype_is_quantized(dtype)) {
        size_t element_bytes = (size_t)info->block_bytes;
        const uint8_t *element = panel + (size_t)r * element_bytes;
        for (int64_t k = 0; k < cols; k++, element += TN_PANEL_ROWS * element_bytes)
            kn_decode_row(dtype, element, 1, out + k);
        return;
    }
    size_t step = dtype == TN_Q8_0 ? PANEL_BLOCK_Q8_0 : PANEL_BLOCK_Q4_1;
    uint8_t block[34];
    for (int64_t k = 0; k < cols; k += info->block, panel += step) {
        unpack_block(dtype, panel, r, block);
        kn_decode_row(dtype, block, info->block, out + k);
    }
}

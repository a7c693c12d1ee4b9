/* Sizes of physical layouts; every product is checked. See layout.h for the byte order. */
#include "tensor/layout.h"

#include "base/memory.h"

static const char *const layout_names[TN_LAYOUT_COUNT] = {
    [TN_LAYOUT_ROWS] = "rows",
    [TN_LAYOUT_PANEL32] = "panel32",
};

const char *tn_layout_name(enum tn_layout layout)
{
    return layout < TN_LAYOUT_COUNT ? layout_names[layout] : "unknown";
}

/* Bytes of one k-block (a type's block of k, 32 rows) of a panel; 0 when there is no panel form. */
static size_t panel_block_bytes(enum tn_dtype dtype)
{
    switch (dtype) {
    case TN_F32:
        return 128;
    case TN_F16:
    case TN_BF16:
        return 64;
    case TN_Q8_0:
        return 1088;
    case TN_Q4_1:
        return 640;
    default:
        return 0;
    }
}

size_t tn_panel_bytes(enum tn_dtype dtype, int64_t cols)
{
    size_t block_bytes = panel_block_bytes(dtype), bytes;
    int64_t block = tn_dtype_info(dtype)->block;
    if (block_bytes == 0 || cols < 1 || cols % block != 0 ||
        !hs_size_mul((size_t)(cols / block), block_bytes, &bytes))
        return 0;
    return bytes;
}

bool tn_weight_bytes(enum tn_dtype dtype, enum tn_layout layout, int64_t rows, int64_t cols,
                     size_t *bytes_out)
{
    size_t row_bytes;
    if (rows < 0 || !tn_row_bytes(dtype, cols, &row_bytes))
        return false;
    if (layout == TN_LAYOUT_ROWS)
        return hs_size_mul((size_t)rows, row_bytes, bytes_out);
    size_t panel_bytes = tn_panel_bytes(dtype, cols);
    size_t panels = (size_t)rows / TN_PANEL_ROWS + (rows % TN_PANEL_ROWS != 0);
    return layout == TN_LAYOUT_PANEL32 && panel_bytes != 0 &&
           hs_size_mul(panels, panel_bytes, bytes_out);
}

/* Sizes of the parts of an A8 value, each rounded up to 64 bytes. */
static bool a8_parts(int64_t rows, int64_t cols, size_t *codes_out, size_t *floats_out)
{
    size_t codes, floats;
    if (rows < 0 || cols < 0 || cols % TN_QUANT_BLOCK != 0)
        return false;
    return hs_size_mul((size_t)rows, (size_t)cols, &codes) &&
           hs_size_mul((size_t)rows, (size_t)(cols / TN_QUANT_BLOCK), &floats) &&
           hs_size_mul(floats, sizeof(float), &floats) && hs_size_align(codes, 64, codes_out) &&
           hs_size_align(floats, 64, floats_out);
}

bool tn_a8_bytes(int64_t rows, int64_t cols, size_t *bytes_out)
{
    size_t codes, floats, bytes;
    if (!a8_parts(rows, cols, &codes, &floats) || !hs_size_add(codes, floats, &bytes))
        return false;
    return hs_size_add(bytes, floats, bytes_out);
}

struct tn_a8 tn_a8_view(void *base, int64_t rows, int64_t cols)
{
    size_t codes = 0, floats = 0;
    (void)a8_parts(rows, cols, &codes, &floats); /* the caller has asked tn_a8_bytes before */
    uint8_t *bytes = base;
    return (struct tn_a8){(int8_t *)base, (float *)(void *)(bytes + codes),
                          (float *)(void *)(bytes + codes + floats)};
}

enum hasten_status tn_kv_layout_init(enum tn_dtype dtype, int kv_heads, int head_dim,
                                     struct hs_error *error, struct tn_kv_layout *layout_out)
{
    if (dtype != TN_F32 && dtype != TN_F16)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "use f16 or f32",
                       "KV pages cannot hold type %s",
                       dtype < TN_DTYPE_COUNT ? tn_dtype_info(dtype)->name : "?");
    if (kv_heads < 1 || kv_heads > 65536 || head_dim < 1 || head_dim > 65536)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "KV layout of %d heads of %d features is out of range 1..65536", kv_heads,
                       head_dim);
    int padded = (head_dim + 15) / 16 * 16;
    size_t head_bytes =
        (size_t)TN_PAGE_POSITIONS * (size_t)padded * (size_t)tn_dtype_info(dtype)->block_bytes;
    size_t k_bytes = (size_t)kv_heads * head_bytes; /* <= 2^16 * 2^5 * 2^16 * 4 */
    *layout_out = (struct tn_kv_layout){dtype, kv_heads, head_dim, padded, k_bytes, 2 * k_bytes};
    return HASTEN_OK;
}

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

/* The values of the 4-bit types that are tables. */
static const int8_t values_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t values_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* clang-format off */
#define FLAT(kind, minimum, bits, zero, values, scale_bytes)                                       \
    {kind, 32, minimum, bits, zero, values, 32, 0, scale_bytes, (scale_bytes) + 128 * (bits)}
#define SUPER(group, minimum, bits, zero, values, scale_bytes)                                     \
    {TN_SCALE_SUPER, group, minimum, bits, zero, values, 256, (minimum) ? 128 : 64, scale_bytes,   \
     (scale_bytes) + 128 * (bits)}
static const struct tn_panel_form panel_forms[TN_DTYPE_COUNT] = {
    /*                     scales        minimum bits zero values      bytes of scales */
    [TN_Q4_0]   = FLAT (TN_SCALE_F16, false,  4,   8,   NULL,        64),
    [TN_Q4_1]   = FLAT (TN_SCALE_F16, true,   4,   0,   NULL,        128),
    [TN_Q5_0]   = FLAT (TN_SCALE_F16, false,  5,   16,  NULL,        64),
    [TN_Q5_1]   = FLAT (TN_SCALE_F16, true,   5,   0,   NULL,        128),
    [TN_Q8_0]   = FLAT (TN_SCALE_F16, false,  8,   128, NULL,        64),
    [TN_IQ4_NL] = FLAT (TN_SCALE_F16, false,  4,   0,   values_iq4,  64),
    [TN_MXFP4]  = FLAT (TN_SCALE_F32, false,  4,   0,   values_e2m1, 128),
    [TN_Q2_K]   = SUPER(16,           true,   2,   0,   NULL,        128),
    [TN_Q3_K]   = SUPER(16,           false,  3,   4,   NULL,        64),
    [TN_Q4_K]   = SUPER(32,           true,   4,   0,   NULL,        64),
    [TN_Q5_K]   = SUPER(32,           true,   5,   0,   NULL,        64),
    [TN_Q6_K]   = SUPER(16,           false,  6,   32,  NULL,        64),
    [TN_IQ4_XS] = SUPER(32,           false,  4,   0,   values_iq4,  64),
};
/* clang-format on */

const struct tn_panel_form *tn_panel_form(enum tn_dtype dtype)
{
    return dtype < TN_DTYPE_COUNT && panel_forms[dtype].group ? &panel_forms[dtype] : NULL;
}

/* Bytes of one k-block (a type's block of k, 32 rows) of a panel; 0 when there is no panel form. */
static size_t panel_block_bytes(enum tn_dtype dtype)
{
    const struct tn_panel_form *form = tn_panel_form(dtype);
    if (form)
        return (size_t)(form->header_bytes + form->k_block / TN_QUANT_BLOCK * form->block_bytes);
    return dtype == TN_F32 ? 128 : dtype == TN_F16 || dtype == TN_BF16 ? 64 : 0;
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

bool tn_kv_dtype_valid(int32_t dtype)
{
    return dtype == TN_F32 || dtype == TN_F16 || dtype == TN_BF16 || dtype == TN_Q8_0;
}

int tn_kv_head_dim_padded(enum tn_dtype dtype, int head_dim)
{
    const int multiple = dtype == TN_Q8_0 ? 32 : 16;
    return (head_dim + multiple - 1) / multiple * multiple;
}

enum hasten_status tn_kv_layout_init(enum tn_dtype dtype, int kv_heads, int head_dim,
                                     struct hs_error *error, struct tn_kv_layout *layout_out)
{
    if (!tn_kv_dtype_valid((int32_t)dtype))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "use f32, f16, bf16 or q8_0",
                       "KV pages cannot hold type %s",
                       dtype < TN_DTYPE_COUNT ? tn_dtype_info(dtype)->name : "?");
    if (kv_heads < 1 || kv_heads > 65536 || head_dim < 1 || head_dim > 65536)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL,
                       "KV layout of %d heads of %d features is out of range 1..65536", kv_heads,
                       head_dim);
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    int padded = tn_kv_head_dim_padded(dtype, head_dim); /* whole blocks of the type */
    size_t head_bytes =
        (size_t)TN_PAGE_POSITIONS * (size_t)(padded / info->block) * (size_t)info->block_bytes;
    size_t k_bytes = (size_t)kv_heads * head_bytes; /* <= 2^16 * 2^5 * 2^16 * 4 */
    *layout_out =
        (struct tn_kv_layout){dtype, kv_heads, head_dim, padded, head_bytes, k_bytes, 2 * k_bytes};
    return HASTEN_OK;
}

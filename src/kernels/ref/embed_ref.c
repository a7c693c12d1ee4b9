/* embed and select_rows: rows picked by number. Unit: one output row. */
#include <string.h>

#include "kernels/ref/ref_util.h"
#include "kernels/rows.h"

static bool embed_accepts(const void *attrs)
{
    const struct op_embed_attrs *a = attrs;
    if (a->rows < 1 || a->cols < 1 || a->dtype < 0 || a->dtype >= TN_DTYPE_COUNT)
        return false;
    enum tn_dtype dtype = (enum tn_dtype)a->dtype;
    if (a->cols % tn_dtype_info(dtype)->block != 0)
        return false;
    return a->layout == TN_LAYOUT_ROWS ? kn_can_decode(dtype)
                                       : a->layout == TN_LAYOUT_PANEL32 && kn_can_pack(dtype);
}

static enum hasten_status embed_run(const struct kn_call *call, int64_t first, int64_t last,
                                    void *scratch)
{
    (void)scratch;
    const struct op_embed_attrs *a = call->attrs;
    const int32_t *ids = call->operand[0];
    const uint8_t *table = call->operand[1];
    float *out = kn_ref_output(call, 0);
    enum tn_dtype dtype = (enum tn_dtype)a->dtype;
    size_t row_bytes;
    if (!tn_row_bytes(dtype, a->cols, &row_bytes))
        return HASTEN_INVALID_ARGUMENT;
    for (int64_t t = first; t < last; t++) {
        float *row = out + t * a->cols;
        if (ids[t] < 0 || ids[t] >= a->rows)
            return HASTEN_INVALID_ARGUMENT;
        if (a->layout == TN_LAYOUT_ROWS)
            kn_decode_row(dtype, table + (size_t)ids[t] * row_bytes, a->cols, row);
        else
            kn_decode_panel_row(dtype, table, a->cols, ids[t], row);
        for (int64_t k = 0; k < a->cols; k++)
            row[k] = row[k] * a->scale;
    }
    return HASTEN_OK;
}

const struct kn_kernel kn_embed__ref = {
    .name = "embed__ref",
    .op = OP_EMBED,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = embed_accepts,
    .units = kn_ref_row_units,
    .run = embed_run,
};

static bool select_rows_accepts(const void *attrs)
{
    const struct op_row_attrs *a = attrs;
    return a->features >= 1;
}

static enum hasten_status select_rows_run(const struct kn_call *call, int64_t first, int64_t last,
                                          void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *a = call->attrs;
    const float *x = call->operand[0];
    float *out = kn_ref_output(call, 0);
    for (int64_t r = first; r < last; r++)
        memcpy(out + r * a->features, x + call->batch->rows[r] * a->features,
               (size_t)a->features * sizeof(float));
    return HASTEN_OK;
}

const struct kn_kernel kn_select_rows__ref = {
    .name = "select_rows__ref",
    .op = OP_SELECT_ROWS,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = select_rows_accepts,
    .units = kn_ref_row_units,
    .run = select_rows_run,
};

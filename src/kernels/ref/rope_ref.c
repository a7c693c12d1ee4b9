/* rope_table and rope_apply (NUMERICS.md, "rope"). Unit: one row. */
#include <string.h>

#include "kernels/math.h"
#include "kernels/ref/ref_util.h"

static bool table_accepts(const void *attrs)
{
    const struct op_rope_attrs *a = attrs;
    return a->dims >= 2 && a->dims % 2 == 0 && a->base > 0.0;
}

static bool apply_accepts(const void *attrs)
{
    const struct op_rope_attrs *a = attrs;
    return a->heads >= 1 && a->head_dim >= 1 && a->dims >= 2 && a->dims % 2 == 0 &&
           a->dims <= a->head_dim && (a->style == OP_ROPE_ADJACENT || a->style == OP_ROPE_HALVES);
}

/* Inputs: %batch [, factors f32[dims/2]]. */
static enum hasten_status table_run(const struct kn_call *call, int64_t first, int64_t last,
                                    void *scratch)
{
    (void)scratch;
    const struct op_rope_attrs *a = call->attrs;
    const float *factors = call->inputs > 1 ? call->operand[1] : NULL;
    float *out = kn_ref_output(call, 0);
    double log_base = kn_log(a->base);
    int half = a->dims / 2;
    for (int64_t t = first; t < last; t++) {
        for (int i = 0; i < half; i++) {
            double frequency = kn_exp(-((2.0 * i) / a->dims) * log_base) * a->position_scale;
            if (factors)
                frequency = frequency / (double)factors[i];
            double s, c;
            kn_sincos((double)call->batch->position[t] * frequency, &s, &c);
            out[(t * half + i) * 2] = (float)c;
            out[(t * half + i) * 2 + 1] = (float)s;
        }
    }
    return HASTEN_OK;
}

const struct kn_kernel kn_rope_table__ref = {
    .name = "rope_table__ref",
    .op = OP_ROPE_TABLE,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = table_accepts,
    .units = kn_ref_row_units,
    .run = table_run,
};

static enum hasten_status apply_run(const struct kn_call *call, int64_t first, int64_t last,
                                    void *scratch)
{
    (void)scratch;
    const struct op_rope_attrs *a = call->attrs;
    const float *x = call->operand[0], *table = call->operand[1];
    float *out = kn_ref_output(call, 0);
    int64_t features = (int64_t)a->heads * a->head_dim;
    for (int64_t t = first; t < last; t++) {
        float *row = out + t * features;
        if (out != x)
            memcpy(row, x + t * features, (size_t)features * sizeof(float));
        for (int h = 0; h < a->heads; h++)
            kn_ref_rotate(row + (int64_t)h * a->head_dim, a->dims, a->style, table + t * a->dims);
    }
    return HASTEN_OK;
}

const struct kn_kernel kn_rope_apply__ref = {
    .name = "rope_apply__ref",
    .op = OP_ROPE_APPLY,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = apply_accepts,
    .units = kn_ref_row_units,
    .run = apply_run,
};

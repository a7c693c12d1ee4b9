/* rmsnorm, quantize and rmsnorm_quantize (NUMERICS.md, "Row reductions" and "quantize"). Unit: one
 * row. Scratch of rmsnorm_quantize: the normalised row. */
#include <math.h>

#include "kernels/ref/ref_util.h"
#include "kernels/rows.h"

static bool norm_accepts(const void *attrs)
{
    const struct op_norm_attrs *a = attrs;
    return a->features >= 1 && a->group >= 0 && (a->group == 0 || a->features % a->group == 0);
}

/* One group of n features. */
static void normalize_group(const float *x, const float *weight, int64_t n, float eps, float *out)
{
    float lanes[KN_REF_LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        lanes[i % KN_REF_LANES] = fmaf(x[i], x[i], lanes[i % KN_REF_LANES]);
    float mean = kn_ref_sum_lanes(lanes) / (float)n;
    float inverse = 1.0f / sqrtf(mean + eps);
    for (int64_t i = 0; i < n; i++)
        out[i] = (x[i] * inverse) * weight[i];
}

static void normalize_row(const struct op_norm_attrs *a, const float *x, const float *weight,
                          float *out)
{
    int64_t n = a->group ? a->group : a->features;
    for (int64_t start = 0; start < a->features; start += n)
        normalize_group(x + start, weight, n, a->eps, out + start);
}

static enum hasten_status rmsnorm_run(const struct kn_call *call, int64_t first, int64_t last,
                                      void *scratch)
{
    (void)scratch;
    const struct op_norm_attrs *a = call->attrs;
    const float *x = call->operand[0], *weight = call->operand[1];
    float *out = kn_ref_output(call, 0);
    for (int64_t t = first; t < last; t++)
        normalize_row(a, x + t * a->features, weight, out + t * a->features);
    return HASTEN_OK;
}

const struct kn_kernel kn_rmsnorm__ref = {
    .name = "rmsnorm__ref",
    .op = OP_RMSNORM,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = norm_accepts,
    .units = kn_ref_row_units,
    .run = rmsnorm_run,
};

static bool quantize_accepts(const void *attrs)
{
    const struct op_row_attrs *a = attrs;
    return a->features >= 1 && a->features % TN_QUANT_BLOCK == 0;
}

static void quantize_row(const struct kn_call *call, int64_t t, int64_t features, const float *row)
{
    struct tn_a8 a8 = tn_a8_view(kn_ref_output(call, 0), call->rows, features);
    kn_quantize_row_ref(row, features, a8.codes + t * features, a8.scales + t, a8.sums + t,
                        call->rows);
}

static enum hasten_status quantize_run(const struct kn_call *call, int64_t first, int64_t last,
                                       void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *a = call->attrs;
    const float *x = call->operand[0];
    for (int64_t t = first; t < last; t++)
        quantize_row(call, t, a->features, x + t * a->features);
    return HASTEN_OK;
}

const struct kn_kernel kn_quantize__ref = {
    .name = "quantize__ref",
    .op = OP_QUANTIZE,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = quantize_accepts,
    .units = kn_ref_row_units,
    .run = quantize_run,
};

static bool norm_quantize_accepts(const void *attrs)
{
    const struct op_norm_attrs *a = attrs;
    return norm_accepts(attrs) && a->features % TN_QUANT_BLOCK == 0;
}

static size_t norm_quantize_scratch(const void *attrs)
{
    const struct op_norm_attrs *a = attrs;
    return (size_t)a->features * sizeof(float);
}

static enum hasten_status norm_quantize_run(const struct kn_call *call, int64_t first, int64_t last,
                                            void *scratch)
{
    const struct op_norm_attrs *a = call->attrs;
    const float *x = call->operand[0], *weight = call->operand[1];
    float *row = scratch;
    for (int64_t t = first; t < last; t++) {
        normalize_row(a, x + t * a->features, weight, row);
        quantize_row(call, t, a->features, row);
    }
    return HASTEN_OK;
}

const struct kn_kernel kn_rmsnorm_quantize__ref = {
    .name = "rmsnorm_quantize__ref",
    .op = OP_RMSNORM_QUANTIZE,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = norm_quantize_accepts,
    .units = kn_ref_row_units,
    .run = norm_quantize_run,
    .scratch_bytes = norm_quantize_scratch,
};

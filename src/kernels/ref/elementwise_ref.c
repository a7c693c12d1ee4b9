/* add, mul, silu, gelu_tanh, scale, softcap: one f32 operation (or kernels/math.h function) per
 * element. Unit: one row. May run in place. */
#include "kernels/math.h"
#include "kernels/ref/ref_util.h"

static bool row_accepts(const void *attrs)
{
    const struct op_row_attrs *a = attrs;
    return a->features >= 1;
}

static bool scale_accepts(const void *attrs)
{
    const struct op_scale_attrs *a = attrs;
    return a->features >= 1;
}

static bool softcap_accepts(const void *attrs)
{
    const struct op_scale_attrs *a = attrs;
    return a->features >= 1 && a->value > 0.0f;
}

static enum hasten_status add_run(const struct kn_call *call, int64_t first, int64_t last,
                                  void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *attrs = call->attrs;
    const float *a = call->operand[0], *b = call->operand[1];
    float *out = kn_ref_output(call, 0);
    for (int64_t i = first * attrs->features; i < last * attrs->features; i++)
        out[i] = a[i] + b[i];
    return HASTEN_OK;
}

static enum hasten_status mul_run(const struct kn_call *call, int64_t first, int64_t last,
                                  void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *attrs = call->attrs;
    const float *a = call->operand[0], *b = call->operand[1];
    float *out = kn_ref_output(call, 0);
    for (int64_t i = first * attrs->features; i < last * attrs->features; i++)
        out[i] = a[i] * b[i];
    return HASTEN_OK;
}

static enum hasten_status silu_run(const struct kn_call *call, int64_t first, int64_t last,
                                   void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *attrs = call->attrs;
    const float *x = call->operand[0];
    float *out = kn_ref_output(call, 0);
    for (int64_t i = first * attrs->features; i < last * attrs->features; i++)
        out[i] = kn_siluf(x[i]);
    return HASTEN_OK;
}

static enum hasten_status gelu_tanh_run(const struct kn_call *call, int64_t first, int64_t last,
                                        void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *attrs = call->attrs;
    const float *x = call->operand[0];
    float *out = kn_ref_output(call, 0);
    for (int64_t i = first * attrs->features; i < last * attrs->features; i++)
        out[i] = kn_gelu_tanhf(x[i]);
    return HASTEN_OK;
}

static enum hasten_status scale_run(const struct kn_call *call, int64_t first, int64_t last,
                                    void *scratch)
{
    (void)scratch;
    const struct op_scale_attrs *attrs = call->attrs;
    const float *x = call->operand[0];
    float *out = kn_ref_output(call, 0);
    for (int64_t i = first * attrs->features; i < last * attrs->features; i++)
        out[i] = x[i] * attrs->value;
    return HASTEN_OK;
}

static enum hasten_status softcap_run(const struct kn_call *call, int64_t first, int64_t last,
                                      void *scratch)
{
    (void)scratch;
    const struct op_scale_attrs *attrs = call->attrs;
    const float *x = call->operand[0];
    float *out = kn_ref_output(call, 0);
    for (int64_t i = first * attrs->features; i < last * attrs->features; i++)
        out[i] = attrs->value * kn_tanhf(x[i] / attrs->value);
    return HASTEN_OK;
}

#define ELEMENTWISE_KERNEL(id, op_name, accepts_fn)                                                \
    const struct kn_kernel kn_##op_name##__ref = {                                                 \
        .name = #op_name "__ref",                                                                  \
        .op = id,                                                                                  \
        .cpu_class = HS_CPU_CLASS_REF,                                                             \
        .accepts = accepts_fn,                                                                     \
        .units = kn_ref_row_units,                                                                 \
        .run = op_name##_run,                                                                      \
    };

ELEMENTWISE_KERNEL(OP_ADD, add, row_accepts)
ELEMENTWISE_KERNEL(OP_MUL, mul, row_accepts)
ELEMENTWISE_KERNEL(OP_SILU, silu, row_accepts)
ELEMENTWISE_KERNEL(OP_GELU_TANH, gelu_tanh, row_accepts)
ELEMENTWISE_KERNEL(OP_SCALE, scale, scale_accepts)
ELEMENTWISE_KERNEL(OP_SOFTCAP, softcap, softcap_accepts)

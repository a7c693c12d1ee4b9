/* Attribute tables and words of the text form; see fields.h. A new op needs a row in op_fields. */
#include "ir/fields.h"

#define FIELD(type, member, kind)                                                                  \
    {                                                                                              \
#member, IR_FIELD_##kind, offsetof(struct type, member)                                    \
    }

static const struct ir_field no_fields[] = {{0}};
static const struct ir_field row_fields[] = {FIELD(op_row_attrs, features, I64), {0}};
static const struct ir_field embed_fields[] = {
    FIELD(op_embed_attrs, rows, I64),    FIELD(op_embed_attrs, cols, I64),
    FIELD(op_embed_attrs, dtype, DTYPE), FIELD(op_embed_attrs, layout, LAYOUT),
    FIELD(op_embed_attrs, scale, F32),   {0}};
static const struct ir_field norm_fields[] = {FIELD(op_norm_attrs, features, I64),
                                              FIELD(op_norm_attrs, eps, F32),
                                              FIELD(op_norm_attrs, group, I32),
                                              {0}};
static const struct ir_field scale_fields[] = {
    FIELD(op_scale_attrs, features, I64), FIELD(op_scale_attrs, value, F32), {0}};
static const struct ir_field kv_fields[] = {FIELD(op_kv_attrs, kv_heads, I32),
                                            FIELD(op_kv_attrs, head_dim, I32),
                                            FIELD(op_kv_attrs, kv_layer, I32),
                                            FIELD(op_kv_attrs, kv_dtype, DTYPE),
                                            {0}};
static const struct ir_field rope_fields[] = {FIELD(op_rope_attrs, heads, I32),
                                              FIELD(op_rope_attrs, head_dim, I32),
                                              FIELD(op_rope_attrs, dims, I32),
                                              FIELD(op_rope_attrs, style, STYLE),
                                              FIELD(op_rope_attrs, base, F64),
                                              FIELD(op_rope_attrs, position_scale, F64),
                                              {0}};
static const struct ir_field attention_fields[] = {
    FIELD(op_attention_attrs, heads, I32),      FIELD(op_attention_attrs, kv_heads, I32),
    FIELD(op_attention_attrs, head_dim, I32),   FIELD(op_attention_attrs, window, I32),
    FIELD(op_attention_attrs, causal, I32),     FIELD(op_attention_attrs, scale, F32),
    FIELD(op_attention_attrs, softcap, F32),    FIELD(op_attention_attrs, kv_layer, I32),
    FIELD(op_attention_attrs, kv_dtype, DTYPE), {0}};
static const struct ir_field linear_fields[] = {FIELD(op_linear_attrs, cols, I64),
                                                FIELD(op_linear_attrs, input_a8, I32),
                                                FIELD(op_linear_attrs, unit_rows, I32),
                                                {0}};
const struct ir_field ir_segment_fields[] = {FIELD(op_segment, weight, I32),
                                             FIELD(op_segment, rows, I64),
                                             FIELD(op_segment, dtype, DTYPE),
                                             FIELD(op_segment, layout, LAYOUT),
                                             {0}};
const struct ir_field ir_segment_rope_fields[] = {FIELD(op_segment, rope_head_dim, I32),
                                                  FIELD(op_segment, rope_dims, I32),
                                                  FIELD(op_segment, rope_style, STYLE),
                                                  {0}};
const struct ir_field ir_segment_kv_fields[] = {FIELD(op_segment, kv_heads, I32),
                                                FIELD(op_segment, kv_head_dim, I32),
                                                FIELD(op_segment, kv_layer, I32),
                                                FIELD(op_segment, kv_dtype, DTYPE),
                                                {0}};

static const struct ir_field *const op_fields[OP_COUNT] = {
    [OP_EMBED] = embed_fields,
    [OP_RMSNORM] = norm_fields,
    [OP_MATMUL] = no_fields,
    [OP_ADD] = row_fields,
    [OP_MUL] = row_fields,
    [OP_SILU] = row_fields,
    [OP_GELU_TANH] = row_fields,
    [OP_SCALE] = scale_fields,
    [OP_SOFTCAP] = scale_fields,
    [OP_ROPE] = rope_fields,
    [OP_KV_APPEND] = kv_fields,
    [OP_ATTENTION] = attention_fields,
    [OP_SELECT_ROWS] = row_fields,
    [OP_ROPE_TABLE] = rope_fields,
    [OP_ROPE_APPLY] = rope_fields,
    [OP_QUANTIZE] = row_fields,
    [OP_RMSNORM_QUANTIZE] = norm_fields,
    [OP_ATTENTION_QUANTIZE] = attention_fields,
    [OP_LINEAR] = linear_fields,
};

const struct ir_field *ir_op_fields(enum op_id op)
{
    return op_fields[op];
}

const char *ir_step_name(int64_t kind)
{
    static const char *const names[] = {
        [OP_EPI_END] = "end",           [OP_EPI_ADD] = "add",
        [OP_EPI_ROPE] = "rope",         [OP_EPI_SCALE] = "scale",
        [OP_EPI_SOFTCAP] = "softcap",   [OP_EPI_GLU_SILU] = "glu_silu",
        [OP_EPI_GLU_GELU] = "glu_gelu", [OP_EPI_STORE] = "store",
        [OP_EPI_QUANTIZE] = "quantize", [OP_EPI_APPEND_K] = "append_k",
        [OP_EPI_APPEND_V] = "append_v", [OP_EPI_PAIRED] = "paired"};
    return kind >= 0 && kind <= OP_EPI_PAIRED ? names[kind] : "?";
}

const char *ir_style_name(int64_t style)
{
    return style == OP_ROPE_ADJACENT ? "adjacent" : style == OP_ROPE_HALVES ? "halves" : "?";
}

const char *ir_level_name(int64_t level)
{
    static const char *const names[] = {[IR_IMPORTED] = "imported",
                                        [IR_CANONICAL] = "canonical",
                                        [IR_LOWERED] = "lowered",
                                        [IR_LOWERING] = "lowering"};
    return level >= 0 && level <= IR_LOWERING ? names[level] : "?";
}

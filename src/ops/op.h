/*
 * The op table: every operation a graph can hold, once. Graphs (ir), kernels, passes and plans all
 * expand from it; nothing executes here.
 *
 * Columns of OP_TABLE: id, name, level, inputs, outputs, mixes, attributes
 *   level    C canonical: model builders emit it, gradient/quantize/shard passes accept it
 *            L lowered: only passes make it
 *            B both: canonical and directly executable
 *   inputs   number of value operands; OP_MANY when the attributes say how many
 *   mixes    ROW: every output row depends on the same input row only
 *            BATCH: reads other rows, therefore must take %batch (verified). Whether a network may
 *            be batched is a property of this column, not a hope.
 *            GATHER: picks rows by %batch's rows[] (row-local otherwise)
 *   attributes  struct name in op_attrs.h
 *
 * Shapes: T = tokens of the step, R = wanted rows. All activations are f32 [rows][features] unless
 * the op says otherwise; weights are [out features][in features] as in GGUF files.
 */
#ifndef HASTEN_OPS_OP_H
#define HASTEN_OPS_OP_H

#define OP_MANY (-1)

enum op_level { OP_CANONICAL = 1, OP_LOWERED = 2, OP_BOTH = 3 };
enum op_mixing { OP_MIX_ROW, OP_MIX_BATCH, OP_MIX_GATHER };

/* clang-format off */
#define OP_TABLE(X)                                                                                                   \
    /* id               name            level         in       out      mixes          attributes */                  \
    X(OP_EMBED,         "embed",        OP_BOTH,      2,       1,       OP_MIX_ROW,    op_embed_attrs)                \
    X(OP_RMSNORM,       "rmsnorm",      OP_BOTH,      2,       1,       OP_MIX_ROW,    op_norm_attrs)                 \
    X(OP_MATMUL,        "matmul",       OP_CANONICAL, 2,       1,       OP_MIX_ROW,    op_none_attrs)                 \
    X(OP_ADD,           "add",          OP_BOTH,      2,       1,       OP_MIX_ROW,    op_row_attrs)                  \
    X(OP_MUL,           "mul",          OP_BOTH,      2,       1,       OP_MIX_ROW,    op_row_attrs)                  \
    X(OP_SILU,          "silu",         OP_BOTH,      1,       1,       OP_MIX_ROW,    op_row_attrs)                  \
    X(OP_GELU_TANH,     "gelu_tanh",    OP_BOTH,      1,       1,       OP_MIX_ROW,    op_row_attrs)                  \
    X(OP_SCALE,         "scale",        OP_BOTH,      1,       1,       OP_MIX_ROW,    op_scale_attrs)                \
    X(OP_SOFTCAP,       "softcap",      OP_BOTH,      1,       1,       OP_MIX_ROW,    op_scale_attrs)                \
    X(OP_ROPE,          "rope",         OP_CANONICAL, OP_MANY, 1,       OP_MIX_BATCH,  op_rope_attrs)                 \
    X(OP_KV_APPEND,     "kv_append",    OP_BOTH,      4,       1,       OP_MIX_BATCH,  op_kv_attrs)                   \
    X(OP_ATTENTION,     "attention",    OP_BOTH,      3,       1,       OP_MIX_BATCH,  op_attention_attrs)            \
    X(OP_SELECT_ROWS,   "select_rows",  OP_BOTH,      2,       1,       OP_MIX_GATHER, op_row_attrs)                  \
    X(OP_ROPE_TABLE,    "rope_table",   OP_LOWERED,   OP_MANY, 1,       OP_MIX_BATCH,  op_rope_attrs)                 \
    X(OP_ROPE_APPLY,    "rope_apply",   OP_LOWERED,   2,       1,       OP_MIX_ROW,    op_rope_attrs)                 \
    X(OP_QUANTIZE,      "quantize",     OP_LOWERED,   1,       1,       OP_MIX_ROW,    op_row_attrs)                  \
    X(OP_RMSNORM_QUANTIZE, "rmsnorm_quantize", OP_LOWERED, 2,  1,       OP_MIX_ROW,    op_norm_attrs)                 \
    X(OP_ATTENTION_QUANTIZE, "attention_quantize", OP_LOWERED, 3, 1,    OP_MIX_BATCH,  op_attention_attrs)            \
    X(OP_LINEAR,        "linear",       OP_LOWERED,   OP_MANY, OP_MANY, OP_MIX_BATCH,  op_linear_attrs)
/* clang-format on */

#define OP_ENUM(id, name, level, inputs, outputs, mixes, attrs) id,
enum op_id { OP_TABLE(OP_ENUM) OP_COUNT };
#undef OP_ENUM

#include <stddef.h>

struct op_info {
    const char *name;
    enum op_level level;
    int inputs, outputs; /* OP_MANY: see the attributes */
    enum op_mixing mixes;
    size_t attrs_bytes;
};

/* Facts of an op; op must be < OP_COUNT. */
const struct op_info *op_info(enum op_id op);
/* Op of a name, or OP_COUNT. */
enum op_id op_from_name(const char *name, size_t name_bytes);

#endif

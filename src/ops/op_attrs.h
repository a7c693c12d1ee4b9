/*
 * Argument structs of the ops. Plain data without pointers: they are copied into graphs and plans
 * and compared bytewise (CSE), so they are always zero-initialised first.
 *
 * Operand order (inputs -> output):
 *   embed        ids i32[T], table W[vocab][E]                              -> f32[T][E]
 *   rmsnorm      x f32[n][E], weight f32[E]                                 -> f32[n][E]
 *   matmul       x f32[n][K], W[N][K]                                       -> f32[n][N]
 *   add, mul     a, b f32[n][E]                                             -> f32[n][E]
 *   silu, gelu_tanh, scale, softcap x f32[n][E]                             -> f32[n][E]
 *   rope         x f32[T][heads*head_dim], %batch [, factors f32[dims/2]]   -> as x
 *   kv_append    state, k f32[T][kv_heads*head_dim], v as k, %batch         -> state
 *   attention    q f32[T][heads*head_dim], state, %batch                    -> as q
 *   select_rows  x f32[T][E], %batch                                        -> f32[R][E]
 *   rope_table   %batch [, factors]: cosines and sines                      -> f32[T][dims/2][2]
 *   rope_apply   x, table                                                   -> as x
 *   quantize     x f32[n][K]                                                -> a8[n][K]
 *   *_quantize   as without _quantize                                       -> a8
 *   linear       x f32 or a8 [n][K], %batch, weights, epilogue operands     -> each output
 * linear's weights are those of segment 0, 1, ..; then the operands that epilogue steps name, in
 * order; it has one output per destination (see below).
 *
 * Sizes: a kernel sees no shapes, so every directly executable op carries its feature counts here;
 * the row count comes with the call. matmul is canonical only and takes its sizes from its values.
 * add, mul, silu, gelu_tanh, scale, softcap and rope_apply may write over their (first) input.
 * a8 outputs need features that are a multiple of 32.
 */
#ifndef HASTEN_OPS_OP_ATTRS_H
#define HASTEN_OPS_OP_ATTRS_H

#include <stdint.h>

#include "tensor/layout.h"

struct op_none_attrs {
    int32_t unused;
};

/* add, mul, silu, gelu_tanh, select_rows, quantize */
struct op_row_attrs {
    int64_t features; /* E, K */
};

struct op_embed_attrs {
    int64_t rows;   /* vocab; an id outside [0, rows) fails the step with INVALID_ARGUMENT */
    int64_t cols;   /* E */
    int32_t dtype;  /* enum tn_dtype of the table */
    int32_t layout; /* enum tn_layout of the table: PANEL32 when tied to a packed head */
    float scale;    /* rows are multiplied by it; 1 for llama, sqrt(E) for gemma */
    int32_t unused;
};

struct op_norm_attrs {
    int64_t features; /* E */
    float eps;
    int32_t group; /* features per norm group, weight f32[group]; 0 = the whole row, weight f32[E];
                    * head_dim for QK norm */
};

struct op_scale_attrs {
    int64_t features;
    float value; /* scale: x*value; softcap: value*tanh(x/value) */
    int32_t unused;
};

/* kv_append: rows of K and V go to their sequence's pages; a head's padding features are written
 * as zero. */
struct op_kv_attrs {
    int32_t kv_heads, head_dim;
    int32_t kv_layer; /* index of this state's layer inside its page group */
    int32_t kv_dtype; /* enum tn_dtype of the pages */
};

enum op_rope_style { OP_ROPE_ADJACENT, OP_ROPE_HALVES }; /* llama "NORM" pairs / NEOX pairs */

/* rope_table uses dims, base and position_scale only (heads, head_dim, style are 0 there, so that
 * Q and K share one table). */
struct op_rope_attrs {
    int32_t heads;
    int32_t head_dim;
    int32_t dims;  /* first dims of each head are rotated, even */
    int32_t style; /* enum op_rope_style */
    double base;
    double position_scale; /* angle = position * position_scale * base^(-2i/dims) / factor[i] */
};

struct op_attention_attrs {
    int32_t heads, kv_heads, head_dim;
    int32_t window;   /* 0: all earlier positions; n: the last n positions, own included */
    int32_t causal;   /* 1 */
    float scale;      /* scores are q*k*scale */
    float softcap;    /* 0: none */
    int32_t kv_layer; /* index of this state's layer inside its page group */
    int32_t kv_dtype; /* enum tn_dtype of the pages */
};

/*
 * linear: a list of weight segments over one activation, each followed by an epilogue that a shared
 * driver runs on the finished f32 tile in L1. Types of segments may differ (real files mix them),
 * so one physical pack serves fused, unfused, sharded and adapted plans.
 */
#define OP_LINEAR_SEGMENTS 4
#define OP_EPILOGUE_STEPS  4

enum op_epilogue_kind {
    OP_EPI_END,      /* no further step */
    OP_EPI_ADD,      /* tile += operand f32[n][N] (residual) */
    OP_EPI_ROPE,     /* rotate by operand rope_table; rope attributes in op_segment */
    OP_EPI_SCALE,    /* tile *= value */
    OP_EPI_SOFTCAP,  /* value * tanh(tile / value) */
    OP_EPI_GLU_SILU, /* tile = silu(tile of this segment) * tile of the next segment */
    OP_EPI_GLU_GELU, /* same with gelu_tanh */
    OP_EPI_STORE,    /* write f32[n][N]; last step */
    OP_EPI_QUANTIZE, /* write a8[n][N]; last step */
    OP_EPI_APPEND_K, /* write into pages of the operand state as K; last step */
    OP_EPI_APPEND_V, /* ... as V; last step */
    OP_EPI_PAIRED    /* consumed by the GLU of the previous segment; the only step */
};

struct op_epilogue_step {
    int32_t kind;    /* enum op_epilogue_kind */
    int32_t operand; /* input operand index (ADD, ROPE, APPEND: the state), else -1 */
    int32_t output;  /* output index (STORE, QUANTIZE, APPEND), else -1 */
    float value;     /* SCALE, SOFTCAP */
};

struct op_segment {
    int32_t dtype;  /* enum tn_dtype of the weight */
    int32_t layout; /* enum tn_layout of the weight as the instruction reads it */
    int32_t weight; /* input operand index */
    int64_t rows;   /* N: output features */
    int32_t rope_head_dim, rope_dims, rope_style;      /* for OP_EPI_ROPE */
    int32_t kv_heads, kv_head_dim, kv_layer, kv_dtype; /* for OP_EPI_APPEND_* */
    struct op_epilogue_step steps[OP_EPILOGUE_STEPS];
};

struct op_linear_attrs {
    int64_t cols;      /* K */
    int32_t segments;  /* used entries of segment[] */
    int32_t input_a8;  /* 1: x is a8, 0: x is f32 */
    int32_t unit_rows; /* output features per work unit: a multiple of 32, and of every rope head
                        * and KV head that an epilogue needs whole */
    int32_t outputs;
    struct op_segment segment[OP_LINEAR_SEGMENTS];
};

#endif

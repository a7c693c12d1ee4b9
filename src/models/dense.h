/*
 * What the families of dense decoder-only transformers have in common: metadata that all of them
 * carry, and the parts their graphs are put together from. A family adds what is its own: which
 * norms, which rope, which layers see how far.
 *
 * A builder remembers its first failure in `status`; after it every call does nothing and gives
 * IR_NONE, so a family checks once, in md_builder_finish.
 */
#ifndef HASTEN_MODELS_DENSE_H
#define HASTEN_MODELS_DENSE_H

#include "models/facts.h"

/* Layers, sizes, heads, context, norm epsilon, rope base (default 10000) and vocabulary of
 * ARCHITECTURE, each inside the limits at the head of dense_facts.c. Experts are UNSUPPORTED. */
HS_MUST_USE enum hasten_status md_read_dense(const struct gguf_file *file, const char *architecture,
                                             struct hs_error *error, struct md_facts *facts);

#define MD_LAYERS_MOST 1024
extern const struct md_range md_context_range; /* positions: contexts, windows */
extern const double md_rope_base_range[2];

struct md_rope {
    int64_t dims; /* of a head, even */
    enum op_rope_style style;
    double base, position_scale;
    ir_value_id factors; /* IR_NONE: none */
};
/* Rotated dims of a head (default: all) and the linear scaling of positions. Other scalings are
 * UNSUPPORTED. */
HS_MUST_USE enum hasten_status md_read_rope(const struct gguf_file *file, const char *architecture,
                                            const struct md_facts *facts, struct hs_error *error,
                                            struct md_rope *rope);

struct md_builder {
    const struct gguf_file *file;
    const struct md_options *options;
    struct hs_error *error;
    const struct md_facts *facts;
    struct ir_graph *graph;
    ir_dim tokens;
    ir_value_id batch;
    int32_t layer;             /* being built, IR_NONE outside layers */
    enum hasten_status status; /* first failure */
    uint8_t *used;             /* [tensor of the file] */
};

/* Starts a graph with its token input and %batch. file, options, error and facts are set by the
 * caller and outlive the builder. */
HS_MUST_USE enum hasten_status md_builder_start(struct md_builder *b);
/* Verified graph, or the first failure. A tensor of the file that the graph does not use is
 * UNSUPPORTED: honoured, it would change the result (biases, experts, extra norms). */
HS_MUST_USE enum hasten_status md_builder_finish(struct md_builder *b, struct ir_graph **graph_out);

/* Weight by name and expected shape (rows 0: a vector). */
ir_value_id md_weight(struct md_builder *b, const char *name, int64_t rows, int64_t cols);
/* Weight blk.LAYER.PART.weight. */
ir_value_id md_layer_weight(struct md_builder *b, const char *part, int64_t rows, int64_t cols);
/* The embedding table, and the head: output.weight, or the table when the file has none. */
ir_value_id md_table_weight(struct md_builder *b);
ir_value_id md_head_weight(struct md_builder *b, ir_value_id table);

/* Rows of the table times scale. */
ir_value_id md_embed(struct md_builder *b, ir_value_id table, float scale);
ir_value_id md_matmul(struct md_builder *b, ir_value_id x, ir_value_id matrix, int64_t features);
/* add, mul (two operands), silu, gelu_tanh (y IR_NONE) */
ir_value_id md_row_op(struct md_builder *b, enum op_id op, ir_value_id x, ir_value_id y,
                      int64_t features);
/* value * tanh(x / value); x itself when value is 0 */
ir_value_id md_softcap(struct md_builder *b, ir_value_id x, double value, int64_t features);
/* Over the whole row of `features`, or over each head of it (weight of head_dim). */
ir_value_id md_rmsnorm(struct md_builder *b, ir_value_id x, ir_value_id scale, int64_t features);
ir_value_id md_head_rmsnorm(struct md_builder *b, ir_value_id x, ir_value_id scale, int64_t heads);
ir_value_id md_rope(struct md_builder *b, ir_value_id x, int64_t heads, const struct md_rope *rope);
/* Rows whose logits are wanted. */
ir_value_id md_select_rows(struct md_builder *b, ir_value_id x);

/* A page group for layers that see `window` positions (0: all). */
int32_t md_group(struct md_builder *b, int32_t window);
struct md_attention {
    int32_t group; /* of md_group; its states are numbered as layers are built */
    int32_t window;
    double scale, softcap;
};
/* Appends K and V to the layer's state and attends it. */
ir_value_id md_attend(struct md_builder *b, const ir_value_id qkv[3],
                      const struct md_attention *attention);
/* Names the value as the graph's output. */
void md_finish_logits(struct md_builder *b, ir_value_id logits);

#endif

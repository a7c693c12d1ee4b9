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
ir_value_id md_table_weight(struct md_builder *b); /* of embeddings */

/* Rows of the table times scale. */
ir_value_id md_embed(struct md_builder *b, ir_value_id table, float scale);
ir_value_id md_matmul(struct md_builder *b, ir_value_id x, ir_value_id matrix, int64_t features);
/* add, mul (two operands), silu, gelu_tanh (y IR_NONE) */
ir_value_id md_row_op(struct md_builder *b, enum op_id op, ir_value_id x, ir_value_id y,
                      int64_t features);
/* Over the whole row of `features`, or over each head of it (weight of head_dim). */
ir_value_id md_rmsnorm(struct md_builder *b, ir_value_id x, ir_value_id scale, int64_t features);
ir_value_id md_head_rmsnorm(struct md_builder *b, ir_value_id x, ir_value_id scale, int64_t heads);
ir_value_id md_rope(struct md_builder *b, ir_value_id x, int64_t heads, const struct md_rope *rope);

/* A page group for layers that see `window` positions (0: all). */
int32_t md_group(struct md_builder *b, int32_t window);
struct md_attention {
    int32_t group; /* of md_group; its states are numbered as layers are built */
    int32_t window;
    double scale, softcap;
};
/* Q, K and V of the normed x. */
void md_project_qkv(struct md_builder *b, ir_value_id x, ir_value_id qkv[3]);
/* Appends K and V to the layer's state, attends it and projects what comes out. */
ir_value_id md_attend(struct md_builder *b, const ir_value_id qkv[3],
                      const struct md_attention *attention);
/* down(activation(gate) * up) of the normed x. */
ir_value_id md_gated_feed_forward(struct md_builder *b, ir_value_id x, enum op_id activation);
/* The graph's outputs for the wanted rows: the normed x, and its logits by output.weight, or by the
 * table when the file has none. softcap c > 0: c * tanh(logits / c). */
void md_head(struct md_builder *b, ir_value_id x, ir_value_id table, double softcap);

#endif

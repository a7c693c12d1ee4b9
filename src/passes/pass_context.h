/*
 * What the passes share: the graph in work, the target's questions, editing of linear nodes.
 *
 * A pass edits through ir_* calls and never renumbers; the driver compacts and verifies after it.
 * So at its start node ids are execution order and `uses` of values are right, and they stay valid
 * for what the pass has not touched. Out of memory is remembered by the graph (the driver asks).
 */
#ifndef HASTEN_PASSES_PASS_CONTEXT_H
#define HASTEN_PASSES_PASS_CONTEXT_H

#include "passes/pass.h"

struct ps_context {
    struct ir_graph *graph;
    const struct ps_target *target;
    struct hs_error *error;
    struct hs_arena scratch; /* emptied after each pass */
    const char *pass;        /* name, for notes */
};

bool ps_has_kernel(const struct ps_context *context, enum op_id op, const void *attrs);
/* count zeroed entries from the scratch arena; on NULL the graph is marked failed. */
void *ps_scratch(struct ps_context *context, int32_t count, size_t size);
/* Adds a node of one output that is to stand before `anchor` and belongs to its layer. */
void ps_insert_before(struct ps_context *context, ir_node_id anchor, enum op_id op,
                      const void *attrs, const ir_value_id *inputs, int32_t input_count,
                      ir_value_id output);
/* Does the value exist when node `node` starts? (ids are execution order) */
bool ps_is_before(const struct ps_context *context, ir_value_id value, ir_node_id node);
/* Node of op `op` that makes the value, if the value is read once; else IR_NONE. */
ir_node_id ps_sole_source(const struct ps_context *context, ir_value_id value, enum op_id op);

/*
 * A linear node taken apart: weights, operands and outputs of segments and steps are VALUE ids
 * while it is edited, so nothing shifts; ps_linear_store lays the operand lists out again (x,
 * %batch, weights by segment, then operands and outputs in the order steps name them) and chooses
 * unit_rows.
 */
struct ps_linear {
    ir_value_id x, batch;
    struct op_linear_attrs attrs;
};
void ps_linear_load(const struct ps_context *context, ir_node_id node, struct ps_linear *linear);
/* Puts it into the node and notes the pass; false, and nothing changes, when it does not fit the
 * limits or the target has no kernel for it. */
bool ps_linear_store(struct ps_context *context, ir_node_id node, const struct ps_linear *linear);
/* Segment that ends by storing the value as f32, or -1. */
int ps_linear_find_store(const struct ps_linear *linear, ir_value_id value);
/* Index of the last step of a segment. */
int ps_linear_last_step(const struct op_segment *segment);
/* Puts a step in front of the last one; false when there is no room. */
bool ps_linear_add_step(struct op_segment *segment, enum op_epilogue_kind kind,
                        ir_value_id operand);

#endif

/*
 * The passes in execution order: file (function ps_run_FILE), name, help, required.
 *
 * Before `legalize` the graph is canonical, from there on canonical and lowered ops stand side by
 * side until `rope_table` has run. Fusions come after merging, because they look for segments of
 * one linear.
 */
#ifndef HASTEN_PASSES_PASS_TABLE_H
#define HASTEN_PASSES_PASS_TABLE_H

#include "passes/pass_context.h"

#define PS_PASS_TABLE(X)                                                                           \
    X(narrow_rows, "narrow-rows", "after the last attention compute wanted rows only", false)      \
    X(legalize, "legalize", "matmul becomes linear, quantized weights get quantized inputs", true) \
    X(rope_table, "rope-table", "rope becomes a table shared by all layers and its use", true)     \
    X(cse, "cse", "equal nodes are computed once", false)                                          \
    X(pack, "pack", "weights are re-laid in panels of 32 rows", false)                             \
    X(merge_linear, "merge-linear", "linears of one input become one instruction", false)          \
    X(fuse_rope, "fuse-rope", "rope moves into the epilogue of its linear", false)                 \
    X(fuse_append, "fuse-append", "keys and values go straight into KV pages", false)              \
    X(fuse_residual, "fuse-residual", "residual additions move into the epilogue", false)          \
    X(fuse_glu, "fuse-glu", "activation(gate) * up moves into the epilogue", false)                \
    X(fuse_quantize, "fuse-quantize", "producers write quantized activations directly", false)     \
    X(dce, "dce", "nodes whose results nobody reads are dropped", false)

#define PS_PASS_DECLARE(file, name, help, required)                                                \
    enum hasten_status ps_run_##file(struct ps_context *context);
PS_PASS_TABLE(PS_PASS_DECLARE)
#undef PS_PASS_DECLARE

#endif

/*
 * Graph: a model as values and nodes. Everything that makes a model faster is a pass over it.
 *
 * - SSA: a value has one producer (or is an input, constant, state or %batch). Node and value ids
 *   are indices; nodes stand in execution order (a valid topological order at all times).
 * - State is SSA too: kv_append takes version n of a state and gives version n+1; a version has at
 *   most one writer (verified), so order needs no side channel.
 * - Every dim is an expression id: constant or mul*symbol + add. Symbols are bound per run.
 * - Constants are lazy expressions over named tensors of the model file (tensor, pack of
 *   another, ...), keyed by content; nothing is read when a graph is built.
 * - Three levels with a verifier each: imported, canonical (semantic ops only; every analysis
 *   works here), lowered (fused, packed, layouts chosen for one target).
 * One thread at a time. Memory: one arena, freed as a whole.
 */
#ifndef HASTEN_IR_GRAPH_H
#define HASTEN_IR_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "base/status.h"
#include "ops/op.h"
#include "ops/op_attrs.h"
#include "tensor/layout.h"

typedef int32_t ir_value_id;
typedef int32_t ir_node_id;
typedef int32_t ir_dim;   /* index into graph.dims */
typedef int32_t ir_const; /* index into graph.constants */
#define IR_NONE (-1)

enum ir_level {
    IR_IMPORTED,
    IR_CANONICAL,
    IR_LOWERED,
    IR_LOWERING /* on the way from canonical to lowered: both kinds of ops, only inside passes */
};

/* Symbols of a language model step. */
enum ir_symbol { IR_SYM_NONE, IR_SYM_TOKENS /* T */, IR_SYM_WANTED /* R */, IR_SYM_COUNT };
const char *ir_symbol_name(enum ir_symbol symbol); /* "T", "R" */

struct ir_dim_expr { /* mul * symbol + add; a constant has symbol NONE and mul 0 */
    enum ir_symbol symbol;
    int64_t mul, add;
};

enum ir_value_kind {
    IR_VALUE_INPUT, /* bound by the caller of a run (token ids) */
    IR_VALUE_BATCH, /* %batch */
    IR_VALUE_CONST, /* weight */
    IR_VALUE_STATE, /* a version of a state */
    IR_VALUE_TEMP
};

#define IR_RANK 4
struct ir_value {
    enum ir_value_kind kind;
    const char *name; /* printed after %; unique */
    enum tn_dtype dtype;
    enum tn_layout layout;
    int rank;
    ir_dim dims[IR_RANK]; /* outermost first: [rows][features] */
    ir_node_id producer;  /* IR_NONE for inputs, constants, first versions of states */
    int producer_output;
    ir_const constant; /* CONST */
    int32_t state;     /* STATE: index into graph.states */
    int32_t uses;      /* number of operands that read it, plus 1 if it is a graph output */
};

/* Constant expressions. */
enum ir_const_kind {
    IR_CONST_TENSOR, /* tensor `name` of the model file, as stored */
    IR_CONST_PACK    /* operand re-laid in `layout` */
};

struct ir_constant {
    enum ir_const_kind kind;
    const char *name; /* TENSOR */
    ir_const operand; /* PACK */
    enum tn_dtype dtype;
    enum tn_layout layout;
    int rank;
    int64_t dims[IR_RANK]; /* outermost first: [rows][cols] or [n] */
    ir_value_id value;     /* its CONST value, IR_NONE until ir_add_const */
};

/* A page group: layers whose KV pages share one table. */
struct ir_page_group {
    int32_t window; /* 0: everything is kept; n: positions older than n may be given back */
    int32_t layers; /* number of states in it */
    struct tn_kv_layout layout;
};

struct ir_state {
    const char *name; /* "kv.0" */
    int32_t group;    /* index into graph.groups */
    int32_t layer;    /* index inside the group */
};

#define IR_NODE_OPERANDS 20
struct ir_node {
    enum op_id op;
    int32_t inputs, outputs;
    ir_value_id input[IR_NODE_OPERANDS];
    ir_value_id output[IR_NODE_OPERANDS];
    void *attrs;   /* op_info(op)->attrs_bytes, owned by the arena */
    int32_t layer; /* model layer it came from, IR_NONE outside; for profiles */
    const char
        *note; /* how it came to be: pass names, e.g. "merge-linear+fuse-rope"; may be NULL */
    bool dead; /* removed; compacted by ir_graph_compact */
    ir_node_id before; /* waits to be moved before this node, IR_NONE: stands where it is */
};

/* What a language model's graph gives. The passes keep outputs as they are; a run computes both. */
enum ir_output {
    IR_OUT_LOGITS, /* f32[R][vocab] */
    IR_OUT_HIDDEN, /* f32[R][embedding], what the head reads (after the last norm); may be none */
    IR_OUTPUTS
};

struct ir_graph {
    struct hs_arena arena;
    enum ir_level level;
    const char *name; /* architecture */
    struct ir_dim_expr *dims;
    int32_t dim_count, dim_capacity;
    struct ir_value *values;
    int32_t value_count, value_capacity;
    struct ir_node *nodes;
    int32_t node_count, node_capacity;
    struct ir_constant *constants;
    int32_t constant_count, constant_capacity;
    ir_const *constant_index; /* private: open-addressing hash over constants, by content */
    int32_t constant_index_size;
    struct ir_page_group groups[4];
    int32_t group_count;
    struct ir_state *states;
    int32_t state_count, state_capacity;
    ir_value_id token_input, batch; /* graph interface of a language model */
    ir_value_id outputs[IR_OUTPUTS];
    bool failed; /* an allocation failed; builders check once with ir_graph_status */
};

/* Fresh empty graph (IR_CANONICAL); NULL when out of memory. Caller frees. */
struct ir_graph *ir_graph_new(const char *name);
void ir_graph_free(struct ir_graph **graph);
/* Deep copy (passes lower a copy, the canonical graph stays). NULL when out of memory. */
struct ir_graph *ir_graph_copy(const struct ir_graph *graph);
/* OUT_OF_MEMORY if any building call failed, else OK. Ids given out after a failure are 0 or
 * IR_NONE and safe to pass back in. */
HS_MUST_USE enum hasten_status ir_graph_status(const struct ir_graph *graph,
                                               struct hs_error *error);

/* Dims are hash-consed: equal expressions have equal ids. */
ir_dim ir_dim_const(struct ir_graph *graph, int64_t value);
ir_dim ir_dim_symbol(struct ir_graph *graph, enum ir_symbol symbol);
/* mul * symbol + add */
ir_dim ir_dim_affine(struct ir_graph *graph, enum ir_symbol symbol, int64_t mul, int64_t add);
/* Value under a binding: symbols[IR_SYM_COUNT]. */
int64_t ir_dim_eval(const struct ir_graph *graph, ir_dim dim, const int64_t *symbols);

/* Values. The name is copied; NULL makes %N. */
ir_value_id ir_add_input(struct ir_graph *graph, const char *name, enum tn_dtype dtype,
                         ir_dim rows);
ir_value_id ir_add_batch(struct ir_graph *graph);
ir_const ir_const_tensor(struct ir_graph *graph, const char *name, enum tn_dtype dtype, int rank,
                         const int64_t *dims);
ir_const ir_const_pack(struct ir_graph *graph, ir_const operand, enum tn_layout layout);
/* One value per constant: the same constant gives the same value. */
ir_value_id ir_add_const(struct ir_graph *graph, ir_const constant);
/* First version of a state; layer index = number of states already in the group. */
ir_value_id ir_add_state(struct ir_graph *graph, const char *name, int32_t group);
int32_t ir_add_group(struct ir_graph *graph, int32_t window, const struct tn_kv_layout *layout);
/* A temp of [rows][features] f32 (or a8), to be some node's output. */
ir_value_id ir_add_temp(struct ir_graph *graph, enum tn_dtype dtype, ir_dim rows, int64_t features);

/*
 * Adds a node at the end. attrs (size by the op) is copied; NULL gives zeroes. Output values are
 * given by the caller (fresh temps or state versions made by ir_next_version).
 */
ir_node_id ir_add_node(struct ir_graph *graph, enum op_id op, const void *attrs,
                       const ir_value_id *inputs, int32_t input_count, const ir_value_id *outputs,
                       int32_t output_count);
ir_value_id ir_next_version(struct ir_graph *graph, ir_value_id state);
/* Features (innermost dim, constant) of a value. */
int64_t ir_features(const struct ir_graph *graph, ir_value_id value);

/* Gives a value a name (copied, unique: the caller's duty) instead of its number. */
void ir_set_name(struct ir_graph *graph, ir_value_id value, const char *name);

/*
 * Editing, for passes. Node and value ids stay valid until ir_graph_compact, which renumbers both.
 */
void ir_replace_uses(struct ir_graph *graph, ir_value_id from, ir_value_id to);
void ir_kill_node(struct ir_graph *graph, ir_node_id node);
/* Puts another op into the place of a node: attrs are copied (NULL: zeroes), outputs get it as
 * producer, layer and note stay. */
void ir_rewrite_node(struct ir_graph *graph, ir_node_id node, enum op_id op, const void *attrs,
                     const ir_value_id *inputs, int32_t input_count, const ir_value_id *outputs,
                     int32_t output_count);
/* Asks for a node to stand right before another, which must not wait itself; several before one
 * keep their order. Takes place at the next ir_graph_compact (topology is the caller's duty). */
void ir_move_before(struct ir_graph *graph, ir_node_id node, ir_node_id before);
/* Appends "+text" to the node's note, unless the note ends with it. */
void ir_add_note(struct ir_graph *graph, ir_node_id node, const char *text);
/* Moves waiting nodes, drops dead nodes, unused values and constants, renumbers everything and
 * recomputes uses and producers. Values without a name are numbered in execution order. */
void ir_graph_compact(struct ir_graph *graph);
void ir_count_uses(struct ir_graph *graph);
bool ir_is_output(const struct ir_graph *graph, ir_value_id value);

/*
 * Verifier: operand counts and kinds by the op table, shapes and types op by op, %batch given to
 * every op that mixes rows, SSA order, one writer per state version, level (no lowered op in a
 * canonical graph). INTERNAL with the node's text as place.
 */
HS_MUST_USE enum hasten_status ir_verify(const struct ir_graph *graph, struct hs_error *error);

/* The line of one node, without line end. */
void ir_print_node(const struct ir_graph *graph, ir_node_id node, struct hs_buffer *out);
/* Text form, one node a line, as docs/IR.md describes; deterministic. */
void ir_print(const struct ir_graph *graph, struct hs_buffer *out);

/*
 * Graph of a text that ir_print wrote: printing it again gives the same text. The text is
 * untrusted: bounded (limits at the head of parse.c), and the graph is verified. CORRUPT_INPUT with
 * the line as place. Caller frees the graph.
 */
HS_MUST_USE enum hasten_status ir_parse(struct hs_str text, struct hs_error *error,
                                        struct ir_graph **graph_out);

#endif

/*
 * Plan: a lowered graph made executable for one target. Immutable; shared by concurrent runs.
 *
 * A flat array of instructions, each a kernel with operands as (space, offset): no raw pointer to
 * data, so a plan can be rebuilt, moved, or run on another device. Symbolic dims stay expressions,
 * bound when a step runs. Building is pure: nothing is read or executed.
 *
 * Memory plan: every temporary gets an offset in the run's arena for the bound T_max, R_max;
 * values whose lifetimes (by instruction index) overlap never overlap in bytes, and an output never
 * shares bytes with an input of the same instruction. A kernel's workspace is one more such value.
 * Greedy by size, first fit; offsets are staggered by odd multiples of the cache line, since rows
 * at 4 KiB multiples would fall into the same L1 sets.
 */
#ifndef HASTEN_PLAN_PLAN_H
#define HASTEN_PLAN_PLAN_H

#include "ir/graph.h"
#include "kernels/kernel.h"

enum pl_space {
    PL_NONE,  /* %batch: reached through kn_call.batch */
    PL_ARENA, /* offset: bytes in the run's arena */
    PL_CONST, /* offset: index into plan.constants */
    PL_STATE, /* offset: index into plan.states */
    PL_INPUT  /* offset: index of the input (0: token ids) */
};

struct pl_operand {
    enum pl_space space;
    int64_t offset;
};

struct pl_instruction {
    const struct kn_kernel *kernel;
    const void *attrs;
    struct ir_dim_expr rows; /* kn_call.rows */
    int32_t inputs, outputs;
    struct pl_operand operand[KN_OPERANDS];
    int64_t workspace; /* kn_call.workspace: offset in the arena */
    size_t workspace_bytes;
    int32_t layer;              /* model layer, or -1 */
    const char *note;           /* pass names, may be NULL */
    uint64_t weight_bytes;      /* constants read once per step */
    uint64_t multiply_adds_row; /* per row */
};

struct pl_constant {    /* what the constant store must provide */
    const char *tensor; /* name in the model file */
    enum tn_dtype dtype;
    enum tn_layout layout;
    int64_t rows, cols; /* cols innermost; a vector has one row */
    size_t size_bytes;
    bool is_used; /* read by an instruction; others (sources of packed ones) are never loaded */
};

struct pl_state {
    int32_t group, layer;
};

struct pl_limits {
    int64_t tokens_max;    /* T bound of a step */
    int64_t wanted_max;    /* R bound of a step */
    int64_t positions_max; /* of a sequence; longer ones work too, with less shared work */
};

struct pl_plan {
    struct hs_arena arena;
    enum hs_cpu_class cpu_class;
    struct pl_limits limits;
    struct pl_instruction *instructions;
    int32_t instruction_count;
    struct pl_constant *constants;
    int32_t constant_count;
    struct pl_state *states;
    int32_t state_count;
    struct ir_page_group groups[4];
    int32_t group_count;
    size_t arena_bytes;       /* of a run */
    size_t scratch_bytes;     /* per thread */
    struct pl_operand logits; /* f32[R][vocab] */
    int64_t vocab;
    struct pl_operand hidden; /* f32[R][hidden_size]; PL_NONE: the graph has no such output */
    int64_t hidden_size;
    int32_t hidden_count; /* the first so many instructions give it and write all states */
};

/* Builds the plan of a lowered, verified graph. Everything needed is copied. UNSUPPORTED when no
 * kernel of the class takes an instruction (place names it), LIMIT when sizes overflow. Caller
 * frees with pl_free. Thread-safe. */
HS_MUST_USE enum hasten_status pl_build(const struct ir_graph *lowered, enum hs_cpu_class cpu_class,
                                        const struct pl_limits *limits, struct hs_error *error,
                                        struct pl_plan **plan_out);
void pl_free(struct pl_plan **plan);

/* Text listing: one instruction a line (kernel, operands, bytes), for `hasten ir --plan`. */
void pl_print(const struct pl_plan *plan, struct hs_buffer *out);

#endif

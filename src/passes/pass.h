/*
 * Passes: graph -> graph. One pass a file, listed once in pass_table.h with name, help and whether
 * it is required; every optional one can be switched off by name (--no-pass NAME), and results do
 * not change by a bit: fusion moves work, never arithmetic.
 */
#ifndef HASTEN_PASSES_PASS_H
#define HASTEN_PASSES_PASS_H

#include "ir/graph.h"

/* What the target can execute, asked by passes so that no CPU fusion is hard-coded. Implemented by
 * the caller over the kernel table; context is passed through. */
struct ps_target {
    bool (*has_kernel)(void *context, enum op_id op, const void *attrs);
    bool (*can_pack)(void *context, enum tn_dtype dtype);
    void *context;
};

struct ps_options {
    const char *const *disabled; /* names of passes to leave out */
    int disabled_count;
};

struct ps_pass_info {
    const char *name;
    const char *help;
    bool required;
};

int ps_count(void);
const struct ps_pass_info *ps_at(int index); /* execution order */

/* Lowers a copy of a canonical graph with all passes but the disabled ones, verifying after each.
 * INVALID_ARGUMENT for an unknown or required name in disabled (hint: nearest). */
HS_MUST_USE enum hasten_status ps_lower(const struct ir_graph *canonical,
                                        const struct ps_target *target,
                                        const struct ps_options *options, struct hs_error *error,
                                        struct ir_graph **lowered_out);

#endif

/*
 * Evaluation of a template tree (internal to the template files).
 *
 * One struct tx_eval is one rendering: its values, scopes and caps. Every function that may fail
 * fills the error record with line and construct. Effort is counted in steps (a node visited, an
 * item touched, 64 bytes copied); memory is the arena's size.
 */
#ifndef HASTEN_TEXT_TEMPLATE_EVAL_H
#define HASTEN_TEXT_TEMPLATE_EVAL_H

#include <time.h>

#include "base/status.h"
#include "text/template_ast.h"

enum {
    TX_STEP_LIMIT = 20 * 1000 * 1000,
    TX_MEMORY_LIMIT = 256 << 20,
    TX_OUTPUT_LIMIT = 64 << 20,
    TX_RANGE_LIMIT = 100000, /* as Jinja2's sandbox */
    TX_EVAL_DEPTH = 1000     /* nodes under evaluation at a time: macros may call themselves */
};

struct tx_binding {
    struct hs_str name;
    struct tx_value value;
    struct tx_binding *next;
};

struct tx_scope {
    struct tx_binding *first;
    struct tx_scope *outer;
};

struct tx_macro {
    const struct tx_node *node;
    struct tx_scope *scope; /* that it was defined in */
};

struct tx_eval {
    struct hs_arena arena;
    struct hs_error *error;
    struct hs_buffer *out;
    size_t out_limit;         /* size at which out is full */
    struct tx_scope *scope;   /* all scopes live in the arena: macros keep theirs */
    struct tx_value captured; /* text of the block whose filters are being evaluated */
    const struct tm *now;     /* for strftime_now, or NULL */
    int line;                 /* of the node being evaluated */
    int depth;                /* of evaluation */
    int64_t steps;
};

/* Arguments of a call, filter or test, evaluated. */
struct tx_arguments {
    struct tx_value *items; /* [count] positional first, then keywords */
    struct hs_str *names;   /* [count] empty for positional ones */
    int count, positional;
};

enum tx_function { TX_FN_RAISE, TX_FN_RANGE, TX_FN_NAMESPACE, TX_FN_DICT, TX_FN_STRFTIME };

/* Fails with "chat template line N: ...". */
enum hasten_status tx_eval_fail(const struct tx_eval *eval, enum hasten_status status,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));
enum hasten_status tx_eval_memory(const struct tx_eval *eval);
/* Counts effort; LIMIT when it is used up. */
HS_MUST_USE enum hasten_status tx_eval_charge(struct tx_eval *eval, size_t steps);

/* Zeroed memory for count items, charged and capped. */
HS_MUST_USE enum hasten_status tx_eval_alloc(struct tx_eval *eval, size_t count, size_t size,
                                             void **memory_out);
/* List or tuple of count undefined items that the caller fills (then calls tx_eval_seal). */
HS_MUST_USE enum hasten_status tx_eval_list(struct tx_eval *eval, enum tx_value_kind kind,
                                            size_t count, struct tx_value *value_out);
/* Sets the depth of a filled list; LIMIT when it is too deep. */
HS_MUST_USE enum hasten_status tx_eval_seal(struct tx_eval *eval, const struct tx_value *list);
/* New empty dict or namespace; entry of one. */
HS_MUST_USE enum hasten_status tx_eval_dict(struct tx_eval *eval, enum tx_value_kind kind,
                                            struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_eval_put(struct tx_eval *eval, struct tx_dict *dict,
                                           const struct tx_value *key,
                                           const struct tx_value *value);
HS_MUST_USE enum hasten_status tx_eval_copy(struct tx_eval *eval, struct hs_str text,
                                            struct tx_value *value_out);
/* Copy of a buffer, which is freed in any case. */
HS_MUST_USE enum hasten_status tx_eval_take(struct tx_eval *eval, struct hs_buffer *buffer,
                                            struct tx_value *value_out);
/* Writes into eval->out. */
HS_MUST_USE enum hasten_status tx_eval_write(struct tx_eval *eval, struct hs_str text);
/* A new scope within `outer` becomes the current one. */
HS_MUST_USE enum hasten_status tx_eval_enter(struct tx_eval *eval, struct tx_scope *outer);
/* One more node under evaluation (LIMIT: too deep); whoever enters has to leave. */
HS_MUST_USE enum hasten_status tx_eval_descend(struct tx_eval *eval);
/* str(value). */
HS_MUST_USE enum hasten_status tx_eval_text(struct tx_eval *eval, const struct tx_value *value,
                                            struct hs_str *text_out);
/* Charges for writing out a value; LIMIT when its text would be too long. */
HS_MUST_USE enum hasten_status tx_eval_charge_text(struct tx_eval *eval,
                                                   const struct tx_value *value);
/* The items that iterating over value gives, as a list. */
HS_MUST_USE enum hasten_status tx_eval_items(struct tx_eval *eval, const struct tx_value *value,
                                             struct tx_value *list_out);
/* needle in haystack. */
HS_MUST_USE enum hasten_status tx_eval_contains(struct tx_eval *eval,
                                                const struct tx_value *haystack,
                                                const struct tx_value *needle, bool *found_out);

/* Argument by place or name, or NULL. */
const struct tx_value *tx_argument(const struct tx_arguments *arguments, int place,
                                   const char *name);
/* INVALID_ARGUMENT unless there are at least `least` positional ones and at most `most` in all. */
HS_MUST_USE enum hasten_status tx_check_count(const struct tx_eval *eval, struct hs_str what,
                                              const struct tx_arguments *arguments, int least,
                                              int most);

/* template_eval.c: the parts that statements in other files are made of. */
HS_MUST_USE enum hasten_status tx_evaluate(struct tx_eval *eval, const struct tx_node *node,
                                           struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_eval_arguments(struct tx_eval *eval, const struct tx_node *list,
                                                 struct tx_arguments *arguments);
/* Text that the statements of `list` write, in a new scope within `outer`. */
HS_MUST_USE enum hasten_status tx_eval_capture(struct tx_eval *eval, const struct tx_node *list,
                                               struct tx_scope *outer, struct tx_value *text_out);

/* template_macros.c */
HS_MUST_USE enum hasten_status tx_make_macro(struct tx_eval *eval, const struct tx_node *node,
                                             struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_call_macro(struct tx_eval *eval, const struct tx_macro *macro,
                                             const struct tx_arguments *arguments,
                                             struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_run_call_block(struct tx_eval *eval, const struct tx_node *node);

/* template_ops.c */
HS_MUST_USE enum hasten_status tx_apply_binary(struct tx_eval *eval, struct hs_str operator,
                                               const struct tx_value * a, const struct tx_value *b,
                                               struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_apply_compare(struct tx_eval *eval, struct hs_str operator,
                                                const struct tx_value * a, const struct tx_value *b,
                                                bool *holds_out);
HS_MUST_USE enum hasten_status tx_get_attribute(struct tx_eval *eval, const struct tx_value *object,
                                                struct hs_str name, struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_get_item(struct tx_eval *eval, const struct tx_value *object,
                                           const struct tx_value *index,
                                           struct tx_value *value_out);
/* object[bounds[0]:bounds[1]:bounds[2]], none where left out. */
HS_MUST_USE enum hasten_status tx_get_slice(struct tx_eval *eval, const struct tx_value *object,
                                            const struct tx_value bounds[3],
                                            struct tx_value *value_out);

/* template_filters.c */
HS_MUST_USE enum hasten_status tx_apply_filter(struct tx_eval *eval, struct hs_str name,
                                               const struct tx_value *value,
                                               const struct tx_arguments *arguments,
                                               struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_apply_test(struct tx_eval *eval, struct hs_str name,
                                             const struct tx_value *value,
                                             const struct tx_arguments *arguments, bool *holds_out);

/* template_methods.c */
bool tx_has_method(const struct tx_value *object, struct hs_str name);
HS_MUST_USE enum hasten_status tx_call_method(struct tx_eval *eval, const struct tx_method *method,
                                              const struct tx_arguments *arguments,
                                              struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_call_function(struct tx_eval *eval, enum tx_function function,
                                                const struct tx_arguments *arguments,
                                                struct tx_value *value_out);
/* Text helpers that filters and methods share. */
HS_MUST_USE enum hasten_status tx_text_case(struct tx_eval *eval, struct hs_str text, bool upper,
                                            struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_text_capitalize(struct tx_eval *eval, struct hs_str text,
                                                  struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_text_replace(struct tx_eval *eval, struct hs_str text,
                                               const struct tx_arguments *arguments,
                                               struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_text_join(struct tx_eval *eval, struct hs_str separator,
                                            const struct tx_value *list, bool convert,
                                            struct tx_value *value_out);
/* The lines of a text as str.splitlines() cuts them. */
HS_MUST_USE enum hasten_status tx_text_lines(struct tx_eval *eval, struct hs_str text,
                                             struct tx_value *list_out);
/* template_format.c: Markup with HTML's special characters written out; format % values;
 * format.format(arguments); strftime_now(arguments). */
HS_MUST_USE enum hasten_status tx_text_escape(struct tx_eval *eval, struct hs_str text,
                                              struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_text_percent(struct tx_eval *eval, struct hs_str format,
                                               const struct tx_value *values,
                                               struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_text_braces(struct tx_eval *eval, struct hs_str format,
                                              const struct tx_arguments *arguments,
                                              struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_call_strftime(struct tx_eval *eval,
                                                const struct tx_arguments *arguments,
                                                struct tx_value *value_out);
HS_MUST_USE enum hasten_status tx_dict_items(struct tx_eval *eval, const struct tx_dict *dict,
                                             struct tx_value *value_out);

/* template_eval.c: renders tree into eval->out. */
HS_MUST_USE enum hasten_status tx_eval_tree(struct tx_eval *eval, const struct tx_node *tree);
/* Sets a variable of the current scope. */
HS_MUST_USE enum hasten_status tx_eval_set(struct tx_eval *eval, struct hs_str name,
                                           const struct tx_value *value);

#endif

/*
 * Attributes by name: one table an op, shared by the printer and the parser, so that what is
 * printed is what is read. Also the words of the text form. docs/IR.md describes the text.
 */
#ifndef HASTEN_IR_FIELDS_H
#define HASTEN_IR_FIELDS_H

#include <stddef.h>

#include "ir/graph.h"

enum ir_field_kind {
    IR_FIELD_I32,
    IR_FIELD_I64,
    IR_FIELD_F32,
    IR_FIELD_F64,
    IR_FIELD_DTYPE,
    IR_FIELD_LAYOUT,
    IR_FIELD_STYLE
};

struct ir_field { /* a table ends with a field without a name */
    const char *name;
    enum ir_field_kind kind;
    size_t offset;
};

/* Fields of an op's attributes in the order they are written; of linear those before its segments.
 */
const struct ir_field *ir_op_fields(enum op_id op);
/* Fields of a linear's segment: always, with a rope step, with an append step. */
extern const struct ir_field ir_segment_fields[];
extern const struct ir_field ir_segment_rope_fields[];
extern const struct ir_field ir_segment_kv_fields[];

/* Words; "?" for a value outside the table. */
const char *ir_step_name(int64_t kind);   /* enum op_epilogue_kind */
const char *ir_style_name(int64_t style); /* enum op_rope_style */
const char *ir_level_name(int64_t level); /* enum ir_level */

#endif

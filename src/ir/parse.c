/*
 * Text form -> graph (docs/IR.md): recursive descent over one line at a time, the inverse of
 * print.c, which shares its attribute tables (fields.h). The text is untrusted: every count, depth
 * and number is bounded here, names are looked up in a hash, and the finished graph goes through
 * the verifier, so a wrong text is an error with its line and never a wrong graph.
 *
 * Parsing functions return false after the first failure, which `status` and the error record keep;
 * out of memory is kept by the graph. Values are numbered again in execution order at the end, as
 * in every compacted graph, so texts survive a round trip unchanged.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/fields.h"

enum { NAME_BYTES = 256, WORD_BYTES = 32, NOTE_BYTES = 1024, PACK_DEPTH = 4 };
#define TEXT_BYTES_MOST   ((size_t)16 << 20)
#define DIM_MOST          ((int64_t)1 << 40)
#define ELEMENTS_MOST     ((int64_t)1 << 60)
#define DIM_EXPRS_MOST    4096 /* dims are searched in order */
#define NAMES_SLOTS_LEAST 256
#define NAME_PROBES_MOST  512

struct name_slot {
    const char *name; /* NULL: free */
    ir_value_id value;
};

struct type {
    bool is_state;
    enum tn_dtype dtype;
    int rank;
    ir_dim dims[IR_RANK];
};

/* A node line as read, before it becomes a node. */
struct node_text {
    struct {
        char name[NAME_BYTES];
        struct type type;
    } result[IR_NODE_OPERANDS];
    int32_t results, operands;
    ir_value_id operand[IR_NODE_OPERANDS], output[IR_NODE_OPERANDS];
    enum op_id op;
    union { /* zeroed: attributes are compared bytewise */
        struct op_linear_attrs linear;
        struct op_attention_attrs attention;
        struct op_rope_attrs rope;
        struct op_embed_attrs embed;
    } attrs;
};

struct parser {
    const char *at, *end; /* rest of the line */
    int32_t line;
    struct hs_error *error;
    enum hasten_status status; /* first failure */
    struct ir_graph *graph;
    struct hs_arena work;    /* names */
    struct node_text node;   /* of the line in work */
    struct name_slot *slots; /* open addressing, at most half full */
    uint32_t slot_count, name_count;
    int32_t group_layers[4];
    bool has_input, has_batch, has_output;
};

/* ---- failures and words ---- */

static bool fail(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct parser *p, const char *format, ...)
{
    char text[400];
    va_list args;
    if (p->status != HASTEN_OK)
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = HASTEN_CORRUPT_INPUT;
    hs_error_set(p->error, p->status, "docs/IR.md describes the text", "%s", text);
    if (p->error)
        hs_error_at(p->error, "line %d", (int)p->line);
    return false;
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
        p->at++;
}

static bool next_is(struct parser *p, const char *text)
{
    size_t length = strlen(text);
    skip_blanks(p);
    return (size_t)(p->end - p->at) >= length && memcmp(p->at, text, length) == 0;
}

/* Takes the text if it comes next. */
static bool have(struct parser *p, const char *text)
{
    if (!next_is(p, text))
        return false;
    p->at += strlen(text);
    return true;
}

static bool want(struct parser *p, const char *text)
{
    if (have(p, text))
        return true;
    int left = p->end - p->at > 20 ? 20 : (int)(p->end - p->at);
    return fail(p, "expected '%s', found '%.*s'", text, left, p->at);
}

/* name=, as want would take it */
static bool want_key(struct parser *p, const char *name)
{
    return want(p, name) && want(p, "=");
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_.'-", c));
}

/* Letters, digits and _. */
static bool parse_word(struct parser *p, char word[WORD_BYTES])
{
    size_t length = 0;
    skip_blanks(p);
    while (p->at < p->end && is_plain(*p->at) && !strchr(".'-", *p->at)) {
        if (length + 1 == WORD_BYTES)
            return fail(p, "a word is too long");
        word[length++] = *p->at++;
    }
    word[length] = 0;
    return length ? true : fail(p, "expected a word");
}

/* Characters of a number, 0-terminated for strto*. */
static bool take_number(struct parser *p, char text[64])
{
    size_t length = 0;
    skip_blanks(p);
    while (p->at < p->end && length + 1 < 64 &&
           ((*p->at >= '0' && *p->at <= '9') || (*p->at && strchr("+-.e", *p->at))))
        text[length++] = *p->at++;
    text[length] = 0;
    return length ? true : fail(p, "expected a number");
}

static bool parse_int(struct parser *p, int64_t low, int64_t high, int64_t *value_out)
{
    bool negative = have(p, "-");
    int64_t value = 0;
    int digits = 0;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++, digits++) {
        if (digits == 18)
            return fail(p, "a number has too many digits");
        value = value * 10 + (*p->at - '0');
    }
    if (!digits)
        return fail(p, "expected a whole number");
    value = negative ? -value : value;
    if (value < low || value > high)
        return fail(p, "%lld is out of range", (long long)value);
    *value_out = value;
    return true;
}

static bool parse_real(struct parser *p, double *value_out)
{
    char text[64], *end = NULL;
    if (!take_number(p, text))
        return false;
    *value_out = strtod(text, &end);
    if (*end || !isfinite(*value_out))
        return fail(p, "'%s' is not a number", text);
    return true;
}

/* ---- names ---- */

/* One character of a quoted name; *done at the closing quote. */
static bool parse_quoted_char(struct parser *p, char *c_out, bool *done)
{
    if (p->at == p->end)
        return fail(p, "a quoted name has no end");
    char c = *p->at++;
    *done = c == '"';
    if (c == '\\') {
        if (p->at == p->end || !strchr("\"\\x", *p->at) || !*p->at)
            return fail(p, "unknown escape in a quoted name");
        c = *p->at++;
        if (c == 'x') {
            unsigned value = 0;
            for (int i = 0; i < 2; i++) {
                const char *digits = "0123456789abcdef";
                const char *digit = p->at < p->end && *p->at ? strchr(digits, *p->at) : NULL;
                if (!digit)
                    return fail(p, "\\x needs two hex digits");
                value = value * 16 + (unsigned)(digit - digits);
                p->at++;
            }
            c = (char)value;
        }
    }
    *c_out = c;
    return c ? true : fail(p, "a name holds a 0 byte");
}

/* %name, @name or the quoted form. */
static bool parse_name(struct parser *p, const char *sigil, char name[NAME_BYTES])
{
    size_t length = 0;
    bool done = false;
    if (!want(p, sigil))
        return false;
    bool quoted = p->at < p->end && *p->at == '"';
    p->at += quoted;
    while (!done) {
        char c = 0;
        if (quoted) {
            if (!parse_quoted_char(p, &c, &done))
                return false;
        } else if (p->at < p->end && is_plain(*p->at)) {
            c = *p->at++;
        } else {
            done = true;
        }
        if (done)
            break;
        if (length + 1 == NAME_BYTES)
            return fail(p, "a name is longer than %d bytes", NAME_BYTES - 1);
        name[length++] = c;
    }
    name[length] = 0;
    return length ? true : fail(p, "expected a name");
}

static bool is_number(const char *name)
{
    return name[strspn(name, "0123456789")] == 0;
}

/* The slot of a name, or the free one where it belongs; NULL when names made to collide make the
 * way there too long. */
static struct name_slot *find_slot(const struct parser *p, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    uint32_t slot = hash & (p->slot_count - 1);
    for (int i = 0; i < NAME_PROBES_MOST; i++, slot = (slot + 1) & (p->slot_count - 1))
        if (!p->slots[slot].name || strcmp(p->slots[slot].name, name) == 0)
            return &p->slots[slot];
    return NULL;
}

static bool grow_names(struct parser *p)
{
    if (p->slot_count && p->name_count * 2 < p->slot_count)
        return true;
    struct name_slot *old = p->slots;
    uint32_t old_count = p->slot_count;
    uint32_t count = old_count ? old_count * 2 : NAMES_SLOTS_LEAST;
    struct name_slot *slots = hs_arena_alloc(&p->work, count, sizeof *slots);
    if (!slots) {
        p->graph->failed = true;
        return false;
    }
    p->slots = slots;
    p->slot_count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        if (!old[i].name)
            continue;
        struct name_slot *slot = find_slot(p, old[i].name);
        if (!slot)
            return fail(p, "too many names with the same hash value");
        *slot = old[i];
    }
    return true;
}

/* Gives a name to a value; names are unique. */
static bool define(struct parser *p, const char *name, ir_value_id value)
{
    if (p->graph->failed || !grow_names(p))
        return false;
    struct name_slot *slot = find_slot(p, name);
    if (!slot)
        return fail(p, "too many names with the same hash value");
    if (slot->name)
        return fail(p, "%%%s is defined twice", name);
    slot->name = hs_arena_strndup(&p->work, name, strlen(name));
    slot->value = value;
    p->name_count++;
    p->graph->failed |= !slot->name;
    return slot->name != NULL;
}

static ir_value_id lookup(struct parser *p, const char *name)
{
    const struct name_slot *slot = p->slot_count ? find_slot(p, name) : NULL;
    if (slot && slot->name)
        return slot->value;
    fail(p, "%%%s is not defined", name);
    return IR_NONE;
}

/* ---- types ---- */

static bool parse_dtype(struct parser *p, enum tn_dtype *dtype_out)
{
    char word[WORD_BYTES];
    if (!parse_word(p, word))
        return false;
    if (!tn_dtype_from_name(hs_str_of(word), dtype_out))
        return fail(p, "'%s' is not an element type", word);
    return true;
}

static bool parse_layout(struct parser *p, enum tn_layout *layout_out)
{
    char word[WORD_BYTES];
    if (!parse_word(p, word))
        return false;
    for (int i = 0; i < TN_LAYOUT_COUNT; i++)
        if (strcmp(word, tn_layout_name((enum tn_layout)i)) == 0) {
            *layout_out = (enum tn_layout)i;
            return true;
        }
    return fail(p, "'%s' is not a layout", word);
}

/* [12], [T], [2*T+3] */
static bool parse_dim(struct parser *p, ir_dim *dim_out)
{
    int64_t mul = 1, add = 0;
    enum ir_symbol symbol = IR_SYM_NONE;
    if (!want(p, "["))
        return false;
    skip_blanks(p);
    bool number = p->at < p->end && *p->at >= '0' && *p->at <= '9';
    if (number && !parse_int(p, 0, DIM_MOST, &mul))
        return false;
    if (!number || have(p, "*")) {
        for (int s = IR_SYM_NONE + 1; s < IR_SYM_COUNT && symbol == IR_SYM_NONE; s++)
            if (have(p, ir_symbol_name((enum ir_symbol)s)))
                symbol = (enum ir_symbol)s;
        if (symbol == IR_SYM_NONE)
            return fail(p, "expected a number or a symbol");
        if (next_is(p, "-") || have(p, "+"))
            if (!parse_int(p, -DIM_MOST, DIM_MOST, &add))
                return false;
    } else {
        add = mul;
    }
    if (!want(p, "]"))
        return false;
    *dim_out = ir_dim_affine(p->graph, symbol, mul, add);
    return p->graph->dim_count <= DIM_EXPRS_MOST ? true : fail(p, "too many different dims");
}

/* state, or f32[T][576] */
static bool parse_type(struct parser *p, struct type *type)
{
    *type = (struct type){0};
    type->is_state = have(p, "state");
    if (type->is_state)
        return true;
    if (!parse_dtype(p, &type->dtype))
        return false;
    while (next_is(p, "[")) {
        if (type->rank == IR_RANK)
            return fail(p, "more than %d dims", IR_RANK);
        if (!parse_dim(p, &type->dims[type->rank++]))
            return false;
    }
    return type->rank ? true : fail(p, "a value has no dims");
}

/* ---- constants ---- */

static ir_const parse_tensor(struct parser *p)
{
    char name[NAME_BYTES];
    enum tn_dtype dtype;
    int64_t dims[IR_RANK], elements = 1;
    int rank = 0;
    if (!parse_name(p, "@", name) || !want(p, ":") || !parse_dtype(p, &dtype))
        return IR_NONE;
    while (have(p, "[")) {
        if (rank == IR_RANK) {
            fail(p, "more than %d dims", IR_RANK);
            return IR_NONE;
        }
        if (!parse_int(p, 1, DIM_MOST, &dims[rank]) || !want(p, "]"))
            return IR_NONE;
        if (dims[rank] > ELEMENTS_MOST / elements) {
            fail(p, "a tensor has too many elements");
            return IR_NONE;
        }
        elements *= dims[rank++];
    }
    if (!rank) {
        fail(p, "a tensor has no dims");
        return IR_NONE;
    }
    return ir_const_tensor(p->graph, name, dtype, rank, dims);
}

static ir_const parse_constant(struct parser *p, int depth)
{
    enum tn_layout layout = TN_LAYOUT_ROWS;
    if (!have(p, "pack("))
        return parse_tensor(p);
    if (depth == PACK_DEPTH) {
        fail(p, "packs are nested more than %d deep", PACK_DEPTH);
        return IR_NONE;
    }
    ir_const inner = parse_constant(p, depth + 1);
    if (p->status != HASTEN_OK || !want(p, ",") || !parse_layout(p, &layout) || !want(p, ")"))
        return IR_NONE;
    return ir_const_pack(p->graph, inner, layout);
}

/* ---- attributes ---- */

static bool parse_field(struct parser *p, const struct ir_field *field, void *attrs)
{
    char *at = (char *)attrs + field->offset;
    int64_t whole = 0;
    double real = 0;
    enum tn_dtype dtype = TN_F32;
    enum tn_layout layout = TN_LAYOUT_ROWS;
    char word[WORD_BYTES];
    if (!want_key(p, field->name))
        return false;
    switch (field->kind) {
    case IR_FIELD_I64:
        if (!parse_int(p, -DIM_MOST, DIM_MOST, &whole))
            return false;
        memcpy(at, &whole, sizeof whole);
        return true;
    case IR_FIELD_F32:
    case IR_FIELD_F64:
        if (!parse_real(p, &real))
            return false;
        if (field->kind == IR_FIELD_F32)
            memcpy(at, &(float){(float)real}, sizeof(float));
        else
            memcpy(at, &real, sizeof real);
        return true;
    case IR_FIELD_I32:
        if (!parse_int(p, INT32_MIN, INT32_MAX, &whole))
            return false;
        break;
    case IR_FIELD_DTYPE:
        if (!parse_dtype(p, &dtype))
            return false;
        whole = (int64_t)dtype;
        break;
    case IR_FIELD_LAYOUT:
        if (!parse_layout(p, &layout))
            return false;
        whole = (int64_t)layout;
        break;
    case IR_FIELD_STYLE:
        if (!parse_word(p, word))
            return false;
        while (whole <= OP_ROPE_HALVES && strcmp(word, ir_style_name(whole)) != 0)
            whole++;
        if (whole > OP_ROPE_HALVES)
            return fail(p, "'%s' is not a style of rope", word);
        break;
    }
    memcpy(at, &(int32_t){(int32_t)whole}, sizeof(int32_t));
    return true;
}

/* All fields of a table; after a comma each when `commas`. *more: a comma was taken already. */
static bool parse_fields(struct parser *p, const struct ir_field *fields, void *attrs, bool commas,
                         bool *more)
{
    for (; fields->name; fields++) {
        if (commas && !*more)
            return fail(p, "attribute '%s' is missing", fields->name);
        if (!parse_field(p, fields, attrs))
            return false;
        *more = commas && have(p, ",");
    }
    return true;
}

/* add(5), scale(value=2), store(->0), append_k(6->1), paired */
static bool parse_step(struct parser *p, struct op_epilogue_step *step)
{
    char word[WORD_BYTES];
    int64_t operand = -1, output = -1;
    double value = 0;
    if (!parse_word(p, word))
        return false;
    int32_t kind = OP_EPI_END + 1;
    while (kind <= OP_EPI_PAIRED && strcmp(word, ir_step_name(kind)) != 0)
        kind++;
    if (kind > OP_EPI_PAIRED)
        return fail(p, "'%s' is not an epilogue step", word);
    if (kind == OP_EPI_SCALE || kind == OP_EPI_SOFTCAP) {
        if (!want(p, "(") || !want_key(p, "value") || !parse_real(p, &value) || !want(p, ")"))
            return false;
    } else if (have(p, "(")) {
        if (!next_is(p, "->") && !parse_int(p, 0, IR_NODE_OPERANDS, &operand))
            return false;
        if (have(p, "->") && !parse_int(p, 0, IR_NODE_OPERANDS, &output))
            return false;
        if (!want(p, ")"))
            return false;
    }
    *step = (struct op_epilogue_step){.kind = kind,
                                      .operand = (int32_t)operand,
                                      .output = (int32_t)output,
                                      .value = (float)value};
    return true;
}

/* After the "[": weight=2 rows=576 ... : steps ] */
static bool parse_segment(struct parser *p, struct op_segment *segment)
{
    bool more = false;
    int steps = 0;
    if (!parse_fields(p, ir_segment_fields, segment, false, &more))
        return false;
    if (next_is(p, ir_segment_rope_fields[0].name) &&
        !parse_fields(p, ir_segment_rope_fields, segment, false, &more))
        return false;
    if (next_is(p, ir_segment_kv_fields[0].name) &&
        !parse_fields(p, ir_segment_kv_fields, segment, false, &more))
        return false;
    if (!want(p, ":"))
        return false;
    while (!have(p, "]")) {
        if (steps == OP_EPILOGUE_STEPS)
            return fail(p, "more than %d epilogue steps", OP_EPILOGUE_STEPS);
        if (!parse_step(p, &segment->steps[steps++]))
            return false;
    }
    return true;
}

static bool parse_segments(struct parser *p, struct op_linear_attrs *attrs, bool *more)
{
    while (*more && have(p, "[")) {
        if (attrs->segments == OP_LINEAR_SEGMENTS)
            return fail(p, "more than %d segments", OP_LINEAR_SEGMENTS);
        if (!parse_segment(p, &attrs->segment[attrs->segments++]))
            return false;
        *more = have(p, ",");
    }
    return true;
}

/* ---- nodes ---- */

static bool parse_results(struct parser *p, struct node_text *node)
{
    do {
        if (node->results == IR_NODE_OPERANDS)
            return fail(p, "more than %d results", IR_NODE_OPERANDS);
        if (!parse_name(p, "%", node->result[node->results].name) || !want(p, ":") ||
            !parse_type(p, &node->result[node->results].type))
            return false;
        node->results++;
    } while (have(p, ","));
    return want(p, "=");
}

static bool parse_operand(struct parser *p, ir_value_id *operand_out)
{
    char name[NAME_BYTES];
    if (next_is(p, "%")) {
        if (!parse_name(p, "%", name))
            return false;
        *operand_out = lookup(p, name);
    } else {
        ir_const constant = parse_constant(p, 0);
        if (p->status != HASTEN_OK)
            return false;
        *operand_out = ir_add_const(p->graph, constant);
    }
    return p->status == HASTEN_OK && !p->graph->failed;
}

/* *more: the last operand was followed by a comma, so attributes come. */
static bool parse_operands(struct parser *p, struct node_text *node, bool *more)
{
    *more = true;
    while (*more && (next_is(p, "%") || next_is(p, "@") || next_is(p, "pack("))) {
        if (node->operands == IR_NODE_OPERANDS)
            return fail(p, "more than %d operands", IR_NODE_OPERANDS);
        if (!parse_operand(p, &node->operand[node->operands++]))
            return false;
        *more = have(p, ",");
    }
    return node->operands ? true : fail(p, "expected an operand");
}

static bool parse_op(struct parser *p, struct node_text *node)
{
    char word[WORD_BYTES];
    bool more = false;
    if (!parse_word(p, word))
        return false;
    node->op = op_from_name(word, strlen(word));
    if (node->op == OP_COUNT || op_info(node->op)->attrs_bytes > sizeof node->attrs)
        return fail(p, "'%s' is not an operation", word);
    if (!parse_operands(p, node, &more) ||
        !parse_fields(p, ir_op_fields(node->op), &node->attrs, true, &more))
        return false;
    if (node->op == OP_LINEAR) {
        node->attrs.linear.outputs = node->results;
        if (!parse_segments(p, &node->attrs.linear, &more))
            return false;
    }
    return more ? fail(p, "something is missing after a comma") : true;
}

/* The next version of a state is named after the version it follows. */
static ir_value_id add_state_result(struct parser *p, const struct node_text *node,
                                    const char *name)
{
    size_t length = strlen(name);
    for (int32_t i = 0; i < node->operands; i++) {
        const struct ir_value *value = &p->graph->values[node->operand[i]];
        if (value->kind == IR_VALUE_STATE && strlen(value->name) + 1 == length &&
            memcmp(value->name, name, length - 1) == 0 && name[length - 1] == '\'')
            return ir_next_version(p->graph, node->operand[i]);
    }
    fail(p, "%%%s is no next version of a state that is read", name);
    return IR_NONE;
}

static ir_value_id add_temp_result(struct parser *p, const char *name, const struct type *type)
{
    ir_value_id id = ir_add_temp(p->graph, type->dtype, type->dims[0], 1);
    if (id < 0)
        return IR_NONE;
    struct ir_value *value = &p->graph->values[id];
    value->rank = type->rank;
    memcpy(value->dims, type->dims, sizeof value->dims);
    if (!is_number(name))
        ir_set_name(p->graph, id, name);
    return id;
}

static bool add_results(struct parser *p, struct node_text *node)
{
    for (int32_t i = 0; i < node->results; i++) {
        const char *name = node->result[i].name;
        const struct type *type = &node->result[i].type;
        node->output[i] =
            type->is_state ? add_state_result(p, node, name) : add_temp_result(p, name, type);
        if (p->status != HASTEN_OK || !define(p, name, node->output[i]))
            return false;
    }
    return true;
}

/* # layer=N note=PASSES */
static bool parse_remarks(struct parser *p, ir_node_id id)
{
    int64_t layer = IR_NONE;
    if (!have(p, "#"))
        return true;
    if (have(p, "layer=") && !parse_int(p, 0, INT32_MAX, &layer))
        return false;
    p->graph->nodes[id].layer = (int32_t)layer;
    if (!have(p, "note="))
        return true;
    char note[NOTE_BYTES];
    size_t length = (size_t)(p->end - p->at);
    if (length == 0 || length >= sizeof note || memchr(p->at, 0, length))
        return fail(p, "impossible note");
    memcpy(note, p->at, length);
    note[length] = 0;
    p->at = p->end;
    ir_add_note(p->graph, id, note);
    return true;
}

static bool parse_node(struct parser *p)
{
    struct node_text *node = &p->node;
    node->results = node->operands = 0;
    memset(&node->attrs, 0, sizeof node->attrs);
    if (!parse_results(p, node) || !parse_op(p, node) || !add_results(p, node))
        return false;
    ir_node_id id = ir_add_node(p->graph, node->op, &node->attrs, node->operand, node->operands,
                                node->output, node->results);
    return id >= 0 && !p->graph->failed && parse_remarks(p, id);
}

/* ---- the other lines ---- */

/* Name of something outside the nodes: numbers are given anew, so they cannot stand there. */
static bool parse_own_name(struct parser *p, char name[NAME_BYTES])
{
    if (!parse_name(p, "%", name))
        return false;
    return is_number(name) ? fail(p, "%%%s is a number, expected a name", name) : true;
}

static bool parse_input(struct parser *p)
{
    char name[NAME_BYTES];
    struct type type;
    if (p->has_input)
        return fail(p, "a second input");
    p->has_input = true;
    if (!parse_own_name(p, name) || !want(p, ":") || !parse_type(p, &type))
        return false;
    if (type.is_state || type.rank != 1)
        return fail(p, "an input is a row of numbers");
    p->graph->token_input = ir_add_input(p->graph, name, type.dtype, type.dims[0]);
    return define(p, name, p->graph->token_input);
}

static bool parse_batch(struct parser *p)
{
    if (p->has_batch)
        return fail(p, "a second batch");
    p->has_batch = true;
    return want(p, "%batch") && define(p, "batch", ir_add_batch(p->graph));
}

static bool parse_key_int(struct parser *p, const char *key, int64_t high, int32_t *value_out)
{
    int64_t value = 0;
    if (!want_key(p, key) || !parse_int(p, 0, high, &value))
        return false;
    *value_out = (int32_t)value;
    return true;
}

static bool parse_group(struct parser *p)
{
    int64_t index = 0;
    int32_t window = 0, layers = 0, heads = 0, head_dim = 0;
    enum tn_dtype dtype;
    struct tn_kv_layout layout;
    const int32_t most = (int32_t)(sizeof p->group_layers / sizeof p->group_layers[0]);
    if (!parse_int(p, 0, INT32_MAX, &index) || !want(p, ":") ||
        !parse_key_int(p, "window", INT32_MAX, &window) || !want(p, ",") ||
        !parse_key_int(p, "layers", INT32_MAX, &layers) || !want(p, ",") || !want_key(p, "dtype") ||
        !parse_dtype(p, &dtype) || !want(p, ",") ||
        !parse_key_int(p, "kv_heads", INT32_MAX, &heads) || !want(p, ",") ||
        !parse_key_int(p, "head_dim", INT32_MAX, &head_dim))
        return false;
    if (index != p->graph->group_count || index >= most)
        return fail(p, "group %lld is not the next one of at most %d", (long long)index, most);
    if (tn_kv_layout_init(dtype, heads, head_dim, NULL, &layout) != HASTEN_OK)
        return fail(p, "impossible KV layout");
    p->group_layers[index] = layers;
    ir_add_group(p->graph, window, &layout);
    return !p->graph->failed;
}

static bool parse_state(struct parser *p)
{
    char name[NAME_BYTES];
    int32_t group = 0, layer = 0;
    if (!parse_own_name(p, name) || !want(p, ":") ||
        !parse_key_int(p, "group", INT32_MAX, &group) || !want(p, ",") ||
        !parse_key_int(p, "layer", INT32_MAX, &layer))
        return false;
    if (group >= p->graph->group_count || layer != p->graph->groups[group].layers)
        return fail(p, "state %%%s is not the next of its group", name);
    return define(p, name, ir_add_state(p->graph, name, group));
}

static bool parse_output(struct parser *p, enum ir_output output)
{
    char name[NAME_BYTES];
    if (!parse_name(p, "%", name))
        return false;
    if (p->graph->outputs[output] != IR_NONE)
        return fail(p, "a second output of this kind");
    p->graph->outputs[output] = lookup(p, name);
    p->has_output = output == IR_OUT_LOGITS;
    return p->status == HASTEN_OK;
}

static bool parse_head(struct parser *p)
{
    char name[NAME_BYTES], word[WORD_BYTES];
    if (!want(p, "graph ") || !parse_name(p, "@", name) || !parse_word(p, word))
        return false;
    int level = IR_IMPORTED;
    while (level <= IR_LOWERING && strcmp(word, ir_level_name(level)) != 0)
        level++;
    if (level > IR_LOWERING)
        return fail(p, "'%s' is not a level", word);
    p->graph = ir_graph_new(name);
    if (!p->graph) {
        p->status = hs_fail(p->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a graph");
        return false;
    }
    p->graph->level = (enum ir_level)level;
    return true;
}

static bool parse_line(struct parser *p)
{
    if (!p->graph)
        return parse_head(p);
    if (p->has_output)
        return fail(p, "the graph goes on after its output");
    if (next_is(p, "%"))
        return parse_node(p);
    if (have(p, "in "))
        return parse_input(p);
    if (have(p, "batch "))
        return parse_batch(p);
    if (have(p, "group "))
        return parse_group(p);
    if (have(p, "state "))
        return parse_state(p);
    if (have(p, "hidden "))
        return parse_output(p, IR_OUT_HIDDEN);
    if (have(p, "out "))
        return parse_output(p, IR_OUT_LOGITS);
    return fail(p, "expected in, batch, group, state, hidden, out or a node");
}

static void parse_lines(struct parser *p, struct hs_str text)
{
    const char *at = text.data, *end = text.data + text.size_bytes;
    while (at < end && p->status == HASTEN_OK && !(p->graph && p->graph->failed)) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        p->at = at;
        p->end = stop ? stop : end;
        at = stop ? stop + 1 : end;
        p->line++;
        skip_blanks(p);
        if (p->at == p->end || *p->at == '#' || !parse_line(p)) /* blank, remark, failed */
            continue;
        skip_blanks(p);
        if (p->at != p->end)
            fail(p, "something stands after the end of the line: '%.*s'",
                 p->end - p->at > 20 ? 20 : (int)(p->end - p->at), p->at);
    }
}

/* ---- the whole text ---- */

static void check_whole(struct parser *p)
{
    if (!p->graph) {
        fail(p, "expected a line 'graph @name level'");
        return;
    }
    if (!p->has_output && !p->graph->failed)
        fail(p, "the graph has no output");
    for (int32_t g = 0; g < p->graph->group_count; g++)
        if (p->group_layers[g] != p->graph->groups[g].layers)
            fail(p, "group %d has %d states, its line says %d", (int)g,
                 (int)p->graph->groups[g].layers, (int)p->group_layers[g]);
}

/* A graph that the verifier refuses is here an error of the text, not of hasten. */
static void verify(struct parser *p)
{
    struct hs_error found;
    hs_error_clear(&found);
    ir_graph_compact(p->graph);
    p->status = ir_graph_status(p->graph, p->error);
    if (p->status != HASTEN_OK)
        return;
    enum hasten_status status = ir_verify(p->graph, &found);
    if (status == HASTEN_OK)
        return;
    p->status = status == HASTEN_INTERNAL ? HASTEN_CORRUPT_INPUT : status;
    hs_error_set(p->error, p->status, "docs/IR.md describes the text", "%s", found.message);
    if (p->error)
        hs_error_at(p->error, "%s", found.place);
}

enum hasten_status ir_parse(struct hs_str text, struct hs_error *error, struct ir_graph **graph_out)
{
    struct parser p = {.error = error, .status = HASTEN_OK};
    if (text.size_bytes > TEXT_BYTES_MOST)
        return hs_fail(error, HASTEN_LIMIT, NULL, "a graph's text is longer than %zu MiB",
                       TEXT_BYTES_MOST >> 20);
    parse_lines(&p, text);
    if (p.status == HASTEN_OK)
        check_whole(&p);
    if (p.status == HASTEN_OK && p.graph->failed)
        p.status = ir_graph_status(p.graph, error);
    if (p.status == HASTEN_OK)
        verify(&p);
    hs_arena_free(&p.work);
    if (p.status != HASTEN_OK) {
        ir_graph_free(&p.graph);
        return p.status;
    }
    *graph_out = p.graph;
    return HASTEN_OK;
}

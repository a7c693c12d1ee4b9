/*
 * Values of the template language: Python's none, bool, int (64 bits), float, str, list, tuple and
 * dict as far as templates see them, plus Jinja's undefined, namespace and loop.
 *
 * Values live in the arena of one rendering and are immutable, namespaces excepted; so there are no
 * cycles but through a namespace, which nothing descends into. Containers carry their depth, capped
 * at TX_VALUE_DEPTH, so functions that recurse over values need no cap of their own. They also
 * carry their weight: values share parts, so a short template can build a value whose text is
 * exponentially long, and whoever walks one has to look at its weight first.
 */
#ifndef HASTEN_TEXT_TEMPLATE_VALUE_H
#define HASTEN_TEXT_TEMPLATE_VALUE_H

#include "base/bytes.h"
#include "base/memory.h"

enum { TX_VALUE_DEPTH = 64 };

enum tx_value_kind {
    TX_UNDEFINED, /* string: the name that was not found */
    TX_NONE,
    TX_BOOL,
    TX_INT,
    TX_FLOAT,
    TX_STRING,
    TX_LIST,
    TX_TUPLE,
    TX_DICT,
    TX_NAMESPACE, /* dict */
    TX_ITERATOR,  /* list: what a lazy filter gives; true, without length, used up by one walk */
    TX_LOOP,
    TX_FUNCTION, /* integer: enum tx_function */
    TX_METHOD,
    TX_MACRO
};

struct tx_value {
    enum tx_value_kind kind;
    bool is_markup; /* string: Markup, as `safe` and `escape` make it; + escapes what it meets */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct hs_str string;
        const struct tx_list *list;
        struct tx_dict *dict;
        const struct tx_loop *loop;
        const struct tx_method *method;
        const struct tx_macro *macro;
    };
};

struct tx_list {
    struct tx_value *items;
    size_t count;
    int depth;
    size_t weight; /* see tx_weight */
};

struct tx_pair {
    struct tx_value key, value;
};

struct tx_dict { /* in order of insertion */
    struct tx_pair *pairs;
    size_t count, capacity;
    int depth;
    size_t weight;
};

struct tx_loop {
    const struct tx_list *items;
    size_t index0;
};

struct tx_macro; /* template_eval.h */

struct tx_method { /* object.name, ready to be called */
    struct tx_value object;
    struct hs_str name;
};

static inline struct tx_value tx_none(void)
{
    return (struct tx_value){.kind = TX_NONE};
}
static inline struct tx_value tx_bool(bool value)
{
    return (struct tx_value){.kind = TX_BOOL, .boolean = value};
}
static inline struct tx_value tx_int(int64_t value)
{
    return (struct tx_value){.kind = TX_INT, .integer = value};
}
static inline struct tx_value tx_float(double value)
{
    return (struct tx_value){.kind = TX_FLOAT, .real = value};
}
static inline struct tx_value tx_text(struct hs_str value)
{
    return (struct tx_value){.kind = TX_STRING, .string = value};
}
static inline struct tx_value tx_undefined(struct hs_str name)
{
    return (struct tx_value){.kind = TX_UNDEFINED, .string = name};
}
static inline bool tx_is_sequence(const struct tx_value *value)
{
    return value->kind == TX_LIST || value->kind == TX_TUPLE;
}

/* Python's type name of a value, for messages. */
const char *tx_type_name(const struct tx_value *value);
/* bool(value). */
bool tx_truth(const struct tx_value *value);
/* Number of a bool, int or float (false: it is none). */
bool tx_number(const struct tx_value *value, double *number_out);
/* value as an int when it is a bool or int. */
bool tx_integer(const struct tx_value *value, int64_t *integer_out);
/* a == b as Python has it. */
bool tx_equal(const struct tx_value *a, const struct tx_value *b);
/* Sign of a - b in *order_out; false when the types have no order. NaN gives 2. */
bool tx_compare(const struct tx_value *a, const struct tx_value *b, int *order_out);
/* Entry of a dict or NULL. */
const struct tx_value *tx_dict_find(const struct tx_dict *dict, const struct tx_value *key);
/* Sets an entry; false when out of memory or too deep. */
bool tx_dict_put(struct hs_arena *arena, struct tx_dict *dict, const struct tx_value *key,
                 const struct tx_value *value);
/* Depth of a value: 0 for plain ones. */
int tx_depth(const struct tx_value *value);
/* Bound of the effort of walking a value, in items and 64-byte pieces of text; saturates. */
size_t tx_weight(const struct tx_value *value);
/* Adds an item to the weight and depth of a container. */
void tx_grow(size_t *weight, int *depth, const struct tx_value *item);
/* Appends str(value); repr for strings inside containers. False for values that have no text here
 * (namespace, loop, functions). */
bool tx_print(const struct tx_value *value, bool repr, struct hs_buffer *out);
/* Appends json.dumps(value, ...) in the given style. False for values that have no JSON form (or
 * keys that cannot be sorted). */
struct tx_json_style {
    bool ascii;           /* \uXXXX for all that is not ASCII */
    bool sort_keys;       /* keys must be texts */
    bool has_indent;      /* a line an item */
    struct hs_str indent; /* of one level */
    struct hs_str item_separator, key_separator;
};
bool tx_json(const struct tx_value *value, const struct tx_json_style *style,
             struct hs_buffer *out);

/* Code points of a text, and the bytes of its characters [first, last). */
size_t tx_length(struct hs_str text);
struct hs_str tx_characters(struct hs_str text, size_t first, size_t last);
/* True for characters of scripts that may have upper and lower case, ASCII apart. */
bool tx_may_have_case(uint32_t point);
/* True for characters that str.isspace() accepts. */
bool tx_is_space(uint32_t point);
/* text without white space (or without the characters of `set`, when not NULL) at the ends. */
struct hs_str tx_strip(struct hs_str text, const struct hs_str *set, bool left, bool right);

#endif

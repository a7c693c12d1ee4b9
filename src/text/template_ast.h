/*
 * Tokens and syntax tree of chat templates (internal to the template files).
 *
 * chat_template.c owns the arena that everything here lives in. Nesting is capped while parsing
 * (TX_TREE_DEPTH), so whoever walks the tree may recurse.
 */
#ifndef HASTEN_TEXT_TEMPLATE_AST_H
#define HASTEN_TEXT_TEMPLATE_AST_H

#include "text/template_value.h"

enum { TX_TREE_DEPTH = 200, TX_SOURCE_LIMIT = 1 << 20 };

enum tx_token_kind {
    TX_T_DATA,
    TX_T_BLOCK_BEGIN,
    TX_T_BLOCK_END,
    TX_T_PRINT_BEGIN,
    TX_T_PRINT_END,
    TX_T_NAME,
    TX_T_STRING, /* text: escapes resolved */
    TX_T_INT,
    TX_T_FLOAT,
    TX_T_OPERATOR,
    TX_T_END
};

struct tx_token {
    enum tx_token_kind kind;
    int line;
    struct hs_str text;
    int64_t integer;
    double real;
};

/* Cuts source into tokens; *tokens_out ends with TX_T_END and is freed by hs_free, texts point into
 * the arena. */
HS_MUST_USE enum hasten_status tx_template_lex(struct hs_str source, struct hs_arena *arena,
                                               struct hs_error *error,
                                               struct tx_token **tokens_out);

enum tx_node_kind {
    /* statements */
    TX_N_TEXT,         /* name: the text */
    TX_N_PRINT,        /* a */
    TX_N_IF,           /* a: condition, list: body, orelse: statements */
    TX_N_FOR,          /* a: target, b: iterable, c: filter or NULL, list: body, orelse */
    TX_N_SET,          /* a: target, b: value */
    TX_N_SET_BLOCK,    /* a: target, b: filters over TX_N_CAPTURED or NULL, list: body */
    TX_N_SCOPE,        /* list: body with a scope of its own (generation) */
    TX_N_MACRO,        /* name, list: body, orelse: TX_N_PARAMETER, value: int, enum tx_uses */
    TX_N_PARAMETER,    /* name, a: default or NULL */
    TX_N_CALL_BLOCK,   /* a: TX_N_CALL, b: TX_N_MACRO, the body as `caller` */
    TX_N_FILTER_BLOCK, /* a: filters over TX_N_CAPTURED, list: body */
    TX_N_WITH,         /* orelse: TX_N_SET, list: body */
    TX_N_BREAK,
    TX_N_CONTINUE,
    /* expressions */
    TX_N_CAPTURED, /* text of the block that a filter stands on */
    TX_N_CONST,    /* value */
    TX_N_NAME,     /* name */
    TX_N_LIST,     /* list */
    TX_N_TUPLE,    /* list */
    TX_N_DICT,     /* list: TX_N_PAIR with a: key, b: value */
    TX_N_PAIR,
    TX_N_ATTR,    /* a . name */
    TX_N_ITEM,    /* a [ b ] */
    TX_N_SLICE,   /* a, b, c: start, stop, step or NULL; only as b of TX_N_ITEM */
    TX_N_CALL,    /* a ( list ) */
    TX_N_KEYWORD, /* name = a, in argument lists, after the positional ones */
    TX_N_FILTER,  /* a | name ( list ) */
    TX_N_TEST,    /* a is name ( list ) */
    TX_N_NOT,
    TX_N_NEGATE,
    TX_N_PLUS,
    TX_N_BINARY,  /* a name b: + - * / // % ** ~ */
    TX_N_COMPARE, /* a, list: TX_N_OPERAND with name: operator, a: operand */
    TX_N_OPERAND,
    TX_N_AND,
    TX_N_OR,
    TX_N_COND /* a if b else c (c may be NULL) */
};

/* Names with a meaning of their own that a macro's body mentions. */
enum tx_uses { TX_USES_VARARGS = 1, TX_USES_KWARGS = 2, TX_USES_CALLER = 4 };

struct tx_node {
    enum tx_node_kind kind;
    int line, depth;
    struct hs_str name;
    struct tx_value value;
    struct tx_node *a, *b, *c;
    struct tx_node *list, *orelse;
    struct tx_node *next; /* in a list */
};

/* Parses tokens to a list of statements (NULL: an empty template). */
HS_MUST_USE enum hasten_status tx_template_tree(const struct tx_token *tokens,
                                                struct hs_arena *arena, struct hs_error *error,
                                                struct tx_node **tree_out);

#endif

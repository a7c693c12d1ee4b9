/*
 * Template parser: recursive descent over Jinja2's grammar (precedence from low to high: inline if,
 * or, and, not, comparisons, + -, ~, * / // %, **, unary, postfix, filters and tests).
 *
 * Depth is capped twice: while descending (brackets, nested blocks, right-recursive operators) and
 * by the height of the tree that is built (long left-associative chains), so that neither parsing
 * nor evaluating can exhaust the stack.
 */
#include "base/status.h"
#include "text/template_ast.h"

struct parser {
    const struct tx_token *at;
    struct hs_arena *arena;
    struct hs_error *error;
    int depth; /* of the descent */
    int loops; /* enclosing for statements */
    int uses;  /* enum tx_uses seen so far in the macro that is being parsed */
};

typedef enum hasten_status (*parse_fn)(struct parser *parser, struct tx_node **node_out);

static enum hasten_status parse_expression(struct parser *parser, struct tx_node **node_out);
static enum hasten_status parse_or(struct parser *parser, struct tx_node **node_out);
static enum hasten_status parse_unary(struct parser *parser, bool with_filters,
                                      struct tx_node **node_out);
static enum hasten_status parse_statements(struct parser *parser, const char *const *ends,
                                           struct tx_node **list_out);

/* --- helpers ------------------------------------------------------------------------------ */

static bool is_operator(const struct parser *parser, const char *text)
{
    return parser->at->kind == TX_T_OPERATOR && hs_str_is(parser->at->text, text);
}

static bool is_name(const struct parser *parser, const char *text)
{
    return parser->at->kind == TX_T_NAME && hs_str_is(parser->at->text, text);
}

static bool take_operator(struct parser *parser, const char *text)
{
    bool here = is_operator(parser, text);
    parser->at += here;
    return here;
}

static bool take_name(struct parser *parser, const char *text)
{
    bool here = is_name(parser, text);
    parser->at += here;
    return here;
}

static enum hasten_status fail_syntax(const struct parser *parser, const char *wanted)
{
    static const char *const kinds[] = {"text", "start of a tag", "end of the tag",
                                        "start of a tag", "end of the tag"};
    const struct tx_token *token = parser->at;
    struct hs_str text = token->text;
    if (text.size_bytes > 40)
        text.size_bytes = 40;
    if (token->kind == TX_T_END || token->kind <= TX_T_PRINT_END)
        return hs_fail(parser->error, HASTEN_CORRUPT_INPUT, NULL,
                       "chat template line %d: %s expected, %s found", token->line, wanted,
                       token->kind == TX_T_END ? "end of template" : kinds[token->kind]);
    return hs_fail(parser->error, HASTEN_CORRUPT_INPUT, NULL,
                   "chat template line %d: %s expected, '%.*s' found", token->line, wanted,
                   HS_STR(text));
}

static enum hasten_status expect_operator(struct parser *parser, const char *text)
{
    return take_operator(parser, text) ? HASTEN_OK : fail_syntax(parser, text);
}

static enum hasten_status expect(struct parser *parser, enum tx_token_kind kind, const char *wanted)
{
    if (parser->at->kind != kind)
        return fail_syntax(parser, wanted);
    parser->at++;
    return HASTEN_OK;
}

static enum hasten_status unsupported(const struct parser *parser, struct hs_str construct)
{
    if (construct.size_bytes > 60)
        construct.size_bytes = 60;
    return hs_fail(parser->error, HASTEN_UNSUPPORTED, "use --raw or another template",
                   "chat template line %d: '%.*s' is not supported", parser->at->line,
                   HS_STR(construct));
}

static enum hasten_status too_deep(const struct parser *parser)
{
    return hs_fail(parser->error, HASTEN_LIMIT, NULL, "chat template line %d: nested too deeply",
                   parser->at->line);
}

static enum hasten_status enter(struct parser *parser)
{
    return ++parser->depth > TX_TREE_DEPTH ? too_deep(parser) : HASTEN_OK;
}

static enum hasten_status new_node(struct parser *parser, enum tx_node_kind kind,
                                   struct tx_node **node_out)
{
    struct tx_node *node = hs_arena_alloc(parser->arena, 1, sizeof *node);
    if (!node)
        return hs_fail(parser->error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in chat template");
    node->kind = kind;
    node->line = parser->at->line;
    node->depth = 1;
    *node_out = node;
    return HASTEN_OK;
}

/* Takes a child's height into account; to be called once for each child. */
static enum hasten_status grow(struct parser *parser, struct tx_node *node,
                               const struct tx_node *child)
{
    if (child && child->depth >= node->depth)
        node->depth = child->depth + 1;
    return node->depth > TX_TREE_DEPTH ? too_deep(parser) : HASTEN_OK;
}

struct list {
    struct tx_node *first, **last;
};

static void append(struct list *list, struct tx_node *node)
{
    *(list->first ? list->last : &list->first) = node;
    list->last = &node->next;
}

/* node(a, b) with the given kind and operator name. */
static enum hasten_status new_pair(struct parser *parser, enum tx_node_kind kind, struct tx_node *a,
                                   struct tx_node *b, struct tx_node **node_out)
{
    struct tx_node *node;
    HS_TRY(new_node(parser, kind, &node));
    node->line = a->line;
    node->a = a;
    node->b = b;
    HS_TRY(grow(parser, node, a));
    HS_TRY(grow(parser, node, b));
    *node_out = node;
    return HASTEN_OK;
}

/* --- primary expressions ------------------------------------------------------------------ */

/* Comma-separated expressions up to a closing bracket, which is taken. */
static enum hasten_status parse_items(struct parser *parser, struct tx_node *node,
                                      const char *close)
{
    struct list list = {0};
    while (!take_operator(parser, close)) {
        struct tx_node *item;
        if (list.first) {
            HS_TRY(expect_operator(parser, ","));
            if (take_operator(parser, close))
                break;
        }
        HS_TRY(parse_expression(parser, &item));
        HS_TRY(grow(parser, node, item));
        append(&list, item);
    }
    node->list = list.first;
    return HASTEN_OK;
}

static enum hasten_status parse_dict(struct parser *parser, struct tx_node **node_out)
{
    struct list list = {0};
    struct tx_node *node, *key, *value, *pair;
    HS_TRY(new_node(parser, TX_N_DICT, &node));
    parser->at++;
    while (!take_operator(parser, "}")) {
        if (list.first) {
            HS_TRY(expect_operator(parser, ","));
            if (take_operator(parser, "}"))
                break;
        }
        HS_TRY(parse_expression(parser, &key));
        HS_TRY(expect_operator(parser, ":"));
        HS_TRY(parse_expression(parser, &value));
        HS_TRY(new_pair(parser, TX_N_PAIR, key, value, &pair));
        HS_TRY(grow(parser, node, pair));
        append(&list, pair);
    }
    node->list = list.first;
    *node_out = node;
    return HASTEN_OK;
}

/* What is separated by commas up to here: one expression, or a tuple when there is a comma. */
static enum hasten_status parse_tuple(struct parser *parser, parse_fn parse_item,
                                      struct tx_node **node_out)
{
    struct tx_node *first, *tuple;
    HS_TRY(parse_item(parser, &first));
    if (!is_operator(parser, ",")) {
        *node_out = first;
        return HASTEN_OK;
    }
    HS_TRY(new_node(parser, TX_N_TUPLE, &tuple));
    struct list list = {0};
    append(&list, first);
    HS_TRY(grow(parser, tuple, first));
    while (take_operator(parser, ",")) {
        struct tx_node *item;
        if (is_operator(parser, ")") || is_operator(parser, "=") || is_name(parser, "in") ||
            parser->at->kind == TX_T_PRINT_END || parser->at->kind == TX_T_BLOCK_END)
            break;
        HS_TRY(parse_item(parser, &item));
        HS_TRY(grow(parser, tuple, item));
        append(&list, item);
    }
    tuple->list = list.first;
    *node_out = tuple;
    return HASTEN_OK;
}

static enum hasten_status parse_group(struct parser *parser, struct tx_node **node_out)
{
    parser->at++;
    if (take_operator(parser, ")"))
        return new_node(parser, TX_N_TUPLE, node_out);
    HS_TRY(parse_tuple(parser, parse_expression, node_out));
    return expect_operator(parser, ")");
}

static enum hasten_status parse_string(struct parser *parser, struct tx_node *node)
{
    struct hs_str text = parser->at->text;
    parser->at++;
    while (parser->at->kind == TX_T_STRING) { /* adjacent strings join */
        struct hs_str more = parser->at->text;
        char *joined = hs_arena_alloc(parser->arena, text.size_bytes + more.size_bytes + 1, 1);
        if (!joined)
            return hs_fail(parser->error, HASTEN_OUT_OF_MEMORY, NULL,
                           "out of memory in chat template");
        memcpy(joined, text.data, text.size_bytes);
        memcpy(joined + text.size_bytes, more.data, more.size_bytes);
        text = (struct hs_str){joined, text.size_bytes + more.size_bytes};
        parser->at++;
        if (parser->arena->used_bytes > 64u * TX_SOURCE_LIMIT)
            return too_deep(parser);
    }
    node->value = tx_text(text);
    return HASTEN_OK;
}

static bool constant_name(struct hs_str name, struct tx_value *value_out)
{
    if (hs_str_is(name, "true") || hs_str_is(name, "True"))
        *value_out = tx_bool(true);
    else if (hs_str_is(name, "false") || hs_str_is(name, "False"))
        *value_out = tx_bool(false);
    else if (hs_str_is(name, "none") || hs_str_is(name, "None"))
        *value_out = tx_none();
    else
        return false;
    return true;
}

static void note_use(struct parser *parser, struct hs_str name)
{
    parser->uses |= hs_str_is(name, "varargs")  ? TX_USES_VARARGS
                    : hs_str_is(name, "kwargs") ? TX_USES_KWARGS
                    : hs_str_is(name, "caller") ? TX_USES_CALLER
                                                : 0;
}

static enum hasten_status parse_primary(struct parser *parser, struct tx_node **node_out)
{
    if (is_operator(parser, "("))
        return parse_group(parser, node_out);
    if (is_operator(parser, "{"))
        return parse_dict(parser, node_out);
    struct tx_node *node;
    HS_TRY(new_node(parser, TX_N_CONST, &node));
    *node_out = node;
    const struct tx_token *token = parser->at;
    switch (token->kind) {
    case TX_T_NAME:
        if (!constant_name(token->text, &node->value)) {
            node->kind = TX_N_NAME;
            node->name = token->text;
            note_use(parser, token->text);
        }
        break;
    case TX_T_INT:
        node->value = tx_int(token->integer);
        break;
    case TX_T_FLOAT:
        node->value = tx_float(token->real);
        break;
    case TX_T_STRING:
        return parse_string(parser, node);
    default:
        if (!take_operator(parser, "["))
            return fail_syntax(parser, "expression");
        node->kind = TX_N_LIST;
        return parse_items(parser, node, "]");
    }
    parser->at++;
    return HASTEN_OK;
}

/* --- postfix: attributes, items, calls, filters, tests -------------------------------------- */

/* Arguments behind "(": positional ones, then keywords. */
static enum hasten_status parse_arguments(struct parser *parser, struct tx_node *node)
{
    struct list list = {0};
    bool keywords = false;
    while (!take_operator(parser, ")")) {
        struct tx_node *item, *keyword;
        if (list.first) {
            HS_TRY(expect_operator(parser, ","));
            if (take_operator(parser, ")"))
                break;
        }
        if (is_operator(parser, "*") || is_operator(parser, "**"))
            return unsupported(parser, parser->at->text);
        bool named = parser->at->kind == TX_T_NAME && parser->at[1].kind == TX_T_OPERATOR &&
                     hs_str_is(parser->at[1].text, "=");
        if (!named && keywords)
            return fail_syntax(parser, "keyword argument");
        if (named) {
            HS_TRY(new_node(parser, TX_N_KEYWORD, &keyword));
            keyword->name = parser->at->text;
            parser->at += 2;
            keywords = true;
        }
        HS_TRY(parse_expression(parser, &item));
        if (named) {
            keyword->a = item;
            HS_TRY(grow(parser, keyword, item));
            item = keyword;
        }
        HS_TRY(grow(parser, node, item));
        append(&list, item);
    }
    node->list = list.first;
    return HASTEN_OK;
}

/* What stands in brackets behind a value: an index or a slice. */
static enum hasten_status parse_index(struct parser *parser, struct tx_node **node_out)
{
    struct tx_node *slice, *parts[3] = {NULL, NULL, NULL};
    if (!is_operator(parser, ":"))
        HS_TRY(parse_expression(parser, &parts[0]));
    if (!is_operator(parser, ":")) {
        *node_out = parts[0];
        return HASTEN_OK;
    }
    HS_TRY(new_node(parser, TX_N_SLICE, &slice));
    for (int i = 1; i < 3 && take_operator(parser, ":"); i++)
        if (!is_operator(parser, "]") && !is_operator(parser, ":"))
            HS_TRY(parse_expression(parser, &parts[i]));
    slice->a = parts[0];
    slice->b = parts[1];
    slice->c = parts[2];
    for (int i = 0; i < 3; i++)
        HS_TRY(grow(parser, slice, parts[i]));
    *node_out = slice;
    return HASTEN_OK;
}

static enum hasten_status parse_dot(struct parser *parser, struct tx_node *object,
                                    struct tx_node **node_out)
{
    struct tx_node *node, *index;
    if (parser->at->kind == TX_T_INT) { /* a.0 is a[0] */
        HS_TRY(new_node(parser, TX_N_CONST, &index));
        index->value = tx_int(parser->at->integer);
        parser->at++;
        return new_pair(parser, TX_N_ITEM, object, index, node_out);
    }
    if (parser->at->kind != TX_T_NAME)
        return fail_syntax(parser, "name");
    HS_TRY(new_node(parser, TX_N_ATTR, &node));
    node->a = object;
    node->name = parser->at->text;
    parser->at++;
    *node_out = node;
    return grow(parser, node, object);
}

static enum hasten_status parse_call(struct parser *parser, struct tx_node *callee,
                                     struct tx_node **node_out)
{
    struct tx_node *node;
    HS_TRY(new_node(parser, TX_N_CALL, &node));
    parser->at++;
    node->a = callee;
    *node_out = node;
    HS_TRY(grow(parser, node, callee));
    return parse_arguments(parser, node);
}

static enum hasten_status parse_postfix(struct parser *parser, struct tx_node **node)
{
    for (;;) {
        if (take_operator(parser, ".")) {
            HS_TRY(parse_dot(parser, *node, node));
        } else if (take_operator(parser, "[")) {
            struct tx_node *index;
            HS_TRY(parse_index(parser, &index));
            if (is_operator(parser, ","))
                return unsupported(parser, hs_str_of("index with commas"));
            HS_TRY(expect_operator(parser, "]"));
            HS_TRY(new_pair(parser, TX_N_ITEM, *node, index, node));
        } else if (is_operator(parser, "(")) {
            HS_TRY(parse_call(parser, *node, node));
        } else {
            return HASTEN_OK;
        }
    }
}

/* "is" was taken: [not] name, then arguments in brackets or one argument without. */
static enum hasten_status parse_test(struct parser *parser, struct tx_node *operand,
                                     struct tx_node **node_out)
{
    struct tx_node *node, *not_node, *argument;
    bool negated = take_name(parser, "not");
    if (parser->at->kind != TX_T_NAME)
        return fail_syntax(parser, "test");
    HS_TRY(new_node(parser, TX_N_TEST, &node));
    node->a = operand;
    node->name = parser->at->text;
    parser->at++;
    HS_TRY(grow(parser, node, operand));
    if (take_operator(parser, "(")) {
        HS_TRY(parse_arguments(parser, node));
    } else if ((parser->at->kind == TX_T_NAME && !is_name(parser, "else") &&
                !is_name(parser, "or") && !is_name(parser, "and")) ||
               parser->at->kind == TX_T_STRING || parser->at->kind == TX_T_INT ||
               parser->at->kind == TX_T_FLOAT || is_operator(parser, "[") ||
               is_operator(parser, "{")) {
        if (is_name(parser, "is"))
            return fail_syntax(parser, "one test at a time");
        HS_TRY(parse_primary(parser, &argument));
        HS_TRY(parse_postfix(parser, &argument));
        HS_TRY(grow(parser, node, argument));
        node->list = argument;
    }
    *node_out = node;
    if (!negated)
        return HASTEN_OK;
    HS_TRY(new_node(parser, TX_N_NOT, &not_node));
    not_node->a = node;
    *node_out = not_node;
    return grow(parser, not_node, node);
}

/* "|" (or what stands for it) was taken: name, then arguments in brackets. */
static enum hasten_status parse_filter(struct parser *parser, struct tx_node **node)
{
    struct tx_node *filter;
    if (parser->at->kind != TX_T_NAME)
        return fail_syntax(parser, "filter");
    HS_TRY(new_node(parser, TX_N_FILTER, &filter));
    filter->a = *node;
    filter->name = parser->at->text;
    parser->at++;
    HS_TRY(grow(parser, filter, *node));
    if (take_operator(parser, "("))
        HS_TRY(parse_arguments(parser, filter));
    *node = filter;
    return HASTEN_OK;
}

static enum hasten_status parse_filters(struct parser *parser, struct tx_node **node)
{
    for (;;) {
        if (take_operator(parser, "|")) {
            HS_TRY(parse_filter(parser, node));
        } else if (take_name(parser, "is")) {
            HS_TRY(parse_test(parser, *node, node));
        } else if (is_operator(parser, "(")) {
            HS_TRY(parse_call(parser, *node, node));
        } else {
            return HASTEN_OK;
        }
    }
}

/* --- operators ---------------------------------------------------------------------------- */

static enum hasten_status parse_sign(struct parser *parser, struct tx_node **node_out)
{
    struct tx_node *node;
    HS_TRY(new_node(parser, is_operator(parser, "-") ? TX_N_NEGATE : TX_N_PLUS, &node));
    parser->at++;
    HS_TRY(parse_unary(parser, false, &node->a));
    *node_out = node;
    return grow(parser, node, node->a);
}

static enum hasten_status parse_unary(struct parser *parser, bool with_filters,
                                      struct tx_node **node_out)
{
    HS_TRY(enter(parser));
    if (is_operator(parser, "-") || is_operator(parser, "+"))
        HS_TRY(parse_sign(parser, node_out));
    else
        HS_TRY(parse_primary(parser, node_out));
    HS_TRY(parse_postfix(parser, node_out));
    if (with_filters)
        HS_TRY(parse_filters(parser, node_out));
    parser->depth--;
    return HASTEN_OK;
}

static enum hasten_status parse_operand(struct parser *parser, struct tx_node **node_out)
{
    return parse_unary(parser, true, node_out);
}

/* Left-associative operators of one level: operators is a list separated by spaces. */
static enum hasten_status parse_binary(struct parser *parser, const char *operators,
                                       parse_fn parse_side, struct tx_node **node_out)
{
    HS_TRY(parse_side(parser, node_out));
    for (;;) {
        struct hs_str name = parser->at->text;
        bool here = false;
        for (const char *at = operators; parser->at->kind == TX_T_OPERATOR && *at && !here;) {
            size_t length = strcspn(at, " ");
            here = hs_str_equal((struct hs_str){at, length}, name);
            at += length + (at[length] == ' ');
        }
        if (!here)
            return HASTEN_OK;
        struct tx_node *right;
        parser->at++;
        HS_TRY(parse_side(parser, &right));
        HS_TRY(new_pair(parser, TX_N_BINARY, *node_out, right, node_out));
        (*node_out)->name = name;
    }
}

static enum hasten_status parse_power(struct parser *parser, struct tx_node **node_out)
{
    return parse_binary(parser, "**", parse_operand, node_out);
}

static enum hasten_status parse_product(struct parser *parser, struct tx_node **node_out)
{
    return parse_binary(parser, "* / // %", parse_power, node_out);
}

static enum hasten_status parse_concat(struct parser *parser, struct tx_node **node_out)
{
    return parse_binary(parser, "~", parse_product, node_out);
}

static enum hasten_status parse_sum(struct parser *parser, struct tx_node **node_out)
{
    return parse_binary(parser, "+ -", parse_concat, node_out);
}

/* Takes a comparison operator; its name, or an empty text when there is none. */
static struct hs_str take_comparison(struct parser *parser)
{
    static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (take_operator(parser, operators[i]))
            return hs_str_of(operators[i]);
    if (take_name(parser, "in"))
        return hs_str_of("in");
    if (is_name(parser, "not") && parser->at[1].kind == TX_T_NAME &&
        hs_str_is(parser->at[1].text, "in")) {
        parser->at += 2;
        return hs_str_of("not in");
    }
    return (struct hs_str){NULL, 0};
}

static enum hasten_status parse_compare(struct parser *parser, struct tx_node **node_out)
{
    struct tx_node *first, *compare = NULL;
    struct list list = {0};
    HS_TRY(parse_sum(parser, &first));
    *node_out = first;
    for (;;) {
        struct hs_str name = take_comparison(parser);
        if (name.size_bytes == 0)
            break;
        struct tx_node *operand;
        if (!compare) {
            HS_TRY(new_node(parser, TX_N_COMPARE, &compare));
            compare->a = first;
            HS_TRY(grow(parser, compare, first));
            *node_out = compare;
        }
        HS_TRY(new_node(parser, TX_N_OPERAND, &operand));
        operand->name = name;
        HS_TRY(parse_sum(parser, &operand->a));
        HS_TRY(grow(parser, operand, operand->a));
        HS_TRY(grow(parser, compare, operand));
        append(&list, operand);
    }
    if (compare)
        compare->list = list.first;
    return HASTEN_OK;
}

static enum hasten_status parse_not(struct parser *parser, struct tx_node **node_out)
{
    if (!is_name(parser, "not"))
        return parse_compare(parser, node_out);
    struct tx_node *node;
    HS_TRY(enter(parser));
    HS_TRY(new_node(parser, TX_N_NOT, &node));
    parser->at++;
    HS_TRY(parse_not(parser, &node->a));
    *node_out = node;
    parser->depth--;
    return grow(parser, node, node->a);
}

static enum hasten_status parse_and(struct parser *parser, struct tx_node **node_out)
{
    HS_TRY(parse_not(parser, node_out));
    while (take_name(parser, "and")) {
        struct tx_node *right;
        HS_TRY(parse_not(parser, &right));
        HS_TRY(new_pair(parser, TX_N_AND, *node_out, right, node_out));
    }
    return HASTEN_OK;
}

static enum hasten_status parse_or(struct parser *parser, struct tx_node **node_out)
{
    HS_TRY(parse_and(parser, node_out));
    while (take_name(parser, "or")) {
        struct tx_node *right;
        HS_TRY(parse_and(parser, &right));
        HS_TRY(new_pair(parser, TX_N_OR, *node_out, right, node_out));
    }
    return HASTEN_OK;
}

static enum hasten_status parse_expression(struct parser *parser, struct tx_node **node_out)
{
    HS_TRY(enter(parser));
    HS_TRY(parse_or(parser, node_out));
    while (take_name(parser, "if")) {
        struct tx_node *condition, *otherwise = NULL, *node;
        HS_TRY(parse_or(parser, &condition));
        if (take_name(parser, "else"))
            HS_TRY(parse_expression(parser, &otherwise));
        HS_TRY(new_pair(parser, TX_N_COND, *node_out, condition, &node));
        node->c = otherwise;
        HS_TRY(grow(parser, node, otherwise));
        *node_out = node;
    }
    parser->depth--;
    return HASTEN_OK;
}

/* --- statements --------------------------------------------------------------------------- */

static enum hasten_status end_block(struct parser *parser)
{
    return expect(parser, TX_T_BLOCK_END, "end of the tag");
}

/* No filters here: those behind the target of a block belong to the block. */
static enum hasten_status parse_plain(struct parser *parser, struct tx_node **node_out)
{
    return parse_unary(parser, false, node_out);
}

/* A name, ns.attribute, or names separated by commas. */
static enum hasten_status parse_target(struct parser *parser, struct tx_node **node_out)
{
    HS_TRY(parse_tuple(parser, parse_plain, node_out));
    const struct tx_node *target = *node_out;
    if (target->kind == TX_N_NAME || (target->kind == TX_N_ATTR && target->a->kind == TX_N_NAME))
        return HASTEN_OK;
    bool names = target->kind == TX_N_TUPLE && target->list;
    for (const struct tx_node *item = target->list; names && item; item = item->next)
        names = item->kind == TX_N_NAME;
    return names ? HASTEN_OK : fail_syntax(parser, "name to assign to");
}

static enum hasten_status parse_for(struct parser *parser, struct tx_node *node)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    node->kind = TX_N_FOR;
    HS_TRY(parse_target(parser, &node->a));
    if (!take_name(parser, "in"))
        return fail_syntax(parser, "in");
    HS_TRY(parse_tuple(parser, parse_or, &node->b));
    if (take_name(parser, "if"))
        HS_TRY(parse_expression(parser, &node->c));
    if (is_name(parser, "recursive"))
        return unsupported(parser, hs_str_of("for ... recursive"));
    HS_TRY(end_block(parser));
    parser->loops++;
    HS_TRY(parse_statements(parser, ends, &node->list));
    parser->loops--;
    if (take_name(parser, "else")) {
        HS_TRY(end_block(parser));
        HS_TRY(parse_statements(parser, ends, &node->orelse));
    }
    if (!take_name(parser, "endfor"))
        return fail_syntax(parser, "endfor");
    return end_block(parser);
}

/* "if" or "elif" was taken. An elif chain is built in a loop, so that its length is no depth. */
static enum hasten_status parse_if(struct parser *parser, struct tx_node *node)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct tx_node *branch = node;
    for (;;) {
        branch->kind = TX_N_IF;
        HS_TRY(parse_tuple(parser, parse_or, &branch->a));
        HS_TRY(end_block(parser));
        HS_TRY(parse_statements(parser, ends, &branch->list));
        if (!take_name(parser, "elif"))
            break;
        struct tx_node *next;
        HS_TRY(new_node(parser, TX_N_IF, &next));
        branch->orelse = next;
        branch = next;
    }
    if (take_name(parser, "else")) {
        HS_TRY(end_block(parser));
        HS_TRY(parse_statements(parser, ends, &branch->orelse));
    }
    if (!take_name(parser, "endif"))
        return fail_syntax(parser, "endif");
    return end_block(parser);
}

/* The end of the tag, a body, and the tag that ends it. */
static enum hasten_status parse_body(struct parser *parser, const char *end,
                                     struct tx_node **list_out)
{
    const char *const ends[] = {end, NULL};
    HS_TRY(end_block(parser));
    HS_TRY(parse_statements(parser, ends, list_out));
    if (!take_name(parser, end))
        return fail_syntax(parser, end);
    return end_block(parser);
}

/* Filters of a block, the first of them standing here without "|". */
static enum hasten_status parse_block_filters(struct parser *parser, struct tx_node *node,
                                              struct tx_node **filters_out)
{
    HS_TRY(new_node(parser, TX_N_CAPTURED, filters_out));
    do
        HS_TRY(parse_filter(parser, filters_out));
    while (take_operator(parser, "|"));
    return grow(parser, node, *filters_out);
}

static enum hasten_status parse_set(struct parser *parser, struct tx_node *node)
{
    node->kind = TX_N_SET;
    HS_TRY(parse_target(parser, &node->a));
    if (take_operator(parser, "=")) {
        HS_TRY(parse_tuple(parser, parse_expression, &node->b));
        return end_block(parser);
    }
    node->kind = TX_N_SET_BLOCK;
    if (take_operator(parser, "|"))
        HS_TRY(parse_block_filters(parser, node, &node->b));
    return parse_body(parser, "endset", &node->list);
}

static enum hasten_status parse_generation(struct parser *parser, struct tx_node *node)
{
    node->kind = TX_N_SCOPE;
    return parse_body(parser, "endgeneration", &node->list);
}

static enum hasten_status parse_filter_block(struct parser *parser, struct tx_node *node)
{
    node->kind = TX_N_FILTER_BLOCK;
    HS_TRY(parse_block_filters(parser, node, &node->a));
    return parse_body(parser, "endfilter", &node->list);
}

/* Parameters up to ")", which is taken. */
static enum hasten_status parse_parameters(struct parser *parser, struct tx_node *macro)
{
    struct list list = {0};
    while (!take_operator(parser, ")")) {
        struct tx_node *parameter;
        if (list.first)
            HS_TRY(expect_operator(parser, ","));
        if (parser->at->kind != TX_T_NAME)
            return fail_syntax(parser, "name of a parameter");
        HS_TRY(new_node(parser, TX_N_PARAMETER, &parameter));
        parameter->name = parser->at->text;
        parser->at++;
        if (take_operator(parser, "=")) {
            HS_TRY(parse_expression(parser, &parameter->a));
            HS_TRY(grow(parser, parameter, parameter->a));
        }
        HS_TRY(grow(parser, macro, parameter));
        append(&list, parameter);
    }
    macro->orelse = list.first;
    return HASTEN_OK;
}

/* Body of a macro; loops around it are none of its own. */
static enum hasten_status parse_macro_body(struct parser *parser, struct tx_node *macro,
                                           const char *end)
{
    int loops = parser->loops, uses = parser->uses;
    macro->kind = TX_N_MACRO;
    parser->loops = parser->uses = 0;
    HS_TRY(parse_body(parser, end, &macro->list));
    macro->value = tx_int(parser->uses);
    parser->loops = loops;
    parser->uses |= uses;
    return HASTEN_OK;
}

static enum hasten_status parse_macro(struct parser *parser, struct tx_node *node)
{
    node->name = parser->at->text;
    HS_TRY(expect(parser, TX_T_NAME, "name of the macro"));
    HS_TRY(expect_operator(parser, "("));
    HS_TRY(parse_parameters(parser, node));
    return parse_macro_body(parser, node, "endmacro");
}

/* {% call(parameters) macro(arguments) %}: the body becomes a macro named caller. */
static enum hasten_status parse_call_block(struct parser *parser, struct tx_node *node)
{
    node->kind = TX_N_CALL_BLOCK;
    HS_TRY(new_node(parser, TX_N_MACRO, &node->b));
    node->b->name = hs_str_of("caller");
    if (take_operator(parser, "("))
        HS_TRY(parse_parameters(parser, node->b));
    HS_TRY(parse_operand(parser, &node->a));
    if (node->a->kind != TX_N_CALL)
        return fail_syntax(parser, "call of a macro");
    HS_TRY(parse_macro_body(parser, node->b, "endcall"));
    HS_TRY(grow(parser, node, node->a));
    return grow(parser, node, node->b);
}

static enum hasten_status parse_with(struct parser *parser, struct tx_node *node)
{
    struct list list = {0};
    node->kind = TX_N_WITH;
    while (parser->at->kind != TX_T_BLOCK_END) {
        struct tx_node *set;
        if (list.first)
            HS_TRY(expect_operator(parser, ","));
        HS_TRY(new_node(parser, TX_N_SET, &set));
        if (parser->at->kind != TX_T_NAME)
            return fail_syntax(parser, "name to assign to");
        HS_TRY(parse_primary(parser, &set->a));
        if (set->a->kind != TX_N_NAME)
            return fail_syntax(parser, "name to assign to");
        HS_TRY(expect_operator(parser, "="));
        HS_TRY(parse_expression(parser, &set->b));
        HS_TRY(grow(parser, set, set->b));
        HS_TRY(grow(parser, node, set));
        append(&list, set);
    }
    node->orelse = list.first;
    return parse_body(parser, "endwith", &node->list);
}

/* The tag's first name is the current token. */
static enum hasten_status parse_statement(struct parser *parser, struct tx_node **node_out)
{
    static const char *const later[] = {"include",    "import", "from",  "extends", "block", "do",
                                        "autoescape", "debug",  "trans", "print",   NULL};
    static const struct {
        const char *name;
        enum hasten_status (*parse)(struct parser *parser, struct tx_node *node);
    } statements[] = {
        {"for", parse_for},     {"if", parse_if},
        {"set", parse_set},     {"generation", parse_generation},
        {"macro", parse_macro}, {"call", parse_call_block},
        {"with", parse_with},   {"filter", parse_filter_block},
    };
    HS_TRY(enter(parser));
    HS_TRY(new_node(parser, TX_N_BREAK, node_out));
    size_t i = 0;
    while (i < sizeof statements / sizeof statements[0] && !take_name(parser, statements[i].name))
        i++;
    if (i < sizeof statements / sizeof statements[0]) {
        HS_TRY(statements[i].parse(parser, *node_out));
    } else if (parser->loops && (is_name(parser, "break") || is_name(parser, "continue"))) {
        (*node_out)->kind = is_name(parser, "break") ? TX_N_BREAK : TX_N_CONTINUE;
        parser->at++;
        HS_TRY(end_block(parser));
    } else {
        for (int k = 0; later[k]; k++)
            if (is_name(parser, later[k]))
                return unsupported(parser, parser->at->text);
        return fail_syntax(parser, "statement");
    }
    parser->depth--;
    return HASTEN_OK;
}

static bool at_one_of(const struct parser *parser, const char *const *names)
{
    for (; names && *names; names++)
        if (is_name(parser, *names))
            return true;
    return false;
}

/* Statements up to a tag that starts with one of `ends` (whose "{%" is taken, not its name), or to
 * the end of the template when ends is NULL. */
static enum hasten_status parse_statements(struct parser *parser, const char *const *ends,
                                           struct tx_node **list_out)
{
    struct list list = {0};
    for (;;) {
        struct tx_node *node;
        const struct tx_token *token = parser->at;
        if (token->kind == TX_T_DATA) {
            HS_TRY(new_node(parser, TX_N_TEXT, &node));
            node->name = token->text;
            parser->at++;
        } else if (token->kind == TX_T_PRINT_BEGIN) {
            HS_TRY(new_node(parser, TX_N_PRINT, &node));
            parser->at++;
            HS_TRY(parse_tuple(parser, parse_expression, &node->a));
            HS_TRY(expect(parser, TX_T_PRINT_END, "}}"));
        } else if (token->kind == TX_T_BLOCK_BEGIN) {
            parser->at++;
            if (at_one_of(parser, ends))
                break;
            HS_TRY(parse_statement(parser, &node));
        } else if (ends) {
            return fail_syntax(parser, ends[0]);
        } else {
            break;
        }
        append(&list, node);
    }
    *list_out = list.first;
    return HASTEN_OK;
}

enum hasten_status tx_template_tree(const struct tx_token *tokens, struct hs_arena *arena,
                                    struct hs_error *error, struct tx_node **tree_out)
{
    struct parser parser = {.at = tokens, .arena = arena, .error = error};
    return parse_statements(&parser, NULL, tree_out);
}

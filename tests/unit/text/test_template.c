/*
 * Chat templates against Jinja2 (golden/template_cases.h, written by make_templates.py), errors
 * that name the line, caps.
 */
#include <time.h>

#include "text/chat_template.h"
#include "text/value_builder.h"

#include "golden/template_cases.h"
#include "harness/test.h"

enum { CASES = sizeof template_cases / sizeof template_cases[0] };

/* Builds the value at *row, which moves behind it. */
static struct tx_value *build(struct tx_pool *pool, const struct template_value **row)
{
    const struct template_value *at = (*row)++;
    struct tx_value *made;
    switch (at->kind) {
    case 'n':
        return tx_pool_none(pool);
    case 'b':
        return tx_pool_bool(pool, at->integer != 0);
    case 'i':
        return tx_pool_int(pool, at->integer);
    case 'f':
        return tx_pool_float(pool, at->real);
    case 's':
        return tx_pool_text(pool, hs_str_of(at->text));
    case '[':
        made = tx_pool_list(pool);
        for (long long i = 0; i < at->integer; i++)
            tx_pool_append(pool, made, build(pool, row));
        return made;
    default:
        made = tx_pool_dict(pool);
        for (long long i = 0; i < at->integer; i++) {
            const char *key = (*row)->key;
            tx_pool_put(pool, made, hs_str_of(key), build(pool, row));
        }
        return made;
    }
}

/* The message at *row: role and content as texts where they are, all else as extra fields. */
static struct tx_message build_message(struct tx_pool *pool, const struct template_value **row)
{
    struct tx_message message = {.extra = NULL};
    struct tx_value *extra = NULL;
    for (long long left = (*row)++->integer; left > 0; left--) {
        const struct template_value *at = *row;
        struct tx_value *value = build(pool, row);
        if (at->kind == 's' && !strcmp(at->key, "role")) {
            message.role = hs_str_of(at->text);
        } else if (at->kind == 's' && !strcmp(at->key, "content")) {
            message.content = hs_str_of(at->text);
        } else {
            extra = extra ? extra : tx_pool_dict(pool);
            tx_pool_put(pool, extra, hs_str_of(at->key), value);
        }
    }
    message.extra = extra;
    return message;
}

static const struct tm now = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 6, .tm_hour = 15, .tm_min = 4, .tm_sec = 5};

/* Parses and renders; out is cleared first. */
static enum hasten_status render(struct hs_str source, int conversation, bool prompt,
                                 struct hs_error *error, struct hs_buffer *out)
{
    struct tx_template *parsed;
    hs_error_clear(error);
    hs_buffer_clear(out);
    enum hasten_status status = tx_template_parse(source, error, &parsed);
    if (status != HASTEN_OK)
        return status;
    const struct template_conversation *given = &template_conversations[conversation];
    const struct template_value *messages_at = given->messages + 1, *tools_at = given->tools;
    const struct template_value *variables_at = given->variables;
    struct tx_pool pool = {.failed = false};
    struct tx_message messages[8];
    int32_t count = (int32_t)given->messages->integer;
    for (int32_t i = 0; i < count; i++)
        messages[i] = build_message(&pool, &messages_at);
    struct tx_template_input input = {
        .messages = messages,
        .message_count = count,
        .add_generation_prompt = prompt,
        .bos_token = hs_str_of("<s>"),
        .eos_token = hs_str_of("</s>"),
        .tools = given->tools ? build(&pool, &tools_at) : NULL,
        .variables = given->variables ? build(&pool, &variables_at) : NULL,
        .now = &now,
    };
    status = pool.failed ? HASTEN_OUT_OF_MEMORY : tx_template_render(parsed, &input, error, out);
    tx_pool_free(&pool);
    tx_template_free(&parsed);
    return status;
}

static enum hasten_status render_text(const char *source, struct hs_error *error,
                                      struct hs_buffer *out)
{
    return render(hs_str_of(source), 0, false, error, out);
}

TEST(equals_jinja2)
{
    struct hs_buffer out = {0};
    struct hs_error error;
    int wrong = 0;
    for (int i = 0; i < CASES; i++) {
        const struct template_case *one = &template_cases[i];
        enum hasten_status status = render(hs_str_of(one->source), one->conversation,
                                           one->add_generation_prompt, &error, &out);
        const char *text = status != HASTEN_OK ? NULL : out.data ? out.data : "";
        bool same = one->expected ? text && !strcmp(text, one->expected) : !text;
        if (same)
            continue;
        wrong++;
        printf("  template %s\n  expected %s\n  got      %s\n", one->source,
               one->expected ? one->expected : "(an error)", text ? text : error.message);
    }
    hs_buffer_free(&out);
    CHECK_INT(wrong, 0);
}

TEST(errors_name_line_and_construct)
{
    static const struct {
        const char *source;
        enum hasten_status status;
        const char *message;
    } cases[] = {
        {"a\nb{% include 'x' %}", HASTEN_UNSUPPORTED,
         "chat template line 2: 'include' is not supported"},
        {"{% macro x(a) %}\n{{ a }}{% endmacro %}\n{{ x(1, 2) }}", HASTEN_INVALID_ARGUMENT,
         "chat template line 3: macro 'x' is called with too many arguments"},
        {"{% macro x(a) %}\n{{ a.b.c }}{% endmacro %}\n{{ x({}) }}", HASTEN_INVALID_ARGUMENT,
         "chat template line 2: 'b' is undefined"},
        {"{{ '%q' % 1 }}", HASTEN_UNSUPPORTED,
         "chat template line 1: format character 'q' is not supported"},
        {"{{ strftime_now('%Q') }}", HASTEN_UNSUPPORTED,
         "chat template line 1: date format '%Q' is not supported"},
        {"{{ '\xc3\x89' | lower }}", HASTEN_UNSUPPORTED,
         "chat template line 1: changing the case of letters beyond ASCII is not supported"},
        {"\n{% for x in [1] %}{{ loop.changed(x) }}{% endfor %}", HASTEN_UNSUPPORTED,
         "chat template line 2: 'changed' is not defined or not supported"},
        {"\n\n{{ 1 | urlize }}", HASTEN_UNSUPPORTED,
         "chat template line 3: filter 'urlize' is not supported"},
        {"{{ 1 is odder }}", HASTEN_UNSUPPORTED,
         "chat template line 1: test 'odder' is not supported"},
        {"\n{{ lipsum() }}", HASTEN_UNSUPPORTED,
         "chat template line 2: 'lipsum' is not defined or not supported"},
        {"{{ raise_exception('no way') }}", HASTEN_INVALID_ARGUMENT,
         "chat template line 1: no way"},
        {"{# a\nb #}\n{% if %}", HASTEN_CORRUPT_INPUT,
         "chat template line 3: expression expected, end of the tag found"},
        {"{{ nothing.x }}", HASTEN_INVALID_ARGUMENT,
         "chat template line 1: 'nothing' is undefined"},
        {"{{ f(*a) }}", HASTEN_UNSUPPORTED, "chat template line 1: '*' is not supported"},
        {"{% for x in y recursive %}{% endfor %}", HASTEN_UNSUPPORTED,
         "chat template line 1: 'for ... recursive' is not supported"},
    };
    struct hs_buffer out = {0};
    struct hs_error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT(render_text(cases[i].source, &error, &out), cases[i].status);
        CHECK_TEXT(error.message, cases[i].message);
    }
    hs_buffer_free(&out);
}

TEST(a_branch_not_taken_may_use_what_is_not_supported)
{
    struct hs_buffer out = {0};
    struct hs_error error;
    CHECK_INT(render_text("{% if tools %}{{ tools | selectattr('a') | nothing }}{% endif %}ok",
                          &error, &out),
              HASTEN_OK);
    CHECK_TEXT(out.data, "ok");
    hs_buffer_free(&out);
}

TEST(a_macro_outlives_the_scope_it_was_made_in)
{
    struct hs_buffer out = {0};
    struct hs_error error;
    CHECK_INT(render_text("{% set ns = namespace() %}{% for i in [1, 2] %}{% macro m() %}<{{ i }}>"
                          "{% endmacro %}{% set ns.f = m %}{% endfor %}{{ ns.f() }}",
                          &error, &out),
              HASTEN_OK);
    CHECK_TEXT(out.data, "<2>"); /* Jinja2 writes "<missing>" here */
    hs_buffer_free(&out);
}

TEST(failed_rendering_leaves_the_buffer)
{
    struct hs_buffer out = {0};
    struct hs_error error;
    struct tx_template *parsed;
    hs_buffer_append(&out, "before", 6);
    CHECK_INT(tx_template_parse(hs_str_of("abc{{ 1 / 0 }}"), &error, &parsed), HASTEN_OK);
    struct tx_template_input input = {.messages = NULL};
    CHECK_INT(tx_template_render(parsed, &input, &error, &out), HASTEN_INVALID_ARGUMENT);
    CHECK_TEXT(out.data, "before");
    tx_template_free(&parsed);
    CHECK(parsed == NULL);
    hs_buffer_free(&out);
}

TEST(effort_is_capped)
{
    static const char *const sources[] = {
        /* steps */
        "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = a * b %}{% endfor %}"
        "{% endfor %}",
        /* output */
        "{% set x = 'a' * 1000000 %}{% for a in range(99999) %}{{ x }}{% endfor %}",
        /* memory */
        "{{ 'a' * 1000000000 }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}",
        "{{ ('a' * 100000) | replace('a', 'b' * 100000) | length }}",
        /* a small value with an exponentially long text */
        "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x | tojson }}",
        "{% set a = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set a.x = [a.x, a.x] %}"
        "{% set a.y = [a.y, a.y] %}{% endfor %}{{ a.x == a.y }}",
        /* depth of values */
        "{% set ns = namespace(x=[]) %}{% for a in range(999) %}{% set ns.x = [ns.x] %}{% endfor "
        "%}",
        /* macros that call themselves */
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% for x in [1] %}{{ m() ~ m() }}{% endfor %}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) "
        "}}",
        "{% macro m(a=m()) %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{{ caller() }}{% endmacro %}"
        "{% call m() %}x{% endcall %}",
        /* filters */
        "{{ 'a\nb' | indent('x' * 70000000) | length }}",
        "{{ ('a\n' * 1000000) | indent('x' * 1000) | length }}",
        "{{ range(99999) | map('string') | map('replace', '', 'x' * 9999) | list | length }}",
        "{% for i in range(99) %}{% set x = range(99999) | sort(reverse=true) %}{% endfor %}",
        "{% set x = range(99999) | unique | list %}",
        "{{ ('%(a)1000s' * 99999) % {'a': 1} }}",
        "{{ ('{0:1000}' * 99999).format(1) }}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(20) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x | tojson(indent='x' * 9999) }}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ '%r' % ns.x }}",
        "{{ range(9999999) }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ 10 ** 100 }}",
    };
    struct hs_buffer out = {0};
    struct hs_error error;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (render_text(sources[i], &error, &out) != HASTEN_LIMIT)
            TEST_FAIL("%s: %s", sources[i], error.message);
    hs_buffer_free(&out);
}

/* open, then unit `count` times, then close. */
static enum hasten_status render_chain(const char *open, const char *unit, const char *close,
                                       int count)
{
    struct hs_buffer source = {0}, out = {0};
    struct hs_error error;
    hs_buffer_append(&source, open, strlen(open));
    for (int i = 0; i < count; i++)
        hs_buffer_append(&source, unit, strlen(unit));
    hs_buffer_append(&source, close, strlen(close));
    enum hasten_status status =
        render((struct hs_str){source.data, source.size_bytes}, 0, false, &error, &out);
    hs_buffer_free(&source);
    hs_buffer_free(&out);
    return status;
}

TEST(depth_is_capped)
{
    static const struct {
        const char *open, *unit, *close;
    } chains[] = {
        /* to the right: these descend while parsing */
        {"{{ ", "(", "1 }}"},
        {"{{ ", "[", "1 }}"},
        {"{{ ", "-", "1 }}"},
        {"{{ ", "not ", "1 }}"},
        {"{{ ", "{1:", "1 }}"},
        {"{{ ", "1 if 1 else ", "1 }}"},
        {"{{ ", "x[", "1 }}"},
        {"{{ ", "f(", "1 }}"},
        {"", "{% if 1 %}", ""},
        {"", "{% for a in [1] %}", ""},
        {"", "{% set x %}", ""},
        {"", "{% macro m() %}", ""},
        {"{% macro m() %}{% endmacro %}", "{% call m() %}", ""},
        {"", "{% filter trim %}", ""},
        {"", "{% with %}", ""},
        /* to the left: these make high trees */
        {"{{ 1", " + 1", " }}"},
        {"{{ 1", " ** 1", " }}"},
        {"{{ 1", " and 1", " }}"},
        {"{{ x", ".a", " }}"},
        {"{{ x", "[0]", " }}"},
        {"{{ x", "()", " }}"},
        {"{{ x", " | trim", " }}"},
        {"{{ x", " is none", " }}"},
        {"{{ 1", " if 1", " }}"},
    };
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        enum hasten_status status =
            render_chain(chains[i].open, chains[i].unit, chains[i].close, 20000);
        /* An open bracket hides the end of its tag. */
        if (status != HASTEN_LIMIT && status != HASTEN_CORRUPT_INPUT)
            TEST_FAIL("%s gives %s", chains[i].unit, hs_status_name(status));
    }
    CHECK_INT(render_chain("{{ 1", " + 1", " }}", 20000), HASTEN_LIMIT);
    CHECK_INT(render_chain("{{ 1", " + 1", " }}", 150), HASTEN_OK);
    CHECK_INT(render_chain("", "{% if 1 %}", "", 20000), HASTEN_LIMIT);
    CHECK_INT(render_chain("{{ ", "not ", "1 }}", 20000), HASTEN_LIMIT);
    CHECK_INT(render_chain("{{ 1 }}", ")", "", 20000), HASTEN_OK);
}

TEST(a_long_elif_chain_is_no_depth)
{
    struct hs_buffer source = {0}, out = {0};
    struct hs_error error;
    hs_buffer_printf(&source, "{%% if false %%}");
    for (int i = 0; i < 5000; i++)
        hs_buffer_printf(&source, "{%% elif %d == 4999 %%}%d", i, i);
    hs_buffer_printf(&source, "{%% endif %%}");
    CHECK_INT(render((struct hs_str){source.data, source.size_bytes}, 0, false, &error, &out),
              HASTEN_OK);
    CHECK_TEXT(out.data, "4999");
    hs_buffer_free(&source);
    hs_buffer_free(&out);
}

/* Renders {{ tools | tojson | length }} over a value. */
static enum hasten_status render_tools(const struct tx_value *tools, struct hs_buffer *out)
{
    struct tx_template *parsed;
    struct hs_error error;
    struct tx_template_input input = {.tools = tools};
    hs_buffer_clear(out);
    CHECK_INT(tx_template_parse(hs_str_of("{{ tools | tojson | length }}"), &error, &parsed),
              HASTEN_OK);
    enum hasten_status status = tx_template_render(parsed, &input, &error, out);
    tx_template_free(&parsed);
    return status;
}

TEST(built_values_are_checked)
{
    struct tx_pool pool = {.failed = false};
    struct hs_buffer out = {0};
    struct tx_value *inner = tx_pool_list(&pool), *outer = NULL;
    for (int i = 0; i < 500; i++) { /* too deep */
        outer = tx_pool_list(&pool);
        tx_pool_append(&pool, outer, inner);
        inner = outer;
        CHECK_INT(render_tools(outer, &out), i < 63 ? HASTEN_OK : HASTEN_LIMIT);
    }
    struct tx_value *self = tx_pool_list(&pool); /* within itself */
    tx_pool_append(&pool, self, self);
    tx_pool_append(&pool, self, self);
    CHECK_INT(render_tools(self, &out), HASTEN_LIMIT);
    inner = tx_pool_text(&pool, hs_str_of("x"));
    for (int i = 0; i < 40; i++) { /* small, but exponentially long */
        outer = tx_pool_list(&pool);
        tx_pool_append(&pool, outer, inner);
        tx_pool_append(&pool, outer, inner);
        inner = outer;
    }
    CHECK_INT(render_tools(outer, &out), HASTEN_LIMIT);
    struct tx_value *dict = tx_pool_dict(&pool); /* of equal keys the later one counts */
    tx_pool_put(&pool, dict, hs_str_of("k"), tx_pool_int(&pool, 123));
    tx_pool_put(&pool, dict, hs_str_of("k"), tx_pool_bool(&pool, true));
    CHECK_INT(render_tools(dict, &out), HASTEN_OK);
    CHECK_TEXT(out.data, "11"); /* {"k": true} */
    for (int i = 0; i < 100; i++)
        tx_pool_append(&pool, self, NULL);
    CHECK(!pool.failed);
    tx_pool_free(&pool);
    hs_buffer_free(&out);
}

TEST(a_failed_pool_stays_failed)
{
    struct tx_pool pool = {.failed = false};
    hs_alloc_fail_at(1, false);
    struct tx_value *list = tx_pool_list(&pool);
    hs_alloc_fail_at(0, false);
    CHECK(list == NULL && pool.failed);
    struct tx_value *dict = tx_pool_dict(&pool);
    CHECK(dict == NULL && tx_pool_text(&pool, hs_str_of("x")) == NULL);
    tx_pool_append(&pool, list, dict);
    tx_pool_put(&pool, dict, hs_str_of("x"), list);
    tx_pool_free(&pool);
    CHECK(!pool.failed);
}

TEST(without_a_date_there_is_no_strftime)
{
    struct tx_template *parsed;
    struct hs_error error;
    struct hs_buffer out = {0};
    struct tx_template_input input = {.messages = NULL};
    CHECK_INT(tx_template_parse(hs_str_of("{{ strftime_now is defined }}"), &error, &parsed),
              HASTEN_OK);
    CHECK_INT(tx_template_render(parsed, &input, &error, &out), HASTEN_OK);
    CHECK_TEXT(out.data, "False");
    struct tm wrong = now;
    wrong.tm_mon = 12;
    input.now = &wrong;
    CHECK_INT(tx_template_render(parsed, &input, &error, &out), HASTEN_INVALID_ARGUMENT);
    tx_template_free(&parsed);
    hs_buffer_free(&out);
}

TEST(out_of_memory_is_reported)
{
    struct hs_str source = hs_str_of("{% set x = [1, {'a': 2}] %}{% for m in messages %}"
                                     "{{ m.role | upper ~ x }}{% endfor %}"
                                     "{% macro f(a) %}{{ a | tojson }}{% endmacro %}"
                                     "{{ f(tools) }}");
    struct hs_buffer out = {0};
    struct hs_error error;
    int failures = 0;
    for (uint64_t n = 1; n < 100; n++) {
        hs_alloc_fail_at(n, true);
        enum hasten_status status = render(source, 3, false, &error, &out);
        hs_alloc_fail_at(0, false);
        hs_buffer_free(&out);
        if (status == HASTEN_OK)
            break;
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        failures++;
    }
    CHECK(failures > 3 && failures < 99);
}

TEST_MAIN()

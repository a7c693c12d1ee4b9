/*
 * Fuzz target: a chat template of any bytes, rendered over a fixed conversation with tools. Looks
 * for crashes, hangs, memory that is not bounded, and output that is left behind after a failure.
 */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "text/chat_template.h"
#include "text/value_builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A small value of every kind. */
static struct tx_value *build_tools(struct tx_pool *pool)
{
    struct tx_value *list = tx_pool_list(pool), *tool = tx_pool_dict(pool);
    struct tx_value *kinds = tx_pool_list(pool);
    tx_pool_append(pool, kinds, tx_pool_none(pool));
    tx_pool_append(pool, kinds, tx_pool_bool(pool, true));
    tx_pool_append(pool, kinds, tx_pool_int(pool, -7));
    tx_pool_append(pool, kinds, tx_pool_float(pool, 2.5));
    tx_pool_put(pool, tool, (struct hs_str){"name", 4},
                tx_pool_text(pool, (struct hs_str){"get <x>", 7}));
    tx_pool_put(pool, tool, (struct hs_str){"kinds", 5}, kinds);
    tx_pool_append(pool, list, tool);
    tx_pool_append(pool, list, tool);
    return list;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tm now = {.tm_year = 124, .tm_mon = 1, .tm_mday = 29, .tm_hour = 13};
    struct hs_error error;
    struct tx_template *parsed = NULL;
    if (tx_template_parse((struct hs_str){(const char *)data, size}, &error, &parsed) != HASTEN_OK)
        return 0;
    struct tx_pool pool = {.failed = false};
    struct tx_value *tools = build_tools(&pool), *extra = tx_pool_dict(&pool);
    tx_pool_put(&pool, extra, (struct hs_str){"tool_calls", 10}, tools);
    const struct tx_message messages[] = {
        {{"system", 6}, {"Be brief.", 9}, NULL},
        {{"user", 4}, {" Hi \xc3\xa9\n", 7}, extra},
    };
    const struct tx_template_input input = {
        .messages = messages,
        .message_count = 2,
        .add_generation_prompt = true,
        .bos_token = {"<s>", 3},
        .eos_token = {"</s>", 4},
        .tools = tools,
        .variables = extra,
        .now = &now,
    };
    struct hs_buffer out = {0};
    hs_buffer_append(&out, "x", 1);
    if (tx_template_render(parsed, &input, &error, &out) != HASTEN_OK && out.size_bytes != 1)
        abort();
    hs_buffer_free(&out);
    tx_pool_free(&pool);
    tx_template_free(&parsed);
    return 0;
}

/*
 * Fuzz target: a chat template of any bytes, rendered over a fixed conversation. Looks for crashes,
 * hangs, memory that is not bounded, and output that is left behind after a failure.
 */
#include <stdint.h>
#include <stdlib.h>

#include "text/chat_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tx_message messages[] = {{{"system", 6}, {"Be brief.", 9}},
                                                 {{"user", 4}, {" Hi \xc3\xa9\n", 7}}};
    const struct tx_template_input input = {messages, 2, true, {"<s>", 3}, {"</s>", 4}};
    struct hs_error error;
    struct tx_template *parsed = NULL;
    if (tx_template_parse((struct hs_str){(const char *)data, size}, &error, &parsed) != HASTEN_OK)
        return 0;
    struct hs_buffer out = {0};
    hs_buffer_append(&out, "x", 1);
    if (tx_template_render(parsed, &input, &error, &out) != HASTEN_OK && out.size_bytes != 1)
        abort();
    hs_buffer_free(&out);
    tx_template_free(&parsed);
    return 0;
}

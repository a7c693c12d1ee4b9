/* Answers of /v1/embeddings in OpenAI's shape; for completion_job.c, under the job's lock. */
#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "serve/completion_job.h"
#include "serve/json_out.h"

enum { DECIMALS = 10 };

/* |value| <= 1 with ten decimals: half a unit of the last is 5e-11. A request may ask for a million
 * of these on the thread that serves everybody, and printf takes twenty times as long. */
static void put_decimal(double value, struct hs_buffer *out)
{
    char text[16];
    uint64_t digits = (uint64_t)llround(fabs(value) * 1e10);
    size_t at = sizeof text;
    for (int i = 0; i < DECIMALS; i++, digits /= 10)
        text[--at] = (char)('0' + digits % 10);
    text[--at] = '.';
    text[--at] = (char)('0' + digits);
    if (value < 0)
        text[--at] = '-';
    hs_buffer_append(out, text + at, sizeof text - at);
}

static void put_decimals(const struct hs_buffer *values, struct hs_buffer *out)
{
    float value;
    sv_put(out, "[");
    for (size_t at = 0; at + sizeof value <= values->size_bytes; at += sizeof value) {
        memcpy(&value, values->data + at, sizeof value);
        if (at > 0)
            hs_buffer_append(out, ",", 1);
        put_decimal((double)value, out);
    }
    sv_put(out, "]");
}

/* The floats' bytes, least first, as every machine that hasten runs on stores them. In pieces of a
 * multiple of 3, which need no padding between them. */
static void put_base64(const struct hs_buffer *values, struct hs_buffer *out)
{
    enum { PIECE = 3072 };
    unsigned char text[PIECE / 3 * 4 + 1];
    sv_put(out, "\"");
    for (size_t at = 0; at < values->size_bytes; at += PIECE) {
        size_t left = values->size_bytes - at;
        int written = EVP_EncodeBlock(text, (const unsigned char *)values->data + at,
                                      (int)(left < PIECE ? left : PIECE));
        hs_buffer_append(out, text, (size_t)written);
    }
    sv_put(out, "\"");
}

void sv_render_embeddings(const struct sv_job *job, struct hs_buffer *out)
{
    int64_t tokens = 0;
    sv_put(out, "{\"object\":\"list\",\"data\":[");
    for (int32_t i = 0; i < job->choice_count; i++) {
        const struct hs_buffer *values = &job->choices[i].text;
        hs_buffer_printf(
            out, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":", i ? "," : "", (int)i);
        if (job->spec.is_base64)
            put_base64(values, out);
        else
            put_decimals(values, out);
        sv_put(out, "}");
        tokens += job->prompts[i].count;
    }
    sv_put(out, "],\"model\":");
    sv_put_text(out, hs_str_of(job->model->name));
    hs_buffer_printf(out,
                     ",\"usage\":{\"prompt_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}}\n",
                     tokens, tokens);
}

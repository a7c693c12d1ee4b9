/* JSON writing; see json_out.h. Plain runs are copied whole, so that usual text costs one append.
 */
#include "serve/json_out.h"

#include <math.h>
#include <string.h>

#include "text/text_utf8.h"

/* Bytes from `at` on that need no escape and are well-formed. */
static size_t plain_run(struct hs_str text, size_t at)
{
    size_t end = at;
    while (end < text.size_bytes) {
        unsigned char byte = (unsigned char)text.data[end];
        if (byte < 32 || byte == '"' || byte == '\\' || byte == 127)
            break;
        if (byte < 128) {
            end++;
            continue;
        }
        int length = tx_utf8_length((const uint8_t *)text.data + end, text.size_bytes - end);
        if (length == 0)
            break;
        end += (size_t)length;
    }
    return end - at;
}

static void put_special(struct hs_buffer *out, unsigned char byte)
{
    if (byte == '"' || byte == '\\')
        hs_buffer_printf(out, "\\%c", byte);
    else if (byte == '\n')
        hs_buffer_append(out, "\\n", 2);
    else if (byte == '\t')
        hs_buffer_append(out, "\\t", 2);
    else if (byte < 128)
        hs_buffer_printf(out, "\\u%04x", byte);
    else
        hs_buffer_append(out, "\xEF\xBF\xBD", 3);
}

void sv_put_escaped(struct hs_buffer *out, struct hs_str text)
{
    for (size_t at = 0; at < text.size_bytes;) {
        size_t run = plain_run(text, at);
        hs_buffer_append(out, text.data + at, run);
        at += run;
        if (at < text.size_bytes)
            put_special(out, (unsigned char)text.data[at++]);
    }
}

void sv_put(struct hs_buffer *out, const char *text)
{
    hs_buffer_append(out, text, strlen(text));
}

void sv_put_text(struct hs_buffer *out, struct hs_str text)
{
    hs_buffer_append(out, "\"", 1);
    sv_put_escaped(out, text);
    hs_buffer_append(out, "\"", 1);
}

void sv_put_logprob(struct hs_buffer *out, double logprob)
{
    hs_buffer_printf(out, "%.6f", isfinite(logprob) ? logprob : -9999.0);
}

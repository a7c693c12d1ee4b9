/*
 * JSON writing, into a buffer. Answers are written by hand rather than built as a tree: a chunk of
 * a stream is one append between the engine's steps.
 */
#ifndef HASTEN_SERVE_JSON_OUT_H
#define HASTEN_SERVE_JSON_OUT_H

#include "base/bytes.h"
#include "base/memory.h"

/* Text as it is: JSON that is written already. */
void sv_put(struct hs_buffer *out, const char *text);
/* Text in quotes; any bytes: what is no UTF-8 becomes U+FFFD. */
void sv_put_text(struct hs_buffer *out, struct hs_str text);
/* The same without quotes. */
void sv_put_escaped(struct hs_buffer *out, struct hs_str text);
/* Finite numbers as they are; what JSON cannot say as the lowest finite logarithm OpenAI uses. */
void sv_put_logprob(struct hs_buffer *out, double logprob);

#endif

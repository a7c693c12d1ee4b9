/*
 * Stop strings: texts that end a generation, looked for in the stream of its characters.
 *
 * Text is held back only while it could be the beginning of a stop string, so matches are found
 * over token borders and nothing of a stop string is ever handed out. The first byte at which a
 * stop string is complete ends the text; where several end there, the longest is cut off.
 * One matcher belongs to one generation and one thread.
 */
#ifndef HASTEN_TEXT_STOP_STRINGS_H
#define HASTEN_TEXT_STOP_STRINGS_H

#include "base/bytes.h"
#include "base/memory.h"
#include "base/status.h"

enum { TX_STOPS_MAX = 32, TX_STOP_BYTES_MAX = 1024 };

struct tx_stops;
/* Copies the texts: well-formed UTF-8, not empty, at most TX_STOPS_MAX of TX_STOP_BYTES_MAX bytes
 * (INVALID_ARGUMENT otherwise). */
HS_MUST_USE enum hasten_status tx_stops_open(const struct hs_str *texts, int count,
                                             struct hs_error *error, struct tx_stops **stops_out);
void tx_stops_close(struct tx_stops **stops);

/* Appends to out what can be handed out after `text` (whole characters) has come. True when a stop
 * string was found: out then ends where it began, the rest of text is dropped, and nothing may be
 * pushed any more. */
HS_MUST_USE bool tx_stops_push(struct tx_stops *stops, struct hs_str text, struct hs_buffer *out);
/* Appends what is held back: for the end of a generation that no stop string ended. */
void tx_stops_flush(struct tx_stops *stops, struct hs_buffer *out);
/* Bytes that are held back. */
size_t tx_stops_held(const struct tx_stops *stops);

#endif

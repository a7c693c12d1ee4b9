/*
 * UTF-8: validating and writing single characters. Well-formed means Unicode's table 3-7: no
 * overlong forms, no surrogates, nothing above U+10FFFF. Pure functions, thread-safe.
 */
#ifndef HASTEN_TEXT_TEXT_UTF8_H
#define HASTEN_TEXT_TEXT_UTF8_H

#include "base/bytes.h"

/* Length (1..4) of the well-formed character at data[0..size), 0 when there is none. */
int tx_utf8_length(const uint8_t *data, size_t size);
/* Length of the start of a character that may still become well-formed with more bytes: 1..3 when
 * all of data[0..size) is such a start, else 0. */
int tx_utf8_unfinished(const uint8_t *data, size_t size);
/* Bytes of the longest well-formed prefix. */
size_t tx_utf8_valid_prefix(struct hs_str text);
/* Code point of a well-formed character of `length` bytes. */
uint32_t tx_utf8_point(const uint8_t *data, int length);
/* Writes point (<= 0x10FFFF) to out[4], gives the length. */
int tx_utf8_put(uint32_t point, char out[4]);
/* Code point at data[0..size) and its length; a malformed byte gives U+FFFD and length 1. */
uint32_t tx_utf8_next(const char *data, size_t size, int *length_out);

#endif

/*
 * The byte alphabet of byte-level BPE (GPT-2): every byte is written as one printable character, so
 * that vocabularies are plain text. Visible Latin-1 bytes stand for themselves, the other 68 are
 * U+0100 + n in ascending order (space is U+0120).
 */
#ifndef HASTEN_TEXT_BYTE_ALPHABET_H
#define HASTEN_TEXT_BYTE_ALPHABET_H

#include "base/bytes.h"
#include "base/memory.h"

/* Writes the character of a byte, gives its length (1 or 2). */
int tx_byte_to_alphabet(uint8_t byte, char out[4]);
/* Byte that a code point stands for, or -1. */
int tx_byte_from_alphabet(uint32_t point);
/* Appends the alphabet form of bytes / the bytes of an alphabet text (characters outside the
 * alphabet are kept as they are). */
void tx_alphabet_encode(struct hs_str bytes, struct hs_buffer *out);
void tx_alphabet_decode(struct hs_str text, struct hs_buffer *out);

#endif

/*
 * Byte alphabet by arithmetic: the bytes that do not stand for themselves form four ranges, so no
 * table has to be built. Source: GPT-2's published encoder (bytes_to_unicode).
 */
#include "text/byte_alphabet.h"

#include "text/text_utf8.h"

/* Ranges of bytes that are moved above U+0100, with the first code point of each. */
static const struct {
    uint8_t first, last;
    uint32_t point;
} moved[] = {{0x00, 0x20, 0x100}, {0x7f, 0xa0, 0x121}, {0xad, 0xad, 0x143}};

int tx_byte_to_alphabet(uint8_t byte, char out[4])
{
    for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++)
        if (byte >= moved[i].first && byte <= moved[i].last)
            return tx_utf8_put(moved[i].point + (byte - moved[i].first), out);
    return tx_utf8_put(byte, out);
}

int tx_byte_from_alphabet(uint32_t point)
{
    for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++) {
        uint32_t span = (uint32_t)(moved[i].last - moved[i].first);
        if (point >= moved[i].point && point <= moved[i].point + span)
            return (int)(moved[i].first + (point - moved[i].point));
        if (point >= moved[i].first && point <= moved[i].last)
            return -1;
    }
    return point < 0x100 ? (int)point : -1;
}

void tx_alphabet_encode(struct hs_str bytes, struct hs_buffer *out)
{
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        char character[4];
        int length = tx_byte_to_alphabet((uint8_t)bytes.data[i], character);
        hs_buffer_append(out, character, (size_t)length);
    }
}

void tx_alphabet_decode(struct hs_str text, struct hs_buffer *out)
{
    for (size_t at = 0; at < text.size_bytes;) {
        int length;
        uint32_t point = tx_utf8_next(text.data + at, text.size_bytes - at, &length);
        int byte = tx_byte_from_alphabet(point);
        if (byte >= 0) {
            uint8_t value = (uint8_t)byte;
            hs_buffer_append(out, &value, 1);
        } else {
            hs_buffer_append(out, text.data + at, (size_t)length);
        }
        at += (size_t)length;
    }
}

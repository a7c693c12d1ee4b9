/*
 * UTF-8 validation by the ranges of Unicode's table 3-7 (well-formed byte sequences): only the
 * second byte has ranges that depend on the first, all later ones are 80..BF.
 */
#include "text/text_utf8.h"

/* Wanted length of a character by its first byte (0: never a first byte) and the range of its
 * second byte. */
static int lead(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    if (first < 0xe0)
        return 2;
    if (first == 0xe0)
        *low = 0xa0;
    else if (first == 0xed)
        *high = 0x9f;
    else if (first == 0xf0)
        *low = 0x90;
    else if (first == 0xf4)
        *high = 0x8f;
    return first < 0xf0 ? 3 : 4;
}

/* How many of the first bytes fit a character that wants *wanted_out bytes. */
static int fitting(const uint8_t *data, size_t size, int *wanted_out)
{
    uint8_t low, high;
    *wanted_out = size ? lead(data[0], &low, &high) : 0;
    if (*wanted_out == 0)
        return 0;
    int fit = 1;
    while (fit < *wanted_out && (size_t)fit < size) {
        if (data[fit] < low || data[fit] > high)
            break;
        low = 0x80;
        high = 0xbf;
        fit++;
    }
    return fit;
}

int tx_utf8_length(const uint8_t *data, size_t size)
{
    int wanted;
    int fit = fitting(data, size, &wanted);
    return fit == wanted ? wanted : 0;
}

int tx_utf8_unfinished(const uint8_t *data, size_t size)
{
    int wanted;
    int fit = fitting(data, size, &wanted);
    return fit < wanted && (size_t)fit == size ? fit : 0;
}

size_t tx_utf8_valid_prefix(struct hs_str text)
{
    const uint8_t *data = (const uint8_t *)text.data;
    size_t at = 0;
    while (at < text.size_bytes) {
        uint64_t eight;
        if (text.size_bytes - at >= sizeof eight) {
            memcpy(&eight, data + at, sizeof eight);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                at += sizeof eight;
                continue;
            }
        }
        int length = tx_utf8_length(data + at, text.size_bytes - at);
        if (length == 0)
            break;
        at += (size_t)length;
    }
    return at;
}

uint32_t tx_utf8_point(const uint8_t *data, int length)
{
    static const uint8_t masks[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t point = data[0] & masks[length];
    for (int i = 1; i < length; i++)
        point = point << 6 | (data[i] & 0x3f);
    return point;
}

int tx_utf8_put(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

uint32_t tx_utf8_next(const char *data, size_t size, int *length_out)
{
    const uint8_t *bytes = (const uint8_t *)data;
    int length = tx_utf8_length(bytes, size);
    *length_out = length ? length : 1;
    return length ? tx_utf8_point(bytes, length) : 0xfffd;
}

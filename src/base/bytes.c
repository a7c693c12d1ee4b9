/*
 * Bounded little-endian cursor.
 *
 * Every read goes through hs_cursor_take, the one place that checks a bound. Values are put
 * together byte by byte, which compilers turn into one load and which is right on any host order
 * and alignment. Invariant: at <= size_bytes. Threads: a cursor belongs to one.
 */
#include "base/bytes.h"

struct hs_cursor hs_cursor_over(const void *data, size_t size_bytes)
{
    return (struct hs_cursor){.data = data, .size_bytes = size_bytes};
}

size_t hs_cursor_left(const struct hs_cursor *cursor)
{
    return cursor->failed ? 0 : cursor->size_bytes - cursor->at;
}

const uint8_t *hs_cursor_take(struct hs_cursor *cursor, uint64_t size_bytes)
{
    if (cursor->failed || size_bytes > cursor->size_bytes - cursor->at) {
        cursor->failed = true;
        return NULL;
    }
    /* An empty cursor may stand on NULL, to which nothing may be added. */
    const uint8_t *view = cursor->data ? cursor->data + cursor->at : NULL;
    cursor->at += (size_t)size_bytes;
    return view;
}

/* The next `width` bytes as a number, 0 when they are not there. */
static uint64_t take_number(struct hs_cursor *cursor, unsigned width)
{
    const uint8_t *bytes = hs_cursor_take(cursor, width);
    uint64_t value = 0;
    if (!bytes)
        return 0;
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t hs_cursor_u8(struct hs_cursor *cursor)
{
    return (uint8_t)take_number(cursor, 1);
}

uint16_t hs_cursor_u16(struct hs_cursor *cursor)
{
    return (uint16_t)take_number(cursor, 2);
}

uint32_t hs_cursor_u32(struct hs_cursor *cursor)
{
    return (uint32_t)take_number(cursor, 4);
}

uint64_t hs_cursor_u64(struct hs_cursor *cursor)
{
    return take_number(cursor, 8);
}

float hs_cursor_f32(struct hs_cursor *cursor)
{
    uint32_t bits = hs_cursor_u32(cursor);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double hs_cursor_f64(struct hs_cursor *cursor)
{
    uint64_t bits = hs_cursor_u64(cursor);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

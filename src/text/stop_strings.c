/*
 * Stop strings: one Knuth-Morris-Pratt automaton a text, stepped byte by byte.
 *
 * The state of an automaton is the length of the longest beginning of its text that the stream ends
 * with. So the bytes to hold back are the largest state, and they need no buffer: they are the
 * beginning of that text. As texts are well-formed UTF-8 and the stream comes in whole characters,
 * no character is cut.
 */
#include "text/stop_strings.h"

#include "text/text_utf8.h"

struct stop {
    char *text;
    uint16_t *fallback; /* [size_bytes] length of the longest proper border of text[0..i] */
    size_t size_bytes, state;
};

struct tx_stops {
    struct hs_arena arena;
    int count;
    struct stop stops[TX_STOPS_MAX];
};

static void step(struct stop *stop, char byte)
{
    while (stop->state > 0 && stop->text[stop->state] != byte)
        stop->state = stop->fallback[stop->state - 1];
    stop->state += stop->text[stop->state] == byte;
}

static enum hasten_status add(struct tx_stops *stops, struct hs_str text, struct hs_error *error)
{
    if (text.size_bytes == 0 || text.size_bytes > TX_STOP_BYTES_MAX ||
        tx_utf8_valid_prefix(text) != text.size_bytes)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "stop strings are UTF-8 of 1 to 1024 bytes",
                       "stop string %d is %s", stops->count + 1,
                       text.size_bytes == 0                  ? "empty"
                       : text.size_bytes > TX_STOP_BYTES_MAX ? "too long"
                                                             : "not UTF-8");
    struct stop *stop = &stops->stops[stops->count];
    stop->size_bytes = text.size_bytes;
    stop->text = hs_arena_strndup(&stops->arena, text.data, text.size_bytes);
    stop->fallback = hs_arena_alloc(&stops->arena, text.size_bytes, sizeof *stop->fallback);
    if (!stop->text || !stop->fallback)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in stop strings");
    for (size_t i = 1; i < stop->size_bytes; i++) {
        step(stop, text.data[i]);
        stop->fallback[i] = (uint16_t)stop->state;
    }
    stop->state = 0;
    stops->count++;
    return HASTEN_OK;
}

enum hasten_status tx_stops_open(const struct hs_str *texts, int count, struct hs_error *error,
                                 struct tx_stops **stops_out)
{
    if (count < 0 || count > TX_STOPS_MAX)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "give fewer", "%d stop strings, at most %d",
                       count, TX_STOPS_MAX);
    struct tx_stops *stops = hs_calloc(1, sizeof *stops);
    if (!stops)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "out of memory in stop strings");
    for (int i = 0; i < count; i++) {
        enum hasten_status status = add(stops, texts[i], error);
        if (status != HASTEN_OK) {
            tx_stops_close(&stops);
            return status;
        }
    }
    *stops_out = stops;
    return HASTEN_OK;
}

void tx_stops_close(struct tx_stops **stops)
{
    if (!*stops)
        return;
    hs_arena_free(&(*stops)->arena);
    hs_free(*stops);
    *stops = NULL;
}

/* The automaton that holds back most, or NULL. */
static const struct stop *longest(const struct tx_stops *stops)
{
    const struct stop *best = NULL;
    for (int i = 0; i < stops->count; i++)
        if (stops->stops[i].state > (best ? best->state : 0))
            best = &stops->stops[i];
    return best;
}

size_t tx_stops_held(const struct tx_stops *stops)
{
    const struct stop *best = longest(stops);
    return best ? best->state : 0;
}

/* Steps all automata; the length of the longest text that is complete now, or 0. */
static size_t step_all(struct tx_stops *stops, char byte)
{
    size_t matched = 0;
    for (int i = 0; i < stops->count; i++) {
        struct stop *stop = &stops->stops[i];
        step(stop, byte);
        if (stop->state == stop->size_bytes && stop->size_bytes > matched)
            matched = stop->size_bytes;
    }
    return matched;
}

/* Appends the first `count` bytes of what was held and then of text. */
static void release(const struct stop *held, size_t held_bytes, struct hs_str text, size_t count,
                    struct hs_buffer *out)
{
    size_t old = count < held_bytes ? count : held_bytes;
    if (old > 0)
        hs_buffer_append(out, held->text, old);
    if (count > old)
        hs_buffer_append(out, text.data, count - old);
}

bool tx_stops_push(struct tx_stops *stops, struct hs_str text, struct hs_buffer *out)
{
    const struct stop *held = longest(stops); /* its text outlives its state */
    size_t held_bytes = held ? held->state : 0;
    for (size_t i = 0; i < text.size_bytes; i++) {
        size_t matched = step_all(stops, text.data[i]);
        if (matched == 0)
            continue;
        release(held, held_bytes, text, held_bytes + i + 1 - matched, out);
        return true;
    }
    release(held, held_bytes, text, held_bytes + text.size_bytes - tx_stops_held(stops), out);
    return false;
}

void tx_stops_flush(struct tx_stops *stops, struct hs_buffer *out)
{
    const struct stop *held = longest(stops);
    if (held)
        hs_buffer_append(out, held->text, held->state);
    for (int i = 0; i < stops->count; i++)
        stops->stops[i].state = 0;
}

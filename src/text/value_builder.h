/*
 * Value builder: JSON-like values for chat templates (tools, tool calls, further fields of
 * messages). Whoever has read JSON builds them from it; text knows no JSON library.
 *
 * Zero-initialise a pool; all values live in it until tx_pool_free. Errors are sticky: out of
 * memory sets `failed`, functions then give NULL, and NULL parts are left out; callers check once.
 * Depth and size are checked when a template is rendered, so any tree may be built. Texts are
 * copied. Of two entries with the same key the later one counts.
 */
#ifndef HASTEN_TEXT_VALUE_BUILDER_H
#define HASTEN_TEXT_VALUE_BUILDER_H

#include "base/bytes.h"
#include "base/memory.h"

struct tx_value;

struct tx_pool {
    struct hs_arena arena;
    bool failed;
};
void tx_pool_free(struct tx_pool *pool);

struct tx_value *tx_pool_none(struct tx_pool *pool);
struct tx_value *tx_pool_bool(struct tx_pool *pool, bool value);
struct tx_value *tx_pool_int(struct tx_pool *pool, int64_t value);
struct tx_value *tx_pool_float(struct tx_pool *pool, double value);
struct tx_value *tx_pool_text(struct tx_pool *pool, struct hs_str text);
struct tx_value *tx_pool_list(struct tx_pool *pool);
struct tx_value *tx_pool_dict(struct tx_pool *pool);
/* Appends to a list / puts into a dict of this pool. A value may be put into several places. */
void tx_pool_append(struct tx_pool *pool, struct tx_value *list, const struct tx_value *item);
void tx_pool_put(struct tx_pool *pool, struct tx_value *dict, struct hs_str key,
                 const struct tx_value *item);

#endif

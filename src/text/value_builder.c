/*
 * Value builder; see value_builder.h. Containers double their room in the arena. What is built here
 * carries neither depth nor weight: rendering copies it and makes both.
 */
#include "text/value_builder.h"

#include "text/template_value.h"

void tx_pool_free(struct tx_pool *pool)
{
    hs_arena_free(&pool->arena);
    pool->failed = false;
}

static void *take(struct tx_pool *pool, size_t count, size_t size)
{
    void *memory = pool->failed ? NULL : hs_arena_alloc(&pool->arena, count, size);
    pool->failed |= !memory;
    return memory;
}

static struct tx_value *make(struct tx_pool *pool, struct tx_value value)
{
    struct tx_value *made = take(pool, 1, sizeof *made);
    if (made)
        *made = value;
    return made;
}

struct tx_value *tx_pool_none(struct tx_pool *pool)
{
    return make(pool, tx_none());
}

struct tx_value *tx_pool_bool(struct tx_pool *pool, bool value)
{
    return make(pool, tx_bool(value));
}

struct tx_value *tx_pool_int(struct tx_pool *pool, int64_t value)
{
    return make(pool, tx_int(value));
}

struct tx_value *tx_pool_float(struct tx_pool *pool, double value)
{
    return make(pool, tx_float(value));
}

static struct tx_value text_value(struct tx_pool *pool, struct hs_str text)
{
    char *copy = take(pool, text.size_bytes + 1, 1);
    if (copy && text.size_bytes)
        memcpy(copy, text.data, text.size_bytes);
    return tx_text((struct hs_str){copy, copy ? text.size_bytes : 0});
}

struct tx_value *tx_pool_text(struct tx_pool *pool, struct hs_str text)
{
    return make(pool, text_value(pool, text));
}

struct tx_value *tx_pool_list(struct tx_pool *pool)
{
    struct tx_list *list = take(pool, 1, sizeof *list);
    return list ? make(pool, (struct tx_value){.kind = TX_LIST, .list = list}) : NULL;
}

struct tx_value *tx_pool_dict(struct tx_pool *pool)
{
    struct tx_dict *dict = take(pool, 1, sizeof *dict);
    return dict ? make(pool, (struct tx_value){.kind = TX_DICT, .dict = dict}) : NULL;
}

/* Room for one more of *items, of which there are `count`: doubled at each power of two. */
static bool reserve(struct tx_pool *pool, void **items, size_t count, size_t size)
{
    if (count & (count - 1))
        return true;
    void *more = take(pool, count ? 2 * count : 1, size);
    if (more && count)
        memcpy(more, *items, count * size);
    *items = more ? more : *items;
    return more != NULL;
}

void tx_pool_append(struct tx_pool *pool, struct tx_value *list, const struct tx_value *item)
{
    if (!list || !item || list->kind != TX_LIST)
        return;
    struct tx_list *own = (struct tx_list *)(uintptr_t)list->list; /* made above */
    void *items = own->items;
    if (!reserve(pool, &items, own->count, sizeof *own->items))
        return;
    own->items = items;
    own->items[own->count++] = *item;
}

void tx_pool_put(struct tx_pool *pool, struct tx_value *dict, struct hs_str key,
                 const struct tx_value *item)
{
    if (!dict || !item || dict->kind != TX_DICT)
        return;
    void *pairs = dict->dict->pairs;
    struct tx_value name = text_value(pool, key);
    if (pool->failed || !reserve(pool, &pairs, dict->dict->count, sizeof *dict->dict->pairs))
        return;
    dict->dict->pairs = pairs;
    dict->dict->pairs[dict->dict->count++] = (struct tx_pair){name, *item};
}

#include "cli/catalog_names.h"

#include <stdio.h>

enum hasten_status catalog_find(struct cli *cli, const struct ct_catalog *catalog, const char *name,
                                const struct ct_model **model_out)
{
    const struct ct_model *model = ct_find(catalog, name);
    if (model) {
        *model_out = model;
        return HASTEN_OK;
    }
    char hint[160] = "hasten list shows the names";
    int count = ct_count(catalog);
    const char **names = hs_arena_alloc(&cli->arena, (size_t)count + 1, sizeof *names);
    for (int i = 0; names && i < count; i++)
        names[i] = ct_at(catalog, i)->name;
    const char *nearest = names ? hs_nearest(name, names, count) : NULL;
    if (nearest)
        (void)snprintf(hint, sizeof hint, "did you mean %s?", nearest);
    return hs_fail(&cli->error, HASTEN_NOT_FOUND, hint, "the catalog has no model '%s'", name);
}

/*
 * Writes a model file with random weights, for the golden maker: the same bytes that tests write.
 *
 * usage: make_random_gguf NAME FILE     one recipe
 *        make_random_gguf               lists the names
 */
#include <stdio.h>

#include "random_gguf.h"

int main(int argc, char **argv)
{
    struct hs_error error = {0};
    if (argc != 3) {
        for (int i = 0; i < rg_count(); i++)
            printf("%s\n", rg_at(i)->name);
        return argc != 1;
    }
    const struct rg_recipe *recipe = rg_find(argv[1]);
    if (!recipe) {
        fprintf(stderr, "no recipe '%s'\n", argv[1]);
        return 1;
    }
    enum hasten_status status = rg_write(recipe, argv[2], &error);
    if (status != HASTEN_OK)
        fprintf(stderr, "%s: %s\n", hs_status_name(status), error.message);
    return status != HASTEN_OK;
}

/*
 * Writes a tiny model for tests of the program.
 *
 * usage: make_tiny_model FILE [gemma3] [f32] [nan] [parts N] [embedding N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny_model.h"

int main(int argc, char **argv)
{
    struct hs_error error = {0};
    struct tiny_recipe recipe = {.dtype = TN_Q4_1};
    for (int i = 2; i < argc; i++) {
        int value = i + 1 < argc ? (int)strtol(argv[i + 1], NULL, 10) : 0;
        if (strcmp(argv[i], "gemma3") == 0)
            recipe.is_gemma3 = true;
        else if (strcmp(argv[i], "f32") == 0)
            recipe.dtype = TN_F32;
        else if (strcmp(argv[i], "nan") == 0)
            recipe.nan_tensor = "blk.0.attn_norm.weight";
        else if (strcmp(argv[i], "parts") == 0)
            recipe.parts = value;
        else if (strcmp(argv[i], "embedding") == 0)
            recipe.embedding = value;
    }
    if (argc < 2 || tiny_write(&recipe, argv[1], &error) != HASTEN_OK) {
        fprintf(stderr, "usage: make_tiny_model FILE [...]: %s\n", error.message);
        return 1;
    }
    return 0;
}

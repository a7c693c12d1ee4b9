/*
 * Same bits, checked on one model file: the logits of a sequence after its prompt and after each of
 * a few further tokens, computed in every way the engine allows, compared bit by bit with the
 * plainest one (alone, whole prompt, one thread). Token ids are drawn, the file needs no tokenizer.
 */
#ifndef HASTEN_TESTS_BITS_TEST_H
#define HASTEN_TESTS_BITS_TEST_H

#include "engine/engine.h"

struct bt_case {
    const char *label;         /* for messages */
    const char *path;          /* model file */
    int prompt;                /* tokens of the watched sequence's prompt; 60 to 1,000 */
    struct en_options options; /* context and threads are set by the checks */
};

/* Chunks of 1, 7, 33, 64 and all but one token; two threads; shuffled pages; batches of 2, 3 and 8
 * sequences whose prompts and tokens mix in one step. A difference ends the program. */
void bt_check_ways(const struct bt_case *c);

/* Each optional pass off alone, then all of them, on two threads. */
void bt_check_passes(const struct bt_case *c);

/* All passes off on kernels of the AVX2 class: other kernels, other fusions, same bits. */
void bt_check_other_class(const struct bt_case *c);

#endif

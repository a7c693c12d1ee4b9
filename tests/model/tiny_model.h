/*
 * Tiny models that do all that a real one does: random weights (random_gguf.h), a vocabulary with
 * special tokens, a chat template. Small enough to open thousands of times.
 */
#ifndef HASTEN_TESTS_TINY_MODEL_H
#define HASTEN_TESTS_TINY_MODEL_H

#include "base/status.h"
#include "tensor/dtype.h"

enum { TINY_VOCAB = 320 };

struct tiny_recipe {
    bool is_gemma3;            /* gemma3 with SentencePiece, else llama with byte-level BPE */
    enum tn_dtype dtype;       /* of the matrices; 0 is TN_F32 */
    int parts;                 /* files of a split model; 0 and 1: one file */
    const char *nan_tensor;    /* F32 only: its first element is NaN; NULL: none */
    const char *chat_template; /* NULL: a ChatML one */
    int embedding;             /* 0: 64; a multiple of 64 */
};

/* Writes the model under path; the parts of a split one as path-00001-of-0000N.gguf and so on. */
HS_MUST_USE enum hasten_status tiny_write(const struct tiny_recipe *recipe, const char *path,
                                          struct hs_error *error);

#endif

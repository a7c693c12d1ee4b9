/*
 * Model files with random weights: small, of any weight type and odd shapes, the same bytes on
 * every machine (counter-based random numbers, plain arithmetic only). Tests write them on the fly;
 * the golden maker writes the very same files with make_random_gguf, so nothing large is committed.
 *
 * Sizes of weights are chosen so that logits have a standard deviation of `deviation` (1 to 4) and
 * attention is neither flat nor all on one position; otherwise errors would not show in logits.
 */
#ifndef HASTEN_TESTS_RANDOM_GGUF_H
#define HASTEN_TESTS_RANDOM_GGUF_H

#include "base/status.h"
#include "tensor/dtype.h"

/* First compared position of a window of a typed recipe. */
#define RG_KL_FIRST 8

enum rg_family { RG_LLAMA, RG_GEMMA3 };

struct rg_recipe {
    const char *name;
    enum rg_family family;
    uint64_t seed;
    int layers, embedding, heads, kv_heads, head_dim, feed_forward, vocab;
    enum tn_dtype dtype; /* of all matrices */
    bool untied;         /* a head of its own */
    double deviation;    /* of logits */
    double rope_factor;  /* linear scaling of positions; 0: key absent */
    /* mean KL of llama.cpp's own run of the file against its run of the F32 form, over every
     * position from RG_KL_FIRST on of the golden's windows */
    double peer_kl;
    /* gemma3 */
    int window;                /* 0: key absent */
    const uint8_t *local;      /* [layers] pattern as an array; NULL: key absent */
    double rope_base_swa;      /* 0: key absent */
    double logit_cap;          /* 0: key absent */
    const char *leave_out_key; /* unit tests: this key, or this tensor, is not written */
    const char *leave_out_tensor;
};

/* Recipes that goldens were made of. */
int rg_count(void);
const struct rg_recipe *rg_at(int index);
const struct rg_recipe *rg_find(const char *name); /* NULL: none */

HS_MUST_USE enum hasten_status rg_write(const struct rg_recipe *recipe, const char *path,
                                        struct hs_error *error);

#endif

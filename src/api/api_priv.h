/* What the public functions share: opaque types and the handling of growing structs. */
#ifndef HASTEN_API_API_PRIV_H
#define HASTEN_API_API_PRIV_H

#include <hasten/hasten.h>
#include <stdatomic.h>

#include "engine/engine.h"

struct hasten_model {
    struct en_model *engine;
    char *name;        /* general.name of the file, maybe empty */
    _Atomic int holds; /* the opener's and one a sequence */
};

/* Gives one hold back; the last one closes the model. */
void ap_model_release(struct hasten_model *model);

/*
 * Structs with a size (ABI note in docs/EMBEDDING.md). A struct of a program that was compiled
 * against other headers may be shorter or longer than ours.
 */
struct ap_sized {
    void *own; /* our struct: defaults on entry, what was given on return */
    size_t own_size;
    const char *what; /* for messages: "struct hasten_sampling" */
};
#define AP_SIZED(own, name) (&(struct ap_sized){&(own), sizeof(own), "struct " name})

/* Copies what a caller gave over our defaults. given NULL: nothing to copy. INVALID_ARGUMENT when
 * its size was never set, or it is longer than ours and something is set in what we do not know. */
HS_MUST_USE enum hasten_status ap_take(const void *given, const struct ap_sized *sized,
                                       struct hs_error *error);
/* Copies our struct (whose first member is size) into the caller's of `size` bytes; what is beyond
 * ours becomes 0. */
void ap_give(const void *own, size_t own_size, void *target, size_t size);

#endif

/* What an opened model holds; for the files of this room only. */
#ifndef HASTEN_ENGINE_MODEL_PRIV_H
#define HASTEN_ENGINE_MODEL_PRIV_H

#include <stdatomic.h>

#include "engine/engine.h"

struct en_model {
    struct gguf_file *file;
    struct md_facts facts;
    struct hs_arena arena; /* vocabulary arrays */
    struct tx_vocab vocab;
    struct tx_tokenizer *tokenizer;
    struct hs_error tokenizer_error;
    struct tx_template *chat_template;
    struct hs_error template_error;
    struct ir_graph *canonical, *lowered;
    struct pl_plan *plan;
    struct hs_team *team;
    struct rt_store *store;
    struct rt_cache *cache;
    struct rt_batch *batch;
    struct rt_run *run;
    enum hs_cpu_class cpu_class;
    int threads;
    int64_t context;
    char recipe[64];
    struct ob_counters counters;
    _Atomic bool cancel; /* outlives a step, unlike the run's own word */
};

#endif

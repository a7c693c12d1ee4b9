/* What an opened model holds; for the files of this room only. */
#ifndef HASTEN_ENGINE_MODEL_PRIV_H
#define HASTEN_ENGINE_MODEL_PRIV_H

#include "base/turn.h"
#include "engine/engine.h"
#include "runtime/shared_team.h"

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
    struct rt_team *team; /* shared with other models of as many threads */
    struct rt_store *store;
    struct rt_cache *cache;
    struct rt_batch *batch;
    struct rt_run *run;
    enum hs_cpu_class cpu_class;
    int threads;
    int32_t sequences_max; /* of a step */
    int64_t context;
    char recipe[64];
    struct ob_counters counters;
    /* One step and the reading of its logits at a time: batch, run, pages and tables belong to who
     * has the turn. Taken before the team's turn. */
    struct hs_turn turn;
    _Atomic uint32_t
        cancels; /* calls of en_cancel; they outlive a step, unlike the run's own word */
    _Atomic uint32_t cancels_seen; /* those that the newest generation knew when it began */
};

/* What ends a call: a flag of its own (NULL: none), or en_cancel after `cancels` was read. */
struct en_watch {
    const atomic_bool *flag;
    uint32_t cancels;
};
bool en_is_cancelled(const struct en_model *model, const struct en_watch *watch);

/* en_step and en_feed for who has the turn, and keeps it. A step that a cancel of somebody else's
 * interrupted is repeated: steps have no effect before they are committed. */
HS_MUST_USE enum hasten_status en_step_in_turn(struct en_model *model, const struct en_item *items,
                                               int count, const struct en_watch *watch,
                                               struct hs_error *error, const float **logits_out);
struct en_feed {
    struct rt_sequence *sequence;
    const int32_t *tokens; /* [count] */
    int64_t count;
    int32_t chunk; /* 0: the step bound */
};
HS_MUST_USE enum hasten_status en_feed_in_turn(struct en_model *model, const struct en_feed *feed,
                                               const struct en_watch *watch, struct hs_error *error,
                                               const float **logits_out);

/* Adds a request that has ended to the model's counters. */
void en_count_request(struct en_model *model, const struct en_generated *result,
                      enum hasten_status status);

/* CORRUPT_INPUT when values ("logits", ...), f32[count], hold a NaN. */
HS_MUST_USE enum hasten_status en_check_nan(const char *what, const float *values, int64_t count,
                                            struct hs_error *error);

#endif

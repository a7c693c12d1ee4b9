/*
 * Samples for many sequences of one step, dealt out to the team. Each sample depends on its own
 * logits and settings only, so who takes which changes nothing. For the files of this room only.
 */
#ifndef HASTEN_ENGINE_SAMPLE_TEAM_H
#define HASTEN_ENGINE_SAMPLE_TEAM_H

#include "engine/answer.h"

struct en_sample_task {
    struct en_answer *answer;
    const float *logits; /* f32[vocab] */
    /* Where the results go; token only with status OK, error only without. */
    int32_t *token;
    enum hasten_status *status;
    struct hs_error *error;
};

struct en_sample_team;

/* One work memory for each member of the model's team. Caller owns it: en_sample_team_close. */
HS_MUST_USE enum hasten_status en_sample_team_open(struct en_model *model, struct hs_error *error,
                                                   struct en_sample_team **team_out);
void en_sample_team_close(struct en_sample_team **team);
/* Samples tasks[0..count). Takes the team only if nobody has it: another model's step
 * is longer than sampling alone. One thread at a time. */
void en_sample_all(struct en_sample_team *team, const struct en_sample_task *tasks, int32_t count);

#endif

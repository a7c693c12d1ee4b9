/* Samples over the team; see sample_team.h. */
#include "engine/sample_team.h"

#include "base/memory.h"

struct en_sample_team {
    struct rt_team *team;
    int32_t members;
    struct tx_sampler **samplers; /* [members] */
    /* of the current call */
    const struct en_sample_task *tasks;
    int32_t count;
    _Atomic int32_t next;
};

enum hasten_status en_sample_team_open(struct en_model *model, struct hs_error *error,
                                       struct en_sample_team **team_out)
{
    struct en_sample_team *team = hs_calloc(1, sizeof *team);
    if (!team)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for samplers");
    team->team = model->team;
    team->members = hs_team_threads(rt_team_members(model->team));
    team->samplers = hs_calloc((size_t)team->members, sizeof(struct tx_sampler *));
    enum hasten_status status = HASTEN_OK;
    if (!team->samplers)
        status = hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for samplers");
    for (int32_t m = 0; m < team->members && status == HASTEN_OK; m++)
        status = tx_sampler_open((int32_t)model->facts.vocab, error, &team->samplers[m]);
    if (status != HASTEN_OK)
        en_sample_team_close(&team);
    *team_out = team;
    return status;
}

void en_sample_team_close(struct en_sample_team **team)
{
    if (!*team)
        return;
    for (int32_t m = 0; (*team)->samplers && m < (*team)->members; m++)
        tx_sampler_close(&(*team)->samplers[m]);
    hs_free((*team)->samplers);
    hs_free(*team);
    *team = NULL;
}

static void sample_some(void *context, int member, int threads)
{
    struct en_sample_team *team = context;
    int32_t i;
    (void)threads;
    while ((i = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed)) < team->count) {
        const struct en_sample_task *task = &team->tasks[i];
        *task->status = en_answer_sample(task->answer, team->samplers[member], task->logits,
                                         task->error, task->token);
    }
}

void en_sample_all(struct en_sample_team *team, const struct en_sample_task *tasks, int32_t count)
{
    team->tasks = tasks;
    team->count = count;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    if (count > 1 && rt_team_try_enter(team->team)) {
        hs_team_run(rt_team_members(team->team), sample_some, team);
        rt_team_leave(team->team);
    } else {
        sample_some(team, 0, 1);
    }
}

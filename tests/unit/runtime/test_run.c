/*
 * Executor, with plans of fake kernels: every unit runs exactly once per step whatever the number
 * of members, instructions are complete before the next starts, the first error wins and all
 * members meet, cancelling stops a step.
 */
#include <stdatomic.h>

#include "base/memory.h"
#include "base/rng.h"
#include "harness/test.h"
#include "runtime/run.h"

enum { INSTRUCTIONS = 64, UNITS_MAX = 512 };

struct fake_attrs {
    int index, units;
    int fail_unit; /* -1: none */
};

static _Atomic int executed[INSTRUCTIONS][UNITS_MAX];
static _Atomic int out_of_order;
static struct rt_run *run_to_cancel;
static atomic_bool *flag_to_set;
static int plan_units[INSTRUCTIONS];

static int64_t fake_units(const struct kn_call *call)
{
    return ((const struct fake_attrs *)call->attrs)->units;
}

static enum hasten_status fake_run(const struct kn_call *call, int64_t first, int64_t last,
                                   void *scratch)
{
    const struct fake_attrs *attrs = call->attrs;
    *(volatile char *)scratch = 1;
    /* The previous instruction must be complete. */
    for (int u = 0; attrs->index > 0 && u < plan_units[attrs->index - 1]; u++)
        if (atomic_load(&executed[attrs->index - 1][u]) == 0)
            atomic_fetch_add(&out_of_order, 1);
    for (int64_t u = first; u < last; u++) {
        atomic_fetch_add(&executed[attrs->index][u], 1);
        if (u == attrs->fail_unit)
            return HASTEN_LIMIT;
    }
    if (run_to_cancel && attrs->index == INSTRUCTIONS / 2)
        rt_run_cancel(run_to_cancel);
    if (flag_to_set && attrs->index == INSTRUCTIONS / 2)
        atomic_store(flag_to_set, true);
    return HASTEN_OK;
}

static size_t fake_scratch(const void *attrs)
{
    (void)attrs;
    return 64;
}

static const struct kn_kernel fake_kernel = {.name = "fake",
                                             .op = OP_ADD,
                                             .units = fake_units,
                                             .run = fake_run,
                                             .scratch_bytes = fake_scratch};

struct fixture {
    struct fake_attrs attrs[INSTRUCTIONS];
    struct pl_instruction instructions[INSTRUCTIONS];
    struct pl_plan plan;
    struct rt_store *store;
    struct rt_cache *cache;
    struct rt_sequence *sequence;
    struct rt_batch *batch;
    struct hs_team *team;
    struct rt_run *run;
};

static void open_fixture(struct fixture *f, int threads, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    for (int i = 0; i < INSTRUCTIONS; i++) {
        static const int sizes[] = {0, 1, 1, 2, 3, 7, 30, 96, 511};
        plan_units[i] = sizes[hs_rng_u64(seed, 1, (uint64_t)i) % 9];
        if (i == INSTRUCTIONS / 2)
            plan_units[i] = 96;
        f->attrs[i] = (struct fake_attrs){i, plan_units[i], -1};
        f->instructions[i].kernel = &fake_kernel;
        f->instructions[i].attrs = &f->attrs[i];
        f->instructions[i].rows = (struct ir_dim_expr){IR_SYM_TOKENS, 1, 0};
    }
    f->plan.instructions = f->instructions;
    f->plan.instruction_count = INSTRUCTIONS;
    f->plan.limits = (struct pl_limits){8, 8, 64};
    f->plan.scratch_bytes = 64;
    f->plan.arena_bytes = 4096;
    f->plan.logits = (struct pl_operand){PL_ARENA, 0};
    f->plan.group_count = 1;
    f->plan.groups[0].layers = 1;
    CHECK_INT(tn_kv_layout_init(TN_F32, 1, 16, NULL, &f->plan.groups[0].layout), HASTEN_OK);
    struct rt_source source = {0};
    struct rt_cache_options cache = {.positions = 64};
    struct rt_batch_limits limits = {8, 2, 8, 1, 4};
    CHECK_INT(rt_store_open(&source, NULL, &f->store), HASTEN_OK);
    CHECK_INT(rt_cache_open(&f->plan, &cache, NULL, &f->cache), HASTEN_OK);
    CHECK_INT(rt_sequence_open(f->cache, 64, NULL, &f->sequence), HASTEN_OK);
    CHECK_INT(rt_batch_open(&limits, NULL, &f->batch), HASTEN_OK);
    CHECK_INT(hs_team_open(threads, NULL, &f->team), HASTEN_OK);
    CHECK_INT(rt_run_open(&f->plan, f->store, f->cache, threads, NULL, &f->run), HASTEN_OK);
    int32_t token = 3;
    CHECK_INT(rt_sequence_reserve(f->sequence, 1, NULL), HASTEN_OK);
    rt_batch_begin(f->batch);
    CHECK_INT(rt_batch_add(f->batch, f->sequence, &token, 1, RT_WANT_LAST, NULL), HASTEN_OK);
}

static void close_fixture(struct fixture *f)
{
    rt_run_close(&f->run);
    hs_team_close(&f->team);
    rt_batch_close(&f->batch);
    rt_sequence_close(&f->sequence);
    rt_cache_close(&f->cache);
    rt_store_close(&f->store);
}

static void clear_counts(void)
{
    for (int i = 0; i < INSTRUCTIONS; i++)
        for (int u = 0; u < UNITS_MAX; u++)
            atomic_store(&executed[i][u], 0);
}

static void run_steps(int threads, int steps)
{
    struct fixture f;
    const float *logits;
    open_fixture(&f, threads, test_seed(11) + (uint64_t)threads);
    atomic_store(&out_of_order, 0);
    for (int step = 0; step < steps; step++) {
        clear_counts();
        CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_OK);
        for (int i = 0; i < INSTRUCTIONS; i++)
            for (int u = 0; u < UNITS_MAX; u++)
                CHECK_INT(atomic_load(&executed[i][u]), u < plan_units[i]);
    }
    CHECK_INT(atomic_load(&out_of_order), 0);
    close_fixture(&f);
}

TEST(every_unit_runs_once_with_1_thread)
{
    run_steps(1, 20);
}

TEST(every_unit_runs_once_with_2_threads)
{
    run_steps(2, 300);
}

TEST(every_unit_runs_once_with_5_threads)
{
    run_steps(5, 40);
}

TEST(first_error_wins_and_the_run_can_go_on)
{
    for (int threads = 1; threads <= 3; threads++) {
        struct fixture f;
        struct hs_error error = {0};
        const float *logits = NULL;
        open_fixture(&f, threads, 5);
        f.attrs[INSTRUCTIONS / 2].fail_unit = 50;
        CHECK_INT(rt_run_step(f.run, f.batch, f.team, &error, &logits), HASTEN_LIMIT);
        CHECK(strstr(error.message, "instruction 32 (fake)") != NULL);
        CHECK(logits == NULL);
        f.attrs[INSTRUCTIONS / 2].fail_unit = -1;
        CHECK_INT(rt_run_step(f.run, f.batch, f.team, &error, &logits), HASTEN_OK);
        close_fixture(&f);
    }
}

TEST(cancel_stops_a_step)
{
    struct fixture f;
    const float *logits;
    open_fixture(&f, 2, 5);
    clear_counts();
    run_to_cancel = f.run;
    CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_CANCELLED);
    run_to_cancel = NULL;
    CHECK_INT(atomic_load(&executed[INSTRUCTIONS - 1][0]), 0);
    CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_OK);
    close_fixture(&f);
}

TEST(a_watched_flag_stops_a_step_and_stays_set)
{
    struct fixture f;
    const float *logits;
    atomic_bool flag = false;
    open_fixture(&f, 2, 5);
    clear_counts();
    flag_to_set = &flag;
    rt_run_watch(f.run, &flag);
    CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_CANCELLED);
    CHECK_INT(atomic_load(&executed[INSTRUCTIONS - 1][0]), 0);
    flag_to_set = NULL;
    CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_CANCELLED);
    rt_run_watch(f.run, NULL);
    CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_OK);
    close_fixture(&f);
}

TEST(the_head_is_left_out_when_nobody_wants_logits)
{
    enum { HIDDEN = 40 };
    struct fixture f;
    const float *logits;
    int32_t token = 3;
    open_fixture(&f, 2, 9);
    CHECK(rt_run_hidden(f.run) == NULL); /* the plan gives none yet */
    f.plan.hidden_count = HIDDEN;
    f.plan.hidden = (struct pl_operand){PL_ARENA, 128};
    for (int step = 0; step < 6; step++) {
        const enum rt_wanted wanted[] = {RT_WANT_HIDDEN, RT_WANT_LAST, RT_WANT_NONE};
        rt_batch_begin(f.batch);
        CHECK_INT(rt_batch_add(f.batch, f.sequence, &token, 1, wanted[step % 3], NULL), HASTEN_OK);
        CHECK_INT(rt_batch_view(f.batch)->wanted_rows, step % 3 < 2);
        clear_counts();
        CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_OK);
        CHECK_INT((const char *)rt_run_hidden(f.run) - (const char *)logits, 128);
        for (int i = 0; i < INSTRUCTIONS; i++)
            CHECK_INT(atomic_load(&executed[i][0]),
                      plan_units[i] > 0 && (i < HIDDEN || step % 3 == 1));
    }
    close_fixture(&f);
}

TEST(a_step_allocates_nothing)
{
    struct fixture f;
    const float *logits;
    open_fixture(&f, 2, 9);
    CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_OK);
    uint64_t before = hs_alloc_count();
    for (int i = 0; i < 50; i++)
        CHECK_INT(rt_run_step(f.run, f.batch, f.team, NULL, &logits), HASTEN_OK);
    CHECK_INT(hs_alloc_count() - before, 0);
    close_fixture(&f);
}

TEST_MAIN()

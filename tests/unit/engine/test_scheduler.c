/*
 * The scheduler against a machine that only exists in this file: steps take base + slope * rows of
 * virtual time, pages are a counter. Nothing here waits or depends on how fast the test runs.
 */
#include "base/memory.h"
#include "base/rng.h"
#include "engine/scheduler.h"
#include "harness/test.h"

enum { PAGE = 32, JOBS = 300 };

struct request {
    struct en_job job; /* first: the scheduler hands it back */
    int64_t prompt, answer;
    int64_t held; /* positions whose pages it holds */
    int64_t kept; /* positions of a kept prefix that it would find */
    int64_t pages;
    uint64_t arrival_ns, first_ns, end_ns;
    uint64_t last_ns, worst_gap_ns; /* between tokens */
    int64_t given;                  /* tokens */
};

struct machine {
    struct en_scheduler *scheduler;
    struct en_scheduler_limits limits;
    struct request requests[JOBS];
    int32_t count, arrived, done;
    int64_t pages_free;
    double base_ns, slope_ns, reach_ns;
    uint64_t now_ns, steps;
    uint64_t longest_stream_step_ns;
};

static struct machine m;

static int64_t fake_start(void *context, struct en_job *job)
{
    struct request *r = (struct request *)(void *)job;
    (void)context;
    CHECK(r->pages == 0);
    r->held = r->kept;
    return r->kept;
}

static bool fake_reserve(void *context, struct en_job *job, int64_t count)
{
    struct machine *machine = context;
    struct request *r = (struct request *)(void *)job;
    int64_t pages = (job->computed + count - r->kept + PAGE - 1) / PAGE;
    if (pages - r->pages > machine->pages_free)
        return false;
    if (pages > r->pages) {
        machine->pages_free -= pages - r->pages;
        r->pages = pages;
    }
    return true;
}

static void fake_stop(void *context, struct en_job *job)
{
    struct machine *machine = context;
    struct request *r = (struct request *)(void *)job;
    machine->pages_free += r->pages;
    r->pages = 0;
}

static int64_t fake_room(void *context)
{
    const struct machine *machine = context;
    return machine->pages_free * PAGE;
}

static void open_machine(int64_t pages)
{
    memset(&m, 0, sizeof m);
    m.pages_free = pages;
    m.base_ns = 5e6;
    m.slope_ns = 1e5;
    m.limits = (struct en_scheduler_limits){.step_tokens = 256,
                                            .running = 16,
                                            .waiting = JOBS,
                                            .waiting_tokens = 1 << 20,
                                            .target_ns = 15e6};
}

static struct request *request(uint64_t arrival_ns, int64_t prompt, int64_t answer)
{
    struct request *r = &m.requests[m.count++];
    *r = (struct request){.arrival_ns = arrival_ns, .prompt = prompt, .answer = answer};
    return r;
}

static void arrive(void)
{
    while (m.arrived < m.count && m.requests[m.arrived].arrival_ns <= m.now_ns) {
        struct request *r = &m.requests[m.arrived++];
        r->job = (struct en_job){.known = r->prompt};
        CHECK_INT(en_scheduler_add(m.scheduler, &r->job, NULL), HASTEN_OK);
    }
}

/* A token of a wanted share. */
static void sample(struct request *r)
{
    if (r->given == 0)
        r->first_ns = m.now_ns;
    else if (m.now_ns - r->last_ns > r->worst_gap_ns)
        r->worst_gap_ns = m.now_ns - r->last_ns;
    r->last_ns = m.now_ns;
    r->given++;
    r->job.is_stream = true;
    r->job.known++;
    if (r->given == r->answer) {
        r->end_ns = m.now_ns;
        en_scheduler_finish(m.scheduler, &r->job);
        m.done++;
    }
}

static void check_shares(const struct en_share *shares, int32_t count)
{
    int32_t rows = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct request *r = (const struct request *)(const void *)shares[i].job;
        CHECK(shares[i].count >= 1);
        CHECK(r->job.computed + shares[i].count <= r->job.known);
        CHECK(r->job.computed + shares[i].count <= r->kept + r->pages * PAGE);
        CHECK(shares[i].is_wanted == (r->job.computed + shares[i].count == r->job.known));
        for (int32_t k = 0; k < i; k++)
            CHECK(shares[k].job != shares[i].job);
        rows += shares[i].count;
    }
    CHECK(rows <= m.limits.step_tokens && count <= m.limits.running);
}

static void step(void)
{
    struct en_share shares[64];
    int32_t count = en_scheduler_plan(m.scheduler, shares), rows = 0, streams = 0;
    double reach = 0;
    check_shares(shares, count);
    CHECK(count > 0);
    for (int32_t i = 0; i < count; i++) {
        rows += shares[i].count;
        reach += shares[i].count * ((double)shares[i].job->computed + 0.5 * (shares[i].count + 1));
        streams += shares[i].job->is_stream && shares[i].count == 1;
    }
    uint64_t ns = (uint64_t)(m.base_ns + m.slope_ns * rows + m.reach_ns * reach);
    if (streams > 0 && ns > m.longest_stream_step_ns)
        m.longest_stream_step_ns = ns;
    m.now_ns += ns;
    m.steps++;
    en_scheduler_done(m.scheduler, shares, count, ns);
    for (int32_t i = 0; i < count; i++)
        if (shares[i].is_wanted)
            sample((struct request *)(void *)shares[i].job);
}

/* Everything that was asked for, to the end; requests are in order of arrival. */
static void run_all(void)
{
    struct en_memory memory = {fake_start, fake_reserve, fake_stop, fake_room, &m};
    int64_t pages = m.pages_free;
    CHECK_INT(en_scheduler_open(&m.limits, &memory, NULL, &m.scheduler), HASTEN_OK);
    for (int32_t i = 0; i < 40; i++) { /* warmed up, as a server is */
        int32_t rows = 1 + 10 * (i % 20), reach = rows * (rows + 1 + 40 * (i % 7)) / 2;
        en_step_cost_add(en_scheduler_cost(m.scheduler), rows, reach,
                         (uint64_t)(m.base_ns + m.slope_ns * rows + m.reach_ns * reach));
    }
    while (m.done < m.count) {
        arrive();
        if (en_scheduler_running(m.scheduler) + en_scheduler_waiting(m.scheduler) > 0)
            step();
        else
            m.now_ns = m.requests[m.arrived].arrival_ns;
        CHECK(m.steps < 2000000);
    }
    CHECK_INT(m.pages_free, pages);
    CHECK_INT(en_scheduler_waiting_tokens(m.scheduler), 0);
}

static void close_machine(void)
{
    en_scheduler_close(&m.scheduler);
}

TEST(cost_is_learned)
{
    struct en_step_cost cost = {0};
    CHECK(en_step_cost_line(&cost).base_ns == 0 && en_step_cost_line(&cost).row_ns == 0);
    for (int i = 0; i < 50; i++) /* steps of one size: all of it is base */
        en_step_cost_add(&cost, 1, 100, 5000);
    CHECK_NEAR(en_step_cost_line(&cost).base_ns, 5000, 1);
    for (int i = 0; i < 1500; i++) {
        int rows = 1 + i % 100, reach = rows * (i * 37 % 900);
        en_step_cost_add(&cost, rows, reach, (uint64_t)(4000 + 10 * rows + reach / 2));
    }
    struct en_cost_line line = en_step_cost_line(&cost);
    CHECK_NEAR(line.base_ns, 4000, 20);
    CHECK_NEAR(line.row_ns, 10, 1);
    CHECK_NEAR(line.reach_ns, 0.5, 0.01);
    for (int i = 0; i < 1500; i++) { /* the machine became twice as slow, attention free */
        int rows = 1 + i % 100, reach = rows * (i * 37 % 900);
        en_step_cost_add(&cost, rows, reach, (uint64_t)(8000 + 20 * rows));
    }
    line = en_step_cost_line(&cost);
    CHECK_NEAR(line.base_ns, 8000, 20);
    CHECK_NEAR(line.row_ns, 20, 1);
    CHECK_NEAR(line.reach_ns, 0, 0.01);
}

/* Noise must not make a factor negative: a step would seem to get cheaper by taking more. */
TEST(factors_are_never_negative)
{
    for (uint64_t round = 0; round < 200; round++) {
        struct en_step_cost cost = {0};
        for (uint64_t i = 0; i < 40; i++) {
            uint64_t r = hs_rng_u64(test_seed(9), round, i);
            int rows = 1 + (int)(r % 4);
            en_step_cost_add(&cost, rows, (double)(r >> 8 & 1023), 1000 + (r >> 20) % 1000);
        }
        struct en_cost_line line = en_step_cost_line(&cost);
        CHECK(line.base_ns >= 0 && line.row_ns >= 0 && line.reach_ns >= 0);
        CHECK(line.base_ns + line.row_ns + line.reach_ns > 0);
    }
}

/* 4 streams, which alone take 5.4 ms a step, and a prompt of 2,000 tokens among them. */
static struct request *run_a_long_prompt_among_streams(void)
{
    for (int i = 0; i < 4; i++)
        request(0, 20, 400);
    struct request *longest = request(200000000, 2000, 10);
    run_all();
    return longest;
}

TEST(streams_keep_moving_while_a_long_prompt_is_computed)
{
    open_machine(1000);
    const struct request *longest = run_a_long_prompt_among_streams();
    CHECK(m.longest_stream_step_ns <= 16000000); /* the target is 15 ms */
    for (int i = 0; i < 4; i++)
        CHECK(m.requests[i].worst_gap_ns <= 16000000);
    /* and the prompt is not starved: about 95 tokens a step */
    CHECK(longest->first_ns - longest->arrival_ns < 30u * 16000000u);
    close_machine();
}

static void check_stretch(double reach_ns, uint64_t most_ns)
{
    open_machine(1000);
    m.reach_ns = reach_ns;
    m.limits.target_ns = 0;
    m.limits.stretch = 2.5;
    (void)run_a_long_prompt_among_streams();
    CHECK(m.longest_stream_step_ns <= most_ns && m.longest_stream_step_ns > 12000000);
    close_machine();
}

TEST(streams_are_stretched_by_a_factor_at_most)
{
    check_stretch(0, 13600000); /* 2.5 times 5.4 ms */
}

/* The end of a long prompt costs more a token than its beginning. */
TEST(depth_counts)
{
    check_stretch(150, 15500000); /* at 1,500 positions a row costs 3 times what it costs at 0 */
}

TEST(without_streams_a_prompt_takes_the_whole_step)
{
    open_machine(1000);
    request(0, 2000, 1);
    run_all();
    CHECK_INT(m.steps, 8); /* 256 tokens each */
    close_machine();
}

/* A target that not even one row meets: 8 tokens of prompt per step all the same. */
TEST(a_prompt_gets_a_few_tokens_per_step_at_least)
{
    open_machine(1000);
    m.limits.target_ns = 1e6;
    request(0, 10, 1000);
    struct request *second = request(50000000, 80, 1);
    run_all();
    CHECK(second->end_ns - second->arrival_ns < 12u * 6000000u);
    close_machine();
}

TEST(requests_start_in_the_order_they_came)
{
    open_machine(200);
    for (int i = 0; i < 100; i++)
        request((uint64_t)i * 1000, 20 + (i * 37) % 400, 5 + i % 40);
    run_all();
    for (int i = 1; i < 100; i++)
        CHECK(m.requests[i].first_ns >= m.requests[i - 1].first_ns ||
              m.requests[i - 1].prompt > m.requests[i].prompt ||
              en_scheduler_preemptions(m.scheduler) > 0);
    close_machine();
}

/* A long request among a flood of short ones is served, and no later than its place in the queue.
 */
TEST(nobody_starves)
{
    open_machine(64);
    m.limits.running = 4;
    for (int i = 0; i < 100; i++)
        request((uint64_t)i * 1000000, 30, 20);
    struct request *longest = request(100000001, 1200, 20);
    for (int i = 0; i < 150; i++)
        request(100000002 + (uint64_t)i * 1000000, 30, 20);
    run_all();
    int later = 0;
    for (int i = 101; i < 251; i++)
        later += m.requests[i].first_ns < longest->first_ns;
    CHECK(later <= 2); /* what fits beside it while it is computed */
    close_machine();
}

TEST(equal_streams_get_equal_shares)
{
    open_machine(1000);
    for (int i = 0; i < 16; i++)
        request(0, 10, 200);
    run_all();
    for (int i = 1; i < 16; i++)
        CHECK_INT(m.requests[i].end_ns, m.requests[0].end_ns);
    close_machine();
}

/* Too little memory for all: somebody is sent back, all are answered, the oldest is never hurt. */
TEST(preempted_requests_come_back)
{
    open_machine(24); /* 768 positions for 8 requests that end with 300 each */
    for (int i = 0; i < 8; i++)
        request((uint64_t)i, 100, 200);
    run_all();
    CHECK(en_scheduler_preemptions(m.scheduler) > 0);
    CHECK_INT(m.requests[0].job.preemptions, 0);
    for (int i = 0; i < 8; i++)
        CHECK_INT(m.requests[i].given, 200);
    close_machine();
}

TEST(random_loads_end)
{
    for (uint64_t round = 0; round < 30; round++) {
        uint64_t seed = test_seed(5) + round, at = 0;
        open_machine(20 + (int64_t)(hs_rng_u64(seed, 1, 0) % 60));
        m.limits.running = 1 + (int32_t)(hs_rng_u64(seed, 1, 1) % 16);
        m.limits.step_tokens = 16 + (int32_t)(hs_rng_u64(seed, 1, 2) % 200);
        for (uint64_t i = 0; i < 100; i++) {
            uint64_t r = hs_rng_u64(seed, 2, i);
            at += r % 20000000;
            struct request *q =
                request(at, 1 + (int64_t)(r >> 24) % 300, 1 + (int64_t)(r >> 40) % 150);
            q->kept = (r >> 60) == 0 ? (q->prompt - 1) / PAGE * PAGE : 0;
        }
        run_all();
        close_machine();
    }
}

TEST(a_kept_prefix_saves_its_tokens)
{
    open_machine(1000);
    m.limits.step_tokens = 100;
    request(0, 1000, 1);
    struct request *second = request(1, 1000, 1);
    second->kept = 960;
    run_all();
    CHECK_INT(m.steps, 11); /* 1,040 tokens */
    close_machine();
}

TEST(the_queue_is_bounded)
{
    struct en_memory memory = {fake_start, fake_reserve, fake_stop, fake_room, &m};
    static struct en_job jobs[4];
    open_machine(10);
    m.limits.waiting = 3;
    m.limits.waiting_tokens = 100;
    CHECK_INT(en_scheduler_open(&m.limits, &memory, NULL, &m.scheduler), HASTEN_OK);
    jobs[0].known = 60;
    jobs[1].known = 41;
    CHECK_INT(en_scheduler_add(m.scheduler, &jobs[0], NULL), HASTEN_OK);
    CHECK_INT(en_scheduler_add(m.scheduler, &jobs[1], NULL), HASTEN_AGAIN);
    for (int i = 1; i < 4; i++) {
        jobs[i].known = 1;
        CHECK_INT(en_scheduler_add(m.scheduler, &jobs[i], NULL), i < 3 ? HASTEN_OK : HASTEN_AGAIN);
    }
    CHECK_INT(en_scheduler_waiting_tokens(m.scheduler), 62);
    for (int i = 0; i < 3; i++)
        en_scheduler_finish(m.scheduler, &jobs[i]);
    CHECK_INT(en_scheduler_waiting(m.scheduler), 0);
    close_machine();
}

TEST_MAIN()

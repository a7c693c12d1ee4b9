/* Sampler: greedy, filters, distributions, determinism, ties, NaN. */
#include "text/sampler.h"

#include "harness/test.h"
#include "text/softmax_loops.h"

static struct tx_sampler *open_sampler(int32_t vocab_size)
{
    struct tx_sampler *sampler = NULL;
    struct hs_error error;
    if (tx_sampler_open(vocab_size, &error, &sampler) != HASTEN_OK)
        TEST_FAIL("open: %s", error.message);
    return sampler;
}

static int32_t sample(struct tx_sampler *sampler, const float *logits,
                      const struct tx_sampling *sampling, uint64_t index)
{
    int32_t token = -1;
    struct hs_error error;
    struct tx_sample_input input = {.logits = logits, .output_index = index};
    if (tx_sample(sampler, sampling, &input, &error, &token) != HASTEN_OK)
        TEST_FAIL("sample: %s", error.message);
    return token;
}

TEST(greedy_takes_the_first_maximum)
{
    struct tx_sampling greedy = tx_sampling_default();
    CHECK(greedy.temperature == 0 && greedy.top_k == 0 && greedy.top_p == 1 && greedy.min_p == 0);
    for (int size = 1; size < 70; size++) {
        float logits[70];
        struct tx_sampler *sampler = open_sampler(size);
        for (int best = 0; best < size; best++) {
            for (int i = 0; i < size; i++)
                logits[i] = (float)-i;
            logits[best] = 5;
            logits[size - 1] = 5; /* a tie: the lower id wins */
            CHECK_INT(sample(sampler, logits, &greedy, 0), best);
        }
        tx_sampler_close(&sampler);
        CHECK(sampler == NULL);
    }
}

TEST(nan_counts_as_minus_infinity)
{
    float logits[40];
    struct tx_sampler *sampler = open_sampler(40);
    struct tx_sampling sampling = tx_sampling_default();
    for (int i = 0; i < 40; i++)
        logits[i] = NAN;
    logits[33] = -5;
    logits[34] = -INFINITY;
    CHECK_INT(sample(sampler, logits, &sampling, 0), 33);
    sampling.temperature = 1;
    for (uint64_t i = 0; i < 50; i++)
        CHECK_INT(sample(sampler, logits, &sampling, i), 33);
    sampling.top_p = 0.9;
    CHECK_INT(sample(sampler, logits, &sampling, 0), 33);
    sampling.top_k = 3;
    CHECK_INT(sample(sampler, logits, &sampling, 0), 33);
    logits[33] = NAN;
    int32_t token = 77;
    struct hs_error error;
    struct tx_sample_input input = {.logits = logits};
    CHECK_INT(tx_sample(sampler, &sampling, &input, &error, &token), HASTEN_INTERNAL);
    CHECK_TEXT(error.message, "logits are all NaN");
    CHECK_INT(token, 77);
    tx_sampler_close(&sampler);
}

TEST(infinite_logits)
{
    float logits[4] = {1, INFINITY, 2, INFINITY};
    struct tx_sampler *sampler = open_sampler(4);
    struct tx_sampling sampling = tx_sampling_default();
    CHECK_INT(sample(sampler, logits, &sampling, 0), 1);
    sampling.temperature = 0.7;
    int seen[4] = {0};
    for (uint64_t i = 0; i < 100; i++)
        seen[sample(sampler, logits, &sampling, i)]++;
    CHECK(seen[1] > 20 && seen[3] > 20 && seen[1] + seen[3] == 100);
    tx_sampler_close(&sampler);
}

/* Frequencies of 6 tokens over many draws against expected probabilities. */
static void check_frequencies(const float logits[6], const struct tx_sampling *sampling,
                              const double expected[6])
{
    enum { DRAWS = 40000 };
    int seen[6] = {0};
    struct tx_sampler *sampler = open_sampler(6);
    for (uint64_t i = 0; i < DRAWS; i++)
        seen[sample(sampler, logits, sampling, i)]++;
    tx_sampler_close(&sampler);
    for (int i = 0; i < 6; i++) {
        if (expected[i] == 0)
            CHECK_INT(seen[i], 0);
        CHECK_NEAR((double)seen[i] / DRAWS, expected[i], 0.012); /* almost 5 standard deviations */
    }
}

TEST(distributions)
{
    /* probabilities 0.05 0.4 0.05 0.2 0.2 0.1 */
    static const double p[6] = {0.05, 0.4, 0.05, 0.2, 0.2, 0.1};
    float logits[6];
    for (int i = 0; i < 6; i++)
        logits[i] = (float)log(p[i]) + 3;
    struct tx_sampling sampling = tx_sampling_default();
    sampling.temperature = 1;
    sampling.seed = 42;
    check_frequencies(logits, &sampling, p);
    struct tx_sampling top_k = sampling;
    top_k.top_k = 2; /* tokens 1 and 3: of the tie 3, 4 the lower id */
    check_frequencies(logits, &top_k, (double[6]){0, 2.0 / 3, 0, 1.0 / 3, 0, 0});
    struct tx_sampling top_p = sampling;
    top_p.top_p = 0.7; /* 0.4 + 0.2 < 0.7 <= 0.8 */
    check_frequencies(logits, &top_p, (double[6]){0, 0.5, 0, 0.25, 0.25, 0});
    struct tx_sampling min_p = sampling;
    min_p.min_p = 0.3; /* at least 0.12 */
    check_frequencies(logits, &min_p, (double[6]){0, 0.5, 0, 0.25, 0.25, 0});
    struct tx_sampling hot = top_p;
    hot.temperature = 1e6; /* filters look at temperature 1, then all are alike */
    check_frequencies(logits, &hot, (double[6]){0, 1.0 / 3, 0, 1.0 / 3, 1.0 / 3, 0});
    struct tx_sampling cold = sampling;
    cold.temperature = 1e-4;
    check_frequencies(logits, &cold, (double[6]){0, 1, 0, 0, 0, 0});
    struct tx_sampling least = sampling;
    least.top_p = 0;
    check_frequencies(logits, &least, (double[6]){0, 1, 0, 0, 0, 0});
}

TEST(a_large_vocabulary)
{
    enum { SIZE = 50000 };
    float *logits = malloc(SIZE * sizeof *logits);
    CHECK(logits != NULL);
    for (int i = 0; i < SIZE; i++)
        logits[i] = (float)((i * 7919) % SIZE) / SIZE; /* nearly flat, all different */
    struct tx_sampler *sampler = open_sampler(SIZE);
    struct tx_sampling sampling = tx_sampling_default();
    sampling.temperature = 1;
    sampling.top_p = 0.5;
    /* top-p 0.5 keeps the highest logits: those above a bound that the test computes itself */
    double total = 0, above = 0;
    for (int i = 0; i < SIZE; i++)
        total += exp((double)i / SIZE);
    int bound = SIZE;
    while (above < 0.5 * total)
        above += exp((double)--bound / SIZE);
    for (uint64_t i = 0; i < 20; i++) {
        int32_t token = sample(sampler, logits, &sampling, i);
        CHECK((token * 7919L) % SIZE >= bound - 1);
    }
    sampling.top_p = 1;
    sampling.top_k = 1000;
    for (uint64_t i = 0; i < 50; i++)
        CHECK((sample(sampler, logits, &sampling, i) * 7919L) % SIZE >= SIZE - 1000);
    tx_sampler_close(&sampler);
    free(logits);
}

/* Reference for the filters: everything sorted, summed in order. */
struct reference {
    const float *logits;
    int32_t order[2000]; /* [count] ids, best first */
    double key[2000], p[2000];
    int32_t count;
};

static struct reference *sorting;

static int by_key(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sorting->key[x] != sorting->key[y])
        return sorting->key[x] > sorting->key[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

static void reference_keep(struct reference *r, double share, bool typical)
{
    double total = 0, entropy = 0, reached = 0;
    for (int32_t i = 0; i < r->count; i++)
        total += exp((double)r->logits[r->order[i]]);
    for (int32_t i = 0; i < r->count; i++) {
        int32_t id = r->order[i];
        r->p[id] = exp((double)r->logits[id]) / total;
        entropy -= r->p[id] * log(r->p[id]);
    }
    for (int32_t i = 0; i < r->count; i++) {
        int32_t id = r->order[i];
        r->key[id] =
            typical ? (double)(float)-fabs(-log(r->p[id]) - entropy) : (double)r->logits[id];
    }
    sorting = r;
    qsort(r->order, (size_t)r->count, sizeof r->order[0], by_key);
    for (int32_t i = 0; i < r->count; i++) {
        reached += r->p[r->order[i]];
        if (reached >= share) {
            r->count = i + 1;
            return;
        }
    }
}

TEST(filters_equal_a_sorting_reference)
{
    enum { SIZE = 2000 };
    static struct reference r;
    static float logits[SIZE];
    struct tx_sampler *sampler = open_sampler(SIZE);
    srand((unsigned)test_seed(7));
    for (int round = 0; round < 300; round++) {
        double spread = round % 3 == 0 ? 0.01 : round % 3 == 1 ? 1 : 8;
        for (int i = 0; i < SIZE; i++) {
            double unit = (double)rand() / RAND_MAX;
            logits[i] = (float)(spread * log(unit + 1e-9)); /* all of one or of both signs */
            if (round % 2)
                logits[i] = (float)(floor((double)logits[i] * 8) / 8 + spread); /* ties */
        }
        bool typical = round % 4 == 1;
        double share = 0.05 + 0.9 * ((double)rand() / RAND_MAX);
        r.logits = logits;
        r.count = SIZE;
        for (int i = 0; i < SIZE; i++)
            r.order[i] = i;
        reference_keep(&r, share, typical);
        struct tx_sampling sampling = tx_sampling_default();
        sampling.temperature = 1e3; /* all that is kept is about equally likely */
        *(typical ? &sampling.typical_p : &sampling.top_p) = share;
        static int32_t rank[SIZE];
        for (int32_t i = 0; i < SIZE; i++)
            rank[i] = SIZE;
        for (int32_t i = 0; i < r.count; i++)
            rank[r.order[i]] = i;
        int32_t worst = 0; /* of 60 draws: surely in the lower half */
        for (uint64_t i = 0; i < 60; i++) {
            int32_t got = rank[sample(sampler, logits, &sampling, i)];
            worst = got > worst ? got : worst;
        }
        CHECK(worst < r.count && worst >= r.count / 2);
        sampling.top_p = sampling.typical_p = 1;
        sampling.top_k = r.count;
        for (uint64_t i = 0; !typical && i < 20; i++)
            CHECK(rank[sample(sampler, logits, &sampling, i)] < r.count);
    }
    tx_sampler_close(&sampler);
}

/* What a class compiles to gives the bits that plain C gives. */
TEST(every_machine_class_gives_the_same_bits)
{
    enum { SIZE = 5000 };
    static float logits[SIZE], taken[2][SIZE];
    static double weights[2][SIZE];
    static int32_t ids[2][SIZE];
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 0, 1e-40f, -3e38f};
    const struct tx_softmax_loops *plain = tx_softmax_loops(HS_CPU_CLASS_REF);
    srand((unsigned)test_seed(3));
    for (int class_id = HS_CPU_CLASS_REF + 1; class_id <= (int)hs_cpu_get()->best; class_id++) {
        const struct tx_softmax_loops *loops = tx_softmax_loops((enum hs_cpu_class)class_id);
        CHECK(loops != plain);
        for (int round = 0; round < 60; round++) {
            int32_t count = 1 + rand() % SIZE;
            float scale = round % 3 ? 20 : 2000; /* below e^-700, too */
            for (int32_t i = 0; i < count; i++)
                logits[i] = scale * ((float)rand() / (float)RAND_MAX - 1);
            for (int k = 0; round % 2 && k < 7; k++) /* with an infinity in front now and then */
                logits[rand() % count] = odd[round % 4 == 1 && k == 1 ? 0 : k];
            float largest = plain->largest(logits, count), same = loops->largest(logits, count);
            CHECK(memcmp(&largest, &same, sizeof same) == 0);
            plain->take_all(logits, count, ids[0], taken[0]);
            loops->take_all(logits, count, ids[1], taken[1]);
            CHECK(memcmp(ids[0], ids[1], (size_t)count * sizeof ids[0][0]) == 0);
            CHECK(memcmp(taken[0], taken[1], (size_t)count * sizeof taken[0][0]) == 0);
            plain->fill_weights(taken[0], count, largest, 1 / 0.7, weights[0]);
            loops->fill_weights(taken[0], count, largest, 1 / 0.7, weights[1]);
            CHECK(memcmp(weights[0], weights[1], (size_t)count * sizeof weights[0][0]) == 0);
            double sum = plain->sum(weights[0], count), other = loops->sum(weights[0], count);
            CHECK(memcmp(&sum, &other, sizeof sum) == 0);
        }
    }
}

TEST(typical_prefers_the_usual)
{
    /* entropy of 0.5 0.25 0.125 0.125: 1.213 nats; surprises 0.69 1.39 2.08 2.08 */
    static const double p[6] = {0.5, 0.25, 0.125, 0.125, 0, 0};
    float logits[6];
    for (int i = 0; i < 6; i++)
        logits[i] = p[i] > 0 ? (float)log(p[i]) : -INFINITY;
    struct tx_sampling sampling = tx_sampling_default();
    sampling.temperature = 1;
    sampling.typical_p = 0.2; /* 0.25 is nearest */
    check_frequencies(logits, &sampling, (double[6]){0, 1, 0, 0, 0, 0});
    sampling.typical_p = 0.3; /* then 0.5 */
    check_frequencies(logits, &sampling, (double[6]){2.0 / 3, 1.0 / 3, 0, 0, 0, 0});
    sampling.typical_p = 0.8; /* then the first of the two others */
    check_frequencies(logits, &sampling, (double[6]){4.0 / 7, 2.0 / 7, 1.0 / 7, 0, 0, 0});
    sampling.min_p = 0.9; /* of what is left: the likeliest is 0.5 */
    check_frequencies(logits, &sampling, (double[6]){1, 0, 0, 0, 0, 0});
    sampling.typical_p = 0.2; /* min-p after typical: the likeliest left is 0.25 */
    check_frequencies(logits, &sampling, (double[6]){0, 1, 0, 0, 0, 0});
}

/* Typical drops the one likely token; the rest lies 6 below it, where top-p 0 takes the first. */
TEST(top_p_of_what_typical_leaves)
{
    enum { SIZE = 1000 };
    float logits[SIZE];
    struct tx_sampler *sampler = open_sampler(SIZE);
    struct tx_sampling sampling = tx_sampling_default();
    for (int i = 0; i < SIZE; i++)
        logits[i] = i == 0 ? 0 : -6;
    sampling.temperature = 1;
    sampling.typical_p = 0.5;
    sampling.top_p = 0;
    for (uint64_t i = 0; i < 20; i++)
        CHECK_INT(sample(sampler, logits, &sampling, i), 1);
    tx_sampler_close(&sampler);
}

static int32_t sample_after(const float *logits, int32_t size, const struct tx_sampling *sampling,
                            const int32_t *recent, int64_t count)
{
    struct tx_sampler *sampler = open_sampler(size);
    struct tx_sample_input input = {logits, 0, recent, count};
    struct hs_error error;
    int32_t token = -1;
    enum hasten_status status = tx_sample(sampler, sampling, &input, &error, &token);
    /* Nothing stays behind. */
    struct tx_sample_input clean = {logits, 0, NULL, 0};
    struct tx_sampling greedy = tx_sampling_default();
    int32_t best;
    CHECK_INT(tx_sample(sampler, &greedy, &clean, &error, &best), HASTEN_OK);
    CHECK_INT(best, 0);
    tx_sampler_close(&sampler);
    return status == HASTEN_OK ? token : -(int32_t)status;
}

TEST(penalties)
{
    static const float logits[4] = {4, 3, 1, -1};
    static const int32_t recent[6] = {99, -1, 0, 0, 1, 3};
    struct tx_sampling sampling = tx_sampling_default();
    sampling.repetition_penalty = 1.2; /* 3.33 2.5 1 -1.2 */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 0);
    sampling.repetition_penalty = 5; /* 0.8 0.6 1 -5 */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 2);
    sampling.last_n = 2; /* 4 0.6 1 -5 */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 0);
    sampling.last_n = 0;
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 0);
    sampling = tx_sampling_default();
    sampling.presence_penalty = 2; /* 2 1 1 -3 */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 0);
    sampling.presence_penalty = 0;
    sampling.frequency_penalty = 0.9; /* 2.2 2.1 1 -1.9 */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 0);
    sampling.frequency_penalty = 1.1; /* 1.8 1.9 1 -2.1 */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 1);
    sampling.last_n = -1;
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 1);
    sampling.last_n = 3; /* each once */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 6), 0);
    CHECK_INT(sample_after(logits, 4, &sampling, NULL, 0), 0);
    sampling = tx_sampling_default();
    sampling.repetition_penalty = 0.5; /* below 1: repetition is rewarded; negative ones rise too */
    static const float negative[4] = {-1, -1.5f, -9, -9};
    static const int32_t second[1] = {1};
    CHECK_INT(sample_after(negative, 4, &sampling, second, 1), 1);
}

TEST(logit_bias)
{
    static const float logits[4] = {4, 3, 1, -1};
    static const struct tx_logit_bias bias[] = {
        {0, -(double)INFINITY}, {3, 4.5}, {7, 100}, {-1, 100}, {1, -10}, {2, -(double)INFINITY}};
    static const int32_t recent[1] = {3};
    struct tx_sampling sampling = tx_sampling_default();
    sampling.logit_bias = bias;
    sampling.logit_bias_count = 1;
    CHECK_INT(sample_after(logits, 4, &sampling, NULL, 0), 1);
    sampling.logit_bias_count = 5; /* -inf -7 1 3.5 */
    CHECK_INT(sample_after(logits, 4, &sampling, NULL, 0), 3);
    sampling.repetition_penalty = 10; /* bias comes first: 3.5 / 10 */
    CHECK_INT(sample_after(logits, 4, &sampling, recent, 1), 2);
    static const struct tx_logit_bias all[] = {{0, -(double)INFINITY}, {1, -(double)INFINITY}};
    sampling = tx_sampling_default();
    sampling.logit_bias = all;
    sampling.logit_bias_count = 2;
    CHECK_INT(sample_after(logits, 2, &sampling, NULL, 0), -HASTEN_INVALID_ARGUMENT);
}

TEST(logprobs)
{
    static const double p[5] = {0.1, 0.4, 0.2, 0.2, 0.1};
    float logits[6];
    for (int i = 0; i < 5; i++)
        logits[i] = (float)log(p[i]) - 7;
    logits[5] = NAN;
    struct tx_logprobs got;
    tx_logprobs_of(logits, 6, 2, 3, &got);
    CHECK_INT(got.chosen.id, 2);
    CHECK_NEAR(got.chosen.logprob, log(0.2), 1e-6);
    CHECK_INT(got.top_count, 3);
    CHECK(got.top[0].id == 1 && got.top[1].id == 2 && got.top[2].id == 3);
    CHECK_NEAR(got.top[0].logprob, log(0.4), 1e-6);
    CHECK_NEAR(got.top[2].logprob, log(0.2), 1e-6);
    tx_logprobs_of(logits, 6, 5, 1000, &got);
    CHECK_INT(got.top_count, 6);
    CHECK(got.top[3].id == 0 && got.top[4].id == 4 && got.top[5].id == 5);
    CHECK(isinf(got.chosen.logprob) && got.chosen.logprob < 0);
    tx_logprobs_of(logits, 6, 0, 0, &got);
    CHECK_INT(got.top_count, 0);
    CHECK_NEAR(got.chosen.logprob, log(0.1), 1e-6);
}

TEST(a_sample_depends_on_seed_and_index_only)
{
    enum { SIZE = 1000 };
    float logits[SIZE], other[SIZE];
    for (int i = 0; i < SIZE; i++) {
        logits[i] = (float)(i % 17);
        other[i] = (float)-i;
    }
    struct tx_sampler *a = open_sampler(SIZE), *b = open_sampler(SIZE);
    struct tx_sampling sampling = tx_sampling_default();
    sampling.temperature = 0.8;
    sampling.top_k = 200;
    int same = 0;
    for (uint64_t i = 0; i < 100; i++) {
        int32_t token = sample(a, logits, &sampling, i);
        (void)sample(b, other, &sampling, 99 - i); /* history must not matter */
        CHECK_INT(sample(b, logits, &sampling, i), token);
        sampling.seed = 1;
        same += sample(b, logits, &sampling, i) == token;
        sampling.seed = 0;
    }
    CHECK(same < 20);
    tx_sampler_close(&a);
    tx_sampler_close(&b);
}

TEST(sampling_allocates_nothing)
{
    float logits[600];
    for (int i = 0; i < 600; i++)
        logits[i] = (float)(i % 31);
    struct tx_sampler *sampler = open_sampler(600);
    static const int32_t recent[5] = {1, 2, 2, 599, 600};
    static const struct tx_logit_bias bias[1] = {{5, 3}};
    struct tx_sampling sampling = {.temperature = 0.9,
                                   .top_k = 400,
                                   .typical_p = 0.9,
                                   .top_p = 0.95,
                                   .min_p = 0.01,
                                   .seed = 3,
                                   .last_n = 64,
                                   .repetition_penalty = 1.1,
                                   .presence_penalty = 0.5,
                                   .frequency_penalty = 0.1,
                                   .logit_bias = bias,
                                   .logit_bias_count = 1};
    struct tx_logprobs logprobs;
    uint64_t before = hs_alloc_count();
    for (uint64_t i = 0; i < 20; i++) {
        int32_t token;
        struct tx_sample_input input = {logits, i, recent, 5};
        CHECK_INT(tx_sample(sampler, &sampling, &input, NULL, &token), HASTEN_OK);
        tx_logprobs_of(logits, 600, token, 20, &logprobs);
    }
    CHECK_INT(hs_alloc_count() - before, 0);
    tx_sampler_close(&sampler);
}

TEST(wrong_parameters)
{
    static const struct tx_logit_bias bad[1] = {{0, (double)NAN}};
    static const struct tx_sampling wrong[] = {
        {.temperature = -1},
        {.temperature = (double)NAN},
        {.temperature = (double)INFINITY},
        {.top_k = -1},
        {.top_p = 1.5},
        {.top_p = (double)NAN},
        {.min_p = -0.1},
        {.min_p = 2},
        {.typical_p = 1.1},
        {.typical_p = (double)NAN},
        {.last_n = -2},
        {.repetition_penalty = -1},
        {.repetition_penalty = (double)INFINITY},
        {.presence_penalty = (double)NAN},
        {.frequency_penalty = (double)INFINITY},
        {.logit_bias = bad, .logit_bias_count = 1},
        {.logit_bias = bad, .logit_bias_count = TX_LOGIT_BIASES_MAX + 1},
    };
    float logits[2] = {0, 1};
    struct tx_sampler *sampler = open_sampler(2);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int32_t token = 9;
        struct hs_error error;
        struct tx_sample_input input = {.logits = logits};
        CHECK_INT(tx_sample(sampler, &wrong[i], &input, &error, &token), HASTEN_INVALID_ARGUMENT);
        CHECK_INT(token, 9);
    }
    tx_sampler_close(&sampler);
    struct tx_sampler *none = NULL;
    CHECK_INT(tx_sampler_open(0, NULL, &none), HASTEN_INVALID_ARGUMENT);
    CHECK(none == NULL);
}

TEST_MAIN()

/*
 * Micro benchmark of the tokenizer of a model file, one thread.
 *
 *   bench_vocab MODEL.gguf [rounds]
 *
 * First line: building all indices over the vocabulary (tx_tokenizer_open), best and median of the
 * rounds. Then ns a byte of encoding one word of 1 KiB and of 1 MiB, made of one text again and
 * again, and their ratio: encoding must not take more than linear time on any of them. Figures are
 * CPU time of the thread, the best of the rounds, so a busy machine does not count; the memory it
 * keeps busy does. Never run in CI.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "bench_sort.h"
#include "engine/engine.h"

enum { SMALL = 1 << 10, LARGE = 1 << 20, MAX_ROUNDS = 1000, SMALL_CALLS = 16 };

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void must(enum hasten_status status, const struct hs_error *error)
{
    if (status == HASTEN_OK)
        return;
    fprintf(stderr, "%s (%s)\n", error->message, error->hint);
    exit(1);
}

static void bench_open(const struct tx_vocab *vocab, int rounds)
{
    double ms[MAX_ROUNDS];
    for (int i = 0; i < rounds; i++) {
        struct hs_error error = {0};
        struct tx_tokenizer *tokenizer = NULL;
        uint64_t start = cpu_ns();
        must(tx_tokenizer_open(vocab, &error, &tokenizer), &error);
        ms[i] = (double)(cpu_ns() - start) / 1e6;
        tx_tokenizer_close(&tokenizer);
    }
    double first = ms[0];
    bench_sort(ms, (size_t)rounds);
    printf("open %d tokens: first %.1f ms, best %.1f ms, median %.1f ms\n", (int)vocab->count,
           first, ms[0], ms[rounds / 2]);
}

/* ns a byte of encoding a word of size bytes, the best of the rounds. */
static double encode_ns(const struct tx_tokenizer *tokenizer, struct hs_str word, int rounds)
{
    const struct tx_encode_options options = {false, false};
    int calls = word.size_bytes <= SMALL ? SMALL_CALLS : 1;
    struct tx_ids ids = {0};
    double best = 1e300;
    for (int i = 0; i < rounds; i++) {
        struct hs_error error = {0};
        uint64_t start = cpu_ns();
        for (int call = 0; call < calls; call++) {
            ids.count = 0;
            must(tx_encode(tokenizer, word, options, &error, &ids), &error);
        }
        double ns = (double)(cpu_ns() - start) / ((double)word.size_bytes * calls);
        best = ns < best ? ns : best;
    }
    tx_ids_free(&ids);
    return best;
}

static void bench_word(const struct tx_tokenizer *tokenizer, const char *name, const char *unit,
                       int rounds)
{
    size_t unit_bytes = strlen(unit);
    char *text = hs_alloc(LARGE);
    if (!text)
        exit(1);
    for (size_t i = 0; i < LARGE; i++)
        text[i] = unit[i % unit_bytes];
    struct hs_str small = {text, SMALL - SMALL % unit_bytes};
    struct hs_str large = {text, LARGE - LARGE % unit_bytes};
    double small_ns = encode_ns(tokenizer, small, rounds);
    double large_ns = encode_ns(tokenizer, large, rounds);
    printf("%-10s 1 KiB %7.1f ns/byte, 1 MiB %7.1f ns/byte, ratio %.2f\n", name, small_ns, large_ns,
           large_ns / small_ns);
    hs_free(text);
}

int main(int argc, char **argv)
{
    static const char *const words[][2] = {{"letter", "a"},         {"letters", "the"},
                                           {"spaces", " "},         {"digits", "1"},
                                           {"newlines", "\n"},      {"marks", "-"},
                                           {"tags", "<unused1"},    {"words", "light "},
                                           {"CJK", "\xe4\xb8\x80"}, {"emoji", "\xf0\x9f\x98\x80"}};
    if (argc < 2) {
        fprintf(stderr, "usage: bench_vocab MODEL.gguf [rounds]\n");
        return 2;
    }
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 10;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    struct hs_error error = {0};
    struct en_model *model = NULL;
    struct en_options options = en_options_default();
    options.without_plan = true;
    must(en_open(argv[1], &options, &error, &model), &error);
    const struct tx_tokenizer *tokenizer = en_tokenizer(model);
    if (!tokenizer)
        must(HASTEN_UNSUPPORTED, en_tokenizer_error(model));
    bench_open(tx_tokenizer_vocab(tokenizer), rounds);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        bench_word(tokenizer, words[i][0], words[i][1], rounds);
    en_close(&model);
    return 0;
}

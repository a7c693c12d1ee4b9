/* Running a tiny model: a folder of its own, and an answer as token ids. */
#ifndef HASTEN_TESTS_TINY_RUN_H
#define HASTEN_TESTS_TINY_RUN_H

#include <unistd.h>

#include "base/memory.h"
#include "harness/test.h"
#include "model_test.h"
#include "tiny_model.h"

enum { TINY_PROMPT = 40, TINY_ANSWER = 20 };

struct tiny_answer {
    int32_t ids[TINY_ANSWER];
    int count;
    enum en_finish finish;
};

static char tiny_folder[64], tiny_path[128];

/* Writes the model; tiny_path is what opens it, the first part of a split one. */
static inline void tiny_begin(const struct tiny_recipe *recipe)
{
    struct hs_error error = {0};
    (void)snprintf(tiny_folder, sizeof tiny_folder, "/tmp/hasten-tiny-XXXXXX");
    CHECK(mkdtemp(tiny_folder));
    (void)snprintf(tiny_path, sizeof tiny_path, "%s/tiny.gguf", tiny_folder);
    mt_must(tiny_write(recipe, tiny_path, &error), &error);
    if (recipe->parts > 1)
        (void)snprintf(tiny_path, sizeof tiny_path, "%s/tiny.gguf-00001-of-%05d.gguf", tiny_folder,
                       recipe->parts);
}

static inline void tiny_end(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", tiny_folder);
    CHECK_INT(system(command), 0);
}

static inline struct en_options tiny_options(int threads)
{
    struct en_options options = en_options_default();
    options.threads = threads;
    options.context = 128;
    return options;
}

static inline void tiny_note(void *context, int32_t id)
{
    struct tiny_answer *answer = context;
    if (answer->count < TINY_ANSWER)
        answer->ids[answer->count++] = id;
}

/* Twenty tokens behind a prompt of forty, on a sequence of their own. */
static inline enum hasten_status tiny_generate(struct en_model *model, struct hs_error *error,
                                               struct tiny_answer *answer)
{
    int32_t prompt[TINY_PROMPT];
    struct rt_sequence *sequence = NULL;
    struct en_generated result;
    const struct en_generate_options options = {.sampling = {.temperature = 0},
                                                .max_tokens = TINY_ANSWER,
                                                .ignore_end = true,
                                                .on_token = tiny_note,
                                                .context = answer};
    for (int i = 0; i < TINY_PROMPT; i++)
        prompt[i] = (i * 37 + 5) % 250;
    answer->count = 0;
    HS_TRY(en_sequence_open(model, error, &sequence));
    enum hasten_status status =
        en_generate(model, sequence, prompt, TINY_PROMPT, &options, error, &result);
    answer->finish = status == HASTEN_OK ? result.finish : EN_FINISH_CANCEL;
    rt_sequence_close(&sequence);
    return status;
}

static inline struct tiny_answer tiny_answer_of(struct en_model *model)
{
    struct hs_error error = {0};
    struct tiny_answer answer;
    mt_must(tiny_generate(model, &error, &answer), &error);
    CHECK_INT(answer.count, TINY_ANSWER);
    return answer;
}

static inline bool tiny_same(const struct tiny_answer *a, const struct tiny_answer *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids) == 0;
}

#endif

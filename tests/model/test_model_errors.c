/*
 * What goes wrong with a model that is open, or big, or broken inside: each ends in an error with a
 * message and a hint, leaves nothing behind, and leaves the model usable. Files that are wrong as
 * files: tests/unit/models/test_model_file_errors.c. The program's side: tests/e2e/test_errors.py.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/memory_limit.h"
#include "tiny_run.h"

static const struct tiny_recipe recipe = {.dtype = TN_Q4_1};

static void check_error(enum hasten_status status, const struct hs_error *error,
                        enum hasten_status expected, const char *message, const char *hint)
{
    if (status != expected || error->status != expected || !strstr(error->message, message) ||
        !strstr(error->hint, hint))
        TEST_FAIL("%s: \"%s\", hint \"%s\"; expected %s, \"%s\", \"%s\"", hs_status_name(status),
                  error->message, error->hint, hs_status_name(expected), message, hint);
}

static int files_in_folder(void)
{
    char command[160];
    (void)snprintf(command, sizeof command, "exit $(ls -A %s | wc -l)", tiny_folder);
    return WEXITSTATUS(system(command));
}

/* --- lengths --- */

TEST(a_prompt_longer_than_the_context)
{
    struct en_options options = tiny_options(1);
    struct hs_error error = {0};
    struct tiny_answer answer;
    options.context = TINY_PROMPT - 1;
    tiny_begin(&recipe);
    struct en_model *model = mt_open(tiny_path, &options);
    enum hasten_status status = tiny_generate(model, &error, &answer);
    check_error(status, &error, HASTEN_LIMIT, "do not fit the context of 39", "larger context");
    CHECK_INT(rt_cache_pages_free(en_cache(model), 0), rt_cache_pages_total(en_cache(model), 0));
    en_close(&model);
    options.context = TINY_PROMPT; /* the last token that fits is the first of the answer */
    model = mt_open(tiny_path, &options);
    CHECK_INT(tiny_generate(model, &error, &answer), HASTEN_OK);
    CHECK_INT(answer.count, 1);
    CHECK_INT(answer.finish, EN_FINISH_LENGTH);
    en_close(&model);
    tiny_end();
}

TEST(tokens_that_are_none)
{
    const int32_t tokens[] = {1, TINY_VOCAB, 2}, negative[] = {-1};
    struct en_options options = tiny_options(1);
    struct hs_error error = {0};
    struct rt_sequence *sequence = NULL;
    const float *logits;
    tiny_begin(&recipe);
    struct en_model *model = mt_open(tiny_path, &options);
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    enum hasten_status status = en_feed(model, sequence, tokens, 3, 0, &error, &logits);
    check_error(status, &error, HASTEN_INVALID_ARGUMENT, "token id 320", "");
    status = en_feed(model, sequence, negative, 1, 0, &error, &logits);
    check_error(status, &error, HASTEN_INVALID_ARGUMENT, "token id -1", "");
    CHECK_INT(rt_sequence_length(sequence), 0);
    CHECK_INT(en_feed(model, sequence, tokens, 1, 0, &error, &logits), HASTEN_OK);
    rt_sequence_close(&sequence);
    en_close(&model);
    tiny_end();
}

/* --- memory --- */

TEST(weights_larger_than_what_is_free)
{
    struct en_options options = tiny_options(2);
    struct hs_error error = {0};
    struct en_model *model = NULL;
    tiny_begin(&(struct tiny_recipe){.dtype = TN_F32, .embedding = 512});
    uint64_t live = hs_alloc_live();
    hs_memory_pretend((uint64_t)1 << 20);
    enum hasten_status status = en_open(tiny_path, &options, &error, &model);
    hs_memory_pretend(0);
    check_error(status, &error, HASTEN_OUT_OF_MEMORY, "1 MiB of memory are free", "smaller");
    CHECK(strstr(error.message, "the weights need") && strstr(error.place, tiny_path));
    CHECK(!model && hs_alloc_live() == live);
    tiny_end();
}

/* Runs body in a process of its own, whose limits end with it; its exit code. */
static int in_child(int (*body)(void))
{
    (void)fflush(stdout);
    pid_t child = fork();
    int status = -1;
    if (child == 0)
        _exit(body());
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

/* Address space for the program as it is and half of the model's weights. */
static int open_with_little_space(void)
{
    struct hs_error error = {0};
    struct en_options options = tiny_options(1);
    struct en_model *model = NULL;
    char *text = NULL;
    size_t size_bytes;
    options.kv_dtype = TN_F32;
    options.context = 1 << 20; /* the cache is what is too large here */
    options.cache_positions = 1 << 29;
    if (hs_file_read("/proc/self/statm", 4096, &error, &text, &size_bytes) != HASTEN_OK)
        return 2;
    rlim_t used = (rlim_t)strtoull(text, NULL, 10) * 4096;
    hs_free(text);
    const struct rlimit limit = {used + (64 << 20), used + (64 << 20)};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 3;
    enum hasten_status status = en_open(tiny_path, &options, &error, &model);
    if (status != HASTEN_OUT_OF_MEMORY || !strstr(error.message, "MiB") || !error.hint[0])
        return 4;
    options = tiny_options(1);
    return en_open(tiny_path, &options, &error, &model) == HASTEN_OK ? 0 : 5;
}

TEST(an_address_space_that_is_too_small)
{
    if (is_sanitized()) /* their shadow memory is terabytes of it */
        return;
    tiny_begin(&recipe);
    CHECK_INT(in_child(open_with_little_space), 0);
    tiny_end();
}

/* --- numbers --- */

TEST(weights_that_are_no_numbers)
{
    static const char *const tensors[] = {"blk.0.attn_v.weight", "blk.1.ffn_down.weight",
                                          "output_norm.weight", "blk.0.attn_norm.weight"};
    const struct en_perplexity_options perplexity = {.window = 32};
    const struct hs_str text =
        hs_str_of("the singing of the user in the sun is the thing that then "
                  "rings and rings in the inn of the king and his kin");
    for (int i = 0; i < 4; i++) {
        struct en_options options = tiny_options(2);
        struct hs_error error = {0};
        struct tiny_answer answer;
        struct en_perplexity result;
        tiny_begin(&(struct tiny_recipe){.dtype = TN_F32, .nan_tensor = tensors[i]});
        struct en_model *model = mt_open(tiny_path, &options);
        enum hasten_status status = tiny_generate(model, &error, &answer);
        check_error(status, &error, HASTEN_CORRUPT_INPUT, "the model computes NaN", "file again");
        CHECK_INT(answer.count, 0);
        status = en_perplexity(model, text, &perplexity, &error, &result);
        check_error(status, &error, HASTEN_CORRUPT_INPUT, "the model computes NaN", "file again");
        en_close(&model);
        tiny_end();
    }
}

/* --- disks --- */

static char converted[160];

/* A disk with room for 64 KiB: writing fails in the middle. */
static int convert_to_little_room(void)
{
    struct hs_error error = {0};
    const struct rlimit limit = {64 << 10, 64 << 10};
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 2;
    enum hasten_status status = en_convert_f32(tiny_path, converted, NULL, &error);
    return status == HASTEN_IO && strstr(error.message, "cannot write the file") &&
                   strstr(error.place, converted) && error.hint[0]
               ? 0
               : 3;
}

TEST(a_full_disk_while_converting)
{
    tiny_begin(&recipe);
    (void)snprintf(converted, sizeof converted, "%s/f32.gguf", tiny_folder);
    CHECK_INT(in_child(convert_to_little_room), 0);
    CHECK_INT(files_in_folder(), 1); /* nothing but the model */
    tiny_end();
}

TEST(a_folder_that_is_not_there_while_converting)
{
    struct hs_error error = {0};
    tiny_begin(&recipe);
    (void)snprintf(converted, sizeof converted, "%s/none/f32.gguf", tiny_folder);
    enum hasten_status status = en_convert_f32(tiny_path, converted, NULL, &error);
    check_error(status, &error, HASTEN_NOT_FOUND, "cannot create the file", "");
    CHECK(strstr(error.place, converted));
    tiny_end();
}

/* --- cancelling --- */

static atomic_bool cancel;

static void set_cancel(int signal_number)
{
    (void)signal_number;
    atomic_store(&cancel, true);
}

TEST(a_cancelled_conversion_leaves_nothing)
{
    struct hs_error error = {0};
    tiny_begin(&(struct tiny_recipe){.dtype = TN_Q4_1, .embedding = 1024});
    (void)snprintf(converted, sizeof converted, "%s/f32.gguf", tiny_folder);
    atomic_store(&cancel, true); /* before the first row */
    CHECK_INT(en_convert_f32(tiny_path, converted, &cancel, &error), HASTEN_CANCELLED);
    CHECK(error.message[0]);
    CHECK_INT(files_in_folder(), 1);
    (void)signal(SIGALRM, set_cancel); /* somewhere in the middle, or behind the end */
    for (int microseconds = 50; microseconds < 50000; microseconds *= 2) {
        const struct itimerval soon = {.it_value = {0, microseconds}};
        atomic_store(&cancel, false);
        CHECK_INT(setitimer(ITIMER_REAL, &soon, NULL), 0);
        enum hasten_status status = en_convert_f32(tiny_path, converted, &cancel, &error);
        CHECK(status == HASTEN_OK || status == HASTEN_CANCELLED);
        CHECK_INT(files_in_folder(), status == HASTEN_OK ? 2 : 1);
        (void)unlink(converted);
        const struct itimerval never = {0};
        CHECK_INT(setitimer(ITIMER_REAL, &never, NULL), 0);
    }
    tiny_end();
}

/* --- interrupted system calls --- */

static volatile sig_atomic_t alarms;

static void count_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

TEST(system_calls_that_are_interrupted_all_the_time)
{
    struct hs_error error = {0};
    struct en_options options = tiny_options(2);
    tiny_begin(&(struct tiny_recipe){.dtype = TN_Q4_1, .embedding = 512});
    (void)snprintf(converted, sizeof converted, "%s/f32.gguf", tiny_folder);
    struct en_model *model = mt_open(tiny_path, &options);
    const struct tiny_answer expected = tiny_answer_of(model);
    en_close(&model);
    struct sigaction action = {.sa_handler = count_alarm}; /* without SA_RESTART */
    const struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
    CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_INT(setitimer(ITIMER_REAL, &often, NULL), 0);
    int wrong = 0;
    for (int i = 0; i < 20; i++) {
        struct tiny_answer answer;
        bool opened = en_open(tiny_path, &options, &error, &model) == HASTEN_OK;
        wrong += !opened || tiny_generate(model, &error, &answer) != HASTEN_OK ||
                 !tiny_same(&answer, &expected);
        en_close(&model);
        wrong += en_convert_f32(tiny_path, converted, NULL, &error) != HASTEN_OK;
    }
    CHECK_INT(setitimer(ITIMER_REAL, &never, NULL), 0);
    if (wrong)
        TEST_FAIL("%s: %s at %s", hs_status_name(error.status), error.message, error.place);
    CHECK(alarms > 20);
    printf("     %d signals\n", (int)alarms);
    tiny_end();
}

TEST_MAIN()

/*
 * Streams an answer and cancels it from another thread when its time is up:
 *     deadline MILLISECONDS "Tell me a long story" [MODEL]
 * A second thread waits for the deadline while the first generates. Ctrl-C cancels as well:
 * hasten_sequence_cancel is safe in signal handlers.
 */
#include <hasten/hasten.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct hasten_sequence *sequence;

struct deadline {
    long milliseconds;
    pthread_mutex_t lock;
    pthread_cond_t over; /* signalled when the answer ended by itself */
    bool is_over;
};

static void *watch(void *context)
{
    struct deadline *deadline = context;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += deadline->milliseconds / 1000;
    until.tv_nsec += deadline->milliseconds % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&deadline->lock);
    int waited = 0;
    while (!deadline->is_over && waited == 0)
        waited = pthread_cond_timedwait(&deadline->over, &deadline->lock, &until);
    if (!deadline->is_over)
        hasten_sequence_cancel(sequence);
    pthread_mutex_unlock(&deadline->lock);
    return NULL;
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    hasten_sequence_cancel(sequence);
}

static bool print_text(void *context, const char *text, size_t size_bytes)
{
    (void)context;
    fwrite(text, 1, size_bytes, stdout);
    return fflush(stdout) == 0;
}

/* Opens model and sequence and tokenizes the question. */
static enum hasten_status prepare(const char *question, const char *name,
                                  struct hasten_error *error, struct hasten_model **model,
                                  int32_t **tokens, size_t *count)
{
    const struct hasten_message message = {"user", question};
    char *text = NULL;
    size_t size;
    enum hasten_status status = hasten_model_open_named(name, NULL, error, model);
    if (status == HASTEN_OK)
        status = hasten_sequence_open(*model, error, &sequence);
    if (status == HASTEN_OK)
        status = hasten_chat_render(*model, &message, 1, error, &text, &size);
    if (status == HASTEN_OK)
        status =
            hasten_text_tokenize(*model, text, size, HASTEN_TOKENIZE_PROMPT, error, tokens, count);
    hasten_memory_free(text);
    return status;
}

static enum hasten_status answer(struct deadline *deadline, const int32_t *tokens, size_t count,
                                 struct hasten_error *error, struct hasten_result *result)
{
    struct hasten_generate_options options;
    pthread_t watcher;
    hasten_generate_options_init(&options);
    hasten_result_init(result);
    options.on_text = print_text;
    signal(SIGINT, on_interrupt);
    bool is_watched = pthread_create(&watcher, NULL, watch, deadline) == 0;
    enum hasten_status status =
        hasten_sequence_generate(sequence, tokens, count, &options, error, result);
    pthread_mutex_lock(&deadline->lock);
    deadline->is_over = true;
    pthread_cond_signal(&deadline->over);
    pthread_mutex_unlock(&deadline->lock);
    if (is_watched)
        pthread_join(watcher, NULL);
    signal(SIGINT, SIG_DFL);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const endings[] = {"stop", "length", "cancel"};
    struct deadline deadline = {argc > 1 ? strtol(argv[1], NULL, 10) : 500,
                                PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct hasten_error error;
    struct hasten_model *model = NULL;
    struct hasten_result result;
    int32_t *tokens = NULL;
    size_t count = 0;
    enum hasten_status status =
        prepare(argc > 2 ? argv[2] : "Tell me a long story about a lighthouse.",
                argc > 3 ? argv[3] : NULL, &error, &model, &tokens, &count);
    if (status == HASTEN_OK)
        status = answer(&deadline, tokens, count, &error, &result);
    if (status == HASTEN_OK)
        fprintf(stderr, "\n%lld tokens, ended by %s\n", (long long)result.completion_tokens,
                endings[result.finish]);
    else
        fprintf(stderr, "error: %s\n", error.message);
    hasten_memory_free(tokens);
    hasten_sequence_close(&sequence);
    hasten_model_close(&model);
    return status != HASTEN_OK;
}

/*
 * hasten serve: models over HTTP until a signal ends it.
 *
 * SIGTERM and SIGINT are blocked in all threads and taken by this one, so that no system call of a
 * server's thread is ever interrupted. The first drains, the second ends at once; they stay
 * blocked, the program ends anyway.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "serve/server.h"

enum { SERVE_MODELS_MAX = 16, SLOTS = 16, CACHE_CONTEXTS = 4, POLL_NS = 10000000 };

struct serve_options {
    struct cli_model_options model;
    const char *host;
    int64_t port, slots, cache_tokens, queue, queue_tokens, max_body, connections, idle_s,
        request_s, drain_s;
    double stretch;
    bool json; /* errors as JSON */
};

#define AT(member) offsetof(struct serve_options, member)
/* clang-format off */
const struct hs_option cli_serve_options[] = {
    {"host", 0, HS_OPTION_TEXT, AT(host), "ADDRESS", NULL, 0, 0,
     "address to listen on; anything but this machine's own lets others in, unasked (default: 127.0.0.1)"},
    {"port", 'p', HS_OPTION_INT, AT(port), "N", NULL, 0, 65535,
     "port to listen on; 0 takes a free one (default: 8080)"},
    CLI_CONTEXT_OPTION,
    {"slots", 0, HS_OPTION_INT, AT(slots), "N", NULL, 1, 64,
     "requests computed together (default: 16)"},
    {"cache-tokens", 0, HS_OPTION_INT, AT(cache_tokens), "N", NULL, 1, 1e9,
     "tokens that all requests and kept prefixes of a model may hold (default: 4 contexts)"},
    CLI_MODEL_OPTIONS,
    {"queue", 0, HS_OPTION_INT, AT(queue), "N", NULL, 1, 1e6,
     "requests that may wait; more get 429 (default: 1024)"},
    {"queue-tokens", 0, HS_OPTION_INT, AT(queue_tokens), "N", NULL, 1, 1e12,
     "prompt tokens that may wait (default: 1048576)"},
    {"max-body", 0, HS_OPTION_INT, AT(max_body), "BYTES", NULL, 1024, 1 << 30,
     "size of a request's body at most (default: 4194304)"},
    {"connections", 0, HS_OPTION_INT, AT(connections), "N", NULL, 1, 65536,
     "open connections at most (default: 1024)"},
    {"stretch", 0, HS_OPTION_REAL, AT(stretch), "X", NULL, 1, 1000,
     "let new prompts make a step take at most X times what the running answers need (default: 2)"},
    {"idle", 0, HS_OPTION_INT, AT(idle_s), "SECONDS", NULL, 1, 86400,
     "close connections that say or take nothing for so long (default: 60)"},
    {"timeout", 0, HS_OPTION_INT, AT(request_s), "SECONDS", NULL, 0, 1e6,
     "end answers that take longer; 0: none (default: 0)"},
    {"drain", 0, HS_OPTION_INT, AT(drain_s), "SECONDS", NULL, 0, 86400,
     "let running answers finish for so long after SIGTERM or Ctrl-C (default: 30)"},
    CLI_JSON_OPTION,
    {0},
};
/* clang-format on */

const char cli_serve_notes[] =
    "Listens until SIGTERM or Ctrl-C, then lets running answers finish; a second signal ends at\n"
    "once. docs/SERVING.md describes routes and fields.\n";

struct serve_job {
    struct cli *cli;
    const struct serve_options *options;
    struct sv_server *server;
    const char *paths[SERVE_MODELS_MAX], *names[SERVE_MODELS_MAX];
    struct en_model *models[SERVE_MODELS_MAX];
    int count;
    sigset_t signals;
};

/* What clients call a model: its name in the catalog, or its file's name without folder and ending.
 */
static const char *client_name(struct cli *cli, const char *label)
{
    const char *slash = strrchr(label, '/');
    const char *name = slash && slash[1] ? slash + 1 : label;
    size_t length = strlen(name);
    if (length > 5 && strcmp(name + length - 5, ".gguf") == 0)
        length -= 5;
    return hs_arena_strndup(&cli->arena, name, length);
}

static enum hasten_status find_models(struct serve_job *job, const struct cli_arguments *arguments)
{
    struct cli *cli = job->cli;
    job->count = arguments->count > 0 ? arguments->count : 1;
    for (int i = 0; i < job->count; i++) {
        const char *label;
        HS_TRY(cli_find_model(cli, arguments->count > 0 ? arguments->items[i] : NULL,
                              &job->paths[i], &label));
        job->names[i] = client_name(cli, label);
        if (!job->names[i])
            return hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a name");
    }
    return HASTEN_OK;
}

static enum hasten_status open_model(struct serve_job *job, int i)
{
    const struct serve_options *options = job->options;
    struct cli *cli = job->cli;
    struct en_options engine = en_options_default();
    struct en_service_options service = {.running = (int32_t)options->slots,
                                         .waiting = (int32_t)options->queue,
                                         .waiting_tokens = options->queue_tokens,
                                         .stretch = options->stretch};
    HS_TRY(cli_engine_options(cli, &options->model, &engine));
    engine.sequences = (int32_t)options->slots;
    engine.keep_prefixes = true;
    engine.cache_positions = options->cache_tokens;
    engine.cache_contexts = CACHE_CONTEXTS;
    HS_TRY(en_open(job->paths[i], &engine, &cli->error, &job->models[i]));
    return sv_server_add(job->server, job->names[i], job->models[i], &service, &cli->error);
}

static enum hasten_status open_server(struct serve_job *job)
{
    const struct serve_options *options = job->options;
    struct sv_options http = sv_options_default();
    http.host = options->host;
    http.port = (int)options->port;
    http.body_bytes_max = (size_t)options->max_body;
    http.connections_max = (int)options->connections;
    http.idle_s = (int)options->idle_s;
    http.request_s = (int)options->request_s;
    HS_TRY(sv_server_open(&http, &job->cli->error, &job->server));
    for (int i = 0; i < job->count; i++)
        HS_TRY(open_model(job, i));
    sv_server_ready(job->server);
    return HASTEN_OK;
}

static void tell_address(const struct serve_job *job)
{
    const char *host = job->options->host ? job->options->host : "127.0.0.1";
    bool is_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    bool has_colon = !is_any && strchr(host, ':');
    char address[160];
    (void)snprintf(address, sizeof address, "http://%s%s%s:%d", has_colon ? "[" : "",
                   is_any ? "127.0.0.1" : host, has_colon ? "]" : "", sv_server_port(job->server));
    cli_print("listening on %s\n", address);
    for (int i = 0; i < job->count; i++)
        cli_print("model %s: context %lld, %d slots\n", job->names[i],
                  (long long)en_context(job->models[i]), (int)job->options->slots);
    bool is_chat = en_chat_template(job->models[0]) != NULL;
    cli_print("try: curl -s %s/v1/%s -H 'Content-Type: application/json' -d "
              "'{\"model\": \"%s\", %s, \"max_tokens\": 32, \"temperature\": 0}'\n",
              address, is_chat ? "chat/completions" : "completions", job->names[0],
              is_chat ? "\"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of "
                        "France? Answer in one word.\"}]"
                      : "\"prompt\": \"The capital of France is\"");
    (void)cli_flush();
    if (is_any || (strncmp(host, "127.", 4) != 0 && strcmp(host, "localhost") != 0 &&
                   strcmp(host, "::1") != 0))
        cli_note(job->cli, "anybody who reaches %s may use this server: it asks for no key", host);
}

/* Waits for the first signal, then for the end of what runs, a second signal or the time limit. */
static void serve(struct serve_job *job)
{
    int signal_number;
    const struct timespec pause = {.tv_nsec = POLL_NS};
    while (sigwait(&job->signals, &signal_number) != 0) {
    }
    sv_server_drain(job->server);
    int64_t active = sv_server_active(job->server);
    uint64_t end_ns = hs_clock_ns() + (uint64_t)job->options->drain_s * 1000000000u;
    if (active > 0)
        cli_note(job->cli, "%lld requests are finishing; a second signal ends them",
                 (long long)active);
    while (sv_server_active(job->server) > 0 && hs_clock_ns() < end_ns)
        if (sigtimedwait(&job->signals, NULL, &pause) > 0)
            break;
}

enum hasten_status cli_serve(struct cli *cli, int argc, char *const argv[])
{
    struct serve_options options = {.port = 8080,
                                    .slots = SLOTS,
                                    .queue = 1024,
                                    .queue_tokens = 1 << 20,
                                    .max_body = 4 << 20,
                                    .connections = 1024,
                                    .idle_s = 60,
                                    .drain_s = 30,
                                    .stretch = 2};
    struct serve_job job = {.cli = cli, .options = &options};
    struct cli_arguments arguments;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, SERVE_MODELS_MAX, &arguments));
    HS_TRY(find_models(&job, &arguments)); /* fetching ends with Ctrl-C as everywhere */
    (void)sigemptyset(&job.signals);
    (void)sigaddset(&job.signals, SIGTERM);
    (void)sigaddset(&job.signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &job.signals, NULL);
    enum hasten_status status = open_server(&job);
    if (status == HASTEN_OK) {
        tell_address(&job);
        serve(&job);
    }
    sv_server_close(&job.server);
    for (int i = 0; i < job.count; i++)
        en_close(&job.models[i]);
    return status;
}

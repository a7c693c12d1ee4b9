/*
 * Models: a model file opened for work.
 *
 * Threads: a model may be used by any number of threads at once, each with sequences of its own;
 * their steps take turns on the model, in the order they asked. Models opened with the same number
 * of threads share one set of worker threads. Worker threads do not survive fork: open models after
 * it. Opening and closing may be done by any thread.
 */
#ifndef HASTEN_MODEL_H
#define HASTEN_MODEL_H

#include <hasten/status.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hasten_model;

/*
 * Progress of a download, on the thread that opens: bytes so far of total (0: unknown), called now
 * and then; return false to cancel (HASTEN_CANCELLED). Some models have terms of use: then the
 * first call before a download is what = "terms: TEXT" with 0 of 0. The text must reach the user,
 * and nothing is fetched when that call returns false.
 */
typedef bool (*hasten_progress_fn)(void *context, const char *what, uint64_t done_bytes,
                                   uint64_t total_bytes);

struct hasten_model_options {
    size_t size;      /* bytes of this struct; set by hasten_model_options_init */
    int32_t threads;  /* that compute, the caller's included, at most 256; 0: all usable CPUs */
    bool no_download; /* fail with NOT_FOUND instead of fetching a model */
    int64_t context;  /* positions (tokens) of a sequence; 0: as trained, at most 4096 */
    int64_t cache_positions; /* over all sequences together; 0: 4 * context. Address space is taken
                              * at once, memory when a position is first used */
    const char *kv_type;     /* element type of the KV cache: "f32", "f16", "bf16" or "q8_0";
                              * NULL: "f16" */
    hasten_progress_fn progress; /* NULL: silent; models with terms of use are then not fetched */
    void *progress_context;
};

/* Fills in the defaults above. Called through hasten_model_options_init, which knows the size. */
HASTEN_API void hasten_model_options_fill(struct hasten_model_options *options, size_t size);
static inline void hasten_model_options_init(struct hasten_model_options *options)
{
    hasten_model_options_fill(options, sizeof *options);
}

/*
 * Opens a model file (GGUF). options: NULL for the defaults. The file is read and packed into
 * memory here; afterwards it may change or vanish. Errors: NOT_FOUND and IO (the file),
 * CORRUPT_INPUT, UNSUPPORTED (family, types), OUT_OF_MEMORY, LIMIT, INVALID_ARGUMENT (options).
 * *model_out is the caller's: hasten_model_close.
 */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_model_open(
    const char *path, const struct hasten_model_options *options, struct hasten_error *error,
    struct hasten_model **model_out);

/*
 * Opens a model of the catalog ("smollm2-135m"; NULL: the default model; `hasten list` shows all),
 * fetched and verified first when it is not in the cache. A path (with a '/' or ending in .gguf)
 * is opened as by hasten_model_open. Further errors: NOT_FOUND (unknown name, with the nearest one
 * as hint, or no source gave it), CANCELLED (by progress), INVALID_ARGUMENT (terms of use and no
 * progress function). The cache is $HASTEN_HOME/models, by default ~/.cache/hasten/models.
 */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_model_open_named(
    const char *name, const struct hasten_model_options *options, struct hasten_error *error,
    struct hasten_model **model_out);

/* Gives the caller's hold on a model back and sets *model to NULL. The model itself lives until its
 * last sequence is closed too. NULL inside is allowed. */
HASTEN_API void hasten_model_close(struct hasten_model **model);

struct hasten_model_info {
    size_t size;              /* bytes of this struct; set by hasten_model_info_init */
    const char *architecture; /* "llama", "gemma3"; texts live as long as the model */
    const char *name;         /* what the file calls the model; may be "" */
    const char *recipe;       /* all that results depend on besides model and tokens, e.g.
                               * "avx512vnni-a8.32-kv.f16": equal recipes give equal bits */
    int64_t parameters;       /* elements of all tensors */
    int64_t layers, embedding;
    int64_t vocab;           /* token ids are 0 .. vocab-1; logits are f32[vocab] */
    int64_t context;         /* positions of a sequence */
    int64_t context_trained; /* 0: the file does not say */
    int32_t threads;
    bool has_tokenizer; /* without: token ids only, text functions fail and say why */
    bool has_chat;      /* a chat template that can be used */
};
static inline void hasten_model_info_init(struct hasten_model_info *info)
{
    info->size = sizeof *info;
}

/* Fills *info, as far as its size goes. INVALID_ARGUMENT when size was not set. */
HASTEN_API HASTEN_MUST_USE enum hasten_status hasten_model_get_info(
    const struct hasten_model *model, struct hasten_error *error, struct hasten_model_info *info);

#ifdef __cplusplus
}
#endif
#endif

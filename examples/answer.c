/*
 * Answers one question:   answer "What is the capital of France?" [MODEL]
 * MODEL is a name of the catalog (default: its default model, fetched when missing) or a GGUF file.
 */
#include <hasten/hasten.h>
#include <stdio.h>

static bool print_text(void *context, const char *text, size_t size_bytes)
{
    (void)context;
    fwrite(text, 1, size_bytes, stdout);
    return fflush(stdout) == 0; /* false ends the answer */
}

static int fail(const struct hasten_error *error)
{
    fprintf(stderr, "error: %s\n", error->message);
    if (error->hint[0])
        fprintf(stderr, "hint: %s\n", error->hint);
    return 1;
}

int main(int argc, char **argv)
{
    struct hasten_error error;
    struct hasten_model *model = NULL;
    struct hasten_sequence *sequence = NULL;
    struct hasten_generate_options options;
    const struct hasten_message question = {"user", argc > 1 ? argv[1] : "Who are you?"};
    char *text = NULL;
    int32_t *tokens = NULL;
    size_t size, count;
    int code = 0;

    hasten_generate_options_init(&options);
    options.on_text = print_text;
    if (hasten_model_open_named(argc > 2 ? argv[2] : NULL, NULL, &error, &model) != HASTEN_OK ||
        hasten_sequence_open(model, &error, &sequence) != HASTEN_OK ||
        hasten_chat_render(model, &question, 1, &error, &text, &size) != HASTEN_OK ||
        hasten_text_tokenize(model, text, size, HASTEN_TOKENIZE_PROMPT, &error, &tokens, &count) !=
            HASTEN_OK ||
        hasten_sequence_generate(sequence, tokens, count, &options, &error, NULL) != HASTEN_OK)
        code = fail(&error);
    else
        puts("");

    hasten_memory_free(tokens);
    hasten_memory_free(text);
    hasten_sequence_close(&sequence);
    hasten_model_close(&model);
    return code;
}

/* hasten detokenize: the bytes of token ids, nothing added. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

struct detokenize_options {
    bool special, json;
};

#define AT(member) offsetof(struct detokenize_options, member)
/* clang-format off */
const struct hs_option cli_detokenize_options[] = {
    {"special", 0, HS_OPTION_FLAG, AT(special), NULL, NULL, 0, 0,
     "write special tokens out (default: they give nothing)"},
    CLI_JSON_OPTION,
    {0},
};
/* clang-format on */

const char cli_detokenize_notes[] =
    "Ids are separated by spaces or commas. The bytes come as they are, nothing is added;\n"
    "--json gives {\"text\"}.\n";

/* Appends the ids in "1, 2 3"; place = the text. */
static enum hasten_status parse_ids(struct cli *cli, const char *text, int32_t vocab,
                                    struct tx_ids *ids)
{
    const char *at = text;
    while (*at) {
        char *end;
        if (*at == ' ' || *at == ',' || *at == '[' || *at == ']' || *at == '\n') {
            at++;
            continue;
        }
        long value = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : -1;
        if (value < 0 || value >= vocab || (*end && !strchr(" ,[]\n", *end))) {
            (void)hs_fail(
                &cli->error, HASTEN_INVALID_ARGUMENT, "see hasten tokenize --json for valid ones",
                "'%s' is no token id of this model, which has 0 to %d", at, (int)vocab - 1);
            return hs_error_at(&cli->error, "%s", text);
        }
        if (tx_ids_push(ids, (int32_t)value) != HASTEN_OK)
            return hs_fail(&cli->error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for token ids");
        at = end;
    }
    return HASTEN_OK;
}

/* Whether the first argument is an id already, so that the model was left out. */
static bool looks_like_ids(const char *text)
{
    return text[0] && text[strspn(text, "0123456789, []")] == 0;
}

static enum hasten_status print_text(struct cli *cli, const struct cli_text_model *text,
                                     const struct tx_ids *ids,
                                     const struct detokenize_options *options)
{
    struct hs_buffer out = {0};
    hs_buffer_append(&out, "", 0);
    tx_decode(text->tokenizer, ids->ids, ids->count, options->special, &out);
    if (!options->json || out.failed)
        return cli_print_buffer(cli, &out);
    struct hs_str view = {out.data ? out.data : "", out.size_bytes};
    enum hasten_status status =
        cli_print_json(cli, json_pack("{s:o}", "text", cli_json_text(view)));
    hs_buffer_free(&out);
    return status;
}

enum hasten_status cli_detokenize(struct cli *cli, int argc, char *const argv[])
{
    struct detokenize_options options = {0};
    struct cli_arguments arguments;
    struct cli_text_model text = {0};
    struct tx_ids ids = {0};
    HS_TRY(cli_parse(cli, argc, argv, &options, 1, argc, &arguments));
    int first = looks_like_ids(arguments.items[0]) ? 0 : 1;
    if (arguments.count == first)
        return hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "write them after the model",
                       "no token ids given");
    HS_TRY(cli_text_open(cli, first ? arguments.items[0] : NULL, &text));
    enum hasten_status status = HASTEN_OK;
    for (int i = first; i < arguments.count && status == HASTEN_OK; i++)
        status = parse_ids(cli, arguments.items[i], text.vocab.count, &ids);
    if (status == HASTEN_OK)
        status = print_text(cli, &text, &ids, &options);
    tx_ids_free(&ids);
    cli_text_close(&text);
    return status;
}

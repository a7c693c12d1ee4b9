/* hasten tokenize: token ids of a text, one a line with its piece. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define TEXT_LIMIT_BYTES ((size_t)1 << 30)

struct tokenize_options {
    bool bos, special, json;
};

#define AT(member) offsetof(struct tokenize_options, member)
/* clang-format off */
const struct hs_option cli_tokenize_options[] = {
    {"bos", 0, HS_OPTION_FLAG, AT(bos), NULL, NULL, 0, 0,
     "add BOS and EOS where the model asks for them (default; --no-bos: add nothing)"},
    {"special", 0, HS_OPTION_FLAG, AT(special), NULL, NULL, 0, 0,
     "special tokens written in the text become tokens"},
    CLI_JSON_OPTION,
    {0},
};
/* clang-format on */

const char cli_tokenize_notes[] = "Without TEXT all of standard input is taken as it is.\n";

/* Bytes of a token, made readable: line ends, tabs and controls are escaped as in C. */
static void print_piece(struct hs_str piece)
{
    for (size_t i = 0; i < piece.size_bytes; i++) {
        unsigned char byte = (unsigned char)piece.data[i];
        if (byte == '\n')
            cli_print("\\n");
        else if (byte == '\t')
            cli_print("\\t");
        else if (byte == '\\')
            cli_print("\\\\");
        else if (byte < 32 || byte == 127)
            cli_print("\\x%02x", byte);
        else
            (void)cli_write(&piece.data[i], 1);
    }
}

static enum hasten_status print_ids(struct cli *cli, const struct cli_text_model *text,
                                    const struct tx_ids *ids, bool json)
{
    json_t *numbers = json ? json_array() : NULL, *pieces = json ? json_array() : NULL;
    struct hs_buffer piece = {0};
    for (int32_t i = 0; i < ids->count; i++) {
        hs_buffer_clear(&piece);
        hs_buffer_append(&piece, "", 0);
        tx_decode_token(text->tokenizer, ids->ids[i], true, &piece);
        struct hs_str view = {piece.data ? piece.data : "", piece.size_bytes};
        if (json) {
            json_array_append_new(numbers, json_integer(ids->ids[i]));
            json_array_append_new(pieces, cli_json_text(view));
        } else {
            cli_print("%7d  ", (int)ids->ids[i]);
            print_piece(view);
            cli_print("\n");
        }
    }
    hs_buffer_free(&piece);
    if (!json)
        return HASTEN_OK;
    return cli_print_json(cli, json_pack("{s:o,s:o}", "ids", numbers, "pieces", pieces));
}

enum hasten_status cli_tokenize(struct cli *cli, int argc, char *const argv[])
{
    struct tokenize_options options = {.bos = true};
    struct cli_arguments arguments;
    struct cli_text_model text = {0};
    struct tx_ids ids = {0};
    char *input = NULL;
    enum hasten_status status;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, 2, &arguments));
    HS_TRY(cli_text_open(cli, arguments.count ? arguments.items[0] : NULL, &text));
    struct hs_str source = hs_str_of(arguments.count > 1 ? arguments.items[1] : "");
    if (arguments.count < 2) {
        HS_TRY_GOTO(status,
                    hs_file_read("-", TEXT_LIMIT_BYTES, &cli->error, &input, &source.size_bytes),
                    out);
        source.data = input;
    }
    struct tx_encode_options encode = {options.bos, options.special};
    HS_TRY_GOTO(status, tx_encode(text.tokenizer, source, encode, &cli->error, &ids), out);
    status = print_ids(cli, &text, &ids, options.json);
out:
    hs_free(input);
    tx_ids_free(&ids);
    cli_text_close(&text);
    return status;
}

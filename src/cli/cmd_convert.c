/* hasten convert: a model file in another form. So far the F32 form, the reference of quality. */
#include "cli/cli.h"

struct convert_options {
    const char *type;
};

/* clang-format off */
const struct hs_option cli_convert_options[] = {
    {"type", 0, HS_OPTION_CHOICE, offsetof(struct convert_options, type), "TYPE", "f32", 0, 0,
     "type of the tensors written (required)"},
    {0},
};
/* clang-format on */

const char cli_convert_notes[] = "f32: every tensor dequantized, metadata copied. OUT appears only "
                                 "when complete; Ctrl-C leaves\n"
                                 "nothing behind.\n";

enum hasten_status cli_convert(struct cli *cli, int argc, char *const argv[])
{
    struct convert_options options = {0};
    struct cli_arguments arguments;
    const char *path, *label;
    HS_TRY(cli_parse(cli, argc, argv, &options, 2, 2, &arguments));
    if (!options.type)
        return hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "write --type f32",
                       "no type to convert to");
    HS_TRY(cli_find_model(cli, arguments.items[0], &path, &label));
    cli_interrupt_catch(NULL);
    enum hasten_status status =
        en_convert_f32(path, arguments.items[1], cli_interrupt_flag(), &cli->error);
    cli_interrupt_release();
    return status;
}

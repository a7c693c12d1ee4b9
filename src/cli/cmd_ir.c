/* hasten ir: the graph of a model, canonical or lowered, the plan, the passes. */
#include <string.h>

#include "cli/cli.h"
#include "engine/pass_list.h"

struct ir_options {
    struct cli_model_options model;
    const char *level;
    bool plan, passes;
};

#define AT(member) offsetof(struct ir_options, member)
/* clang-format off */
const struct hs_option cli_ir_options[] = {
    {"level", 0, HS_OPTION_CHOICE, AT(level), "LEVEL", "canonical|lowered", 0, 0,
     "what to print (default: lowered)"},
    {"plan", 0, HS_OPTION_FLAG, AT(plan), NULL, NULL, 0, 0,
     "print the plan instead: kernels, operands, bytes"},
    {"passes", 0, HS_OPTION_FLAG, AT(passes), NULL, NULL, 0, 0,
     "list the passes in the order they run; needs no model"},
    CLI_GRAPH_OPTIONS,
    {0},
};
/* clang-format on */

const char cli_ir_notes[] = "";

static void print_passes(void)
{
    for (int i = 0; i < ps_count(); i++) {
        const struct ps_pass_info *pass = ps_at(i);
        cli_print("%-16s %s%s\n", pass->name, pass->help, pass->required ? " (always runs)" : "");
    }
}

enum hasten_status cli_ir(struct cli *cli, int argc, char *const argv[])
{
    struct ir_options options = {.level = "lowered"};
    struct cli_arguments arguments;
    struct en_options engine = en_options_default();
    struct en_model *model = NULL;
    const char *path, *label;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, 1, &arguments));
    if (options.passes) {
        print_passes();
        return HASTEN_OK;
    }
    bool canonical = strcmp(options.level, "canonical") == 0 && !options.plan;
    HS_TRY(cli_engine_options(cli, &options.model, &engine));
    engine.without_plan = canonical;
    HS_TRY(cli_find_model(cli, arguments.count ? arguments.items[0] : NULL, &path, &label));
    HS_TRY(en_open(path, &engine, &cli->error, &model));
    struct hs_buffer out = {0};
    if (options.plan)
        pl_print(en_plan(model), &out);
    else
        ir_print(canonical ? en_canonical(model) : en_lowered(model), &out);
    enum hasten_status status = cli_print_buffer(cli, &out);
    en_close(&model);
    return status;
}

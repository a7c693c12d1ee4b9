/* hasten version. */
#include "cli/cli.h"

struct version_options {
    bool json;
};

#define AT(member) offsetof(struct version_options, member)
const struct hs_option cli_version_options[] = {
    CLI_JSON_OPTION,
    {0},
};

const char cli_version_notes[] = "";

enum hasten_status cli_version(struct cli *cli, int argc, char *const argv[])
{
    struct version_options options = {0};
    struct cli_arguments arguments;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, 0, &arguments));
    if (options.json)
        return cli_print_json(cli, json_pack("{s:s}", "version", HASTEN_VERSION));
    cli_print("hasten %s\n", HASTEN_VERSION);
    return HASTEN_OK;
}

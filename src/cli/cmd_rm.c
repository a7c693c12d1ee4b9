/* hasten rm: fetched models out of the cache. Never touches a path outside it. */
#include "cli/cli.h"

const struct hs_option cli_rm_options[] = {{0}};

const char cli_rm_notes[] = "";

enum hasten_status cli_rm(struct cli *cli, int argc, char *const argv[])
{
    struct cli_arguments arguments;
    struct ct_catalog *catalog = NULL;
    char none; /* no options, nothing to fill */
    HS_TRY(cli_parse(cli, argc, argv, &none, 1, argc, &arguments));
    HS_TRY(ct_open(&cli->error, &catalog));
    enum hasten_status status = HASTEN_OK;
    for (int i = 0; i < arguments.count && status == HASTEN_OK; i++) {
        const struct ct_model *model = NULL;
        status = ct_lookup(catalog, arguments.items[i], NULL, &cli->error, &model);
        if (status == HASTEN_OK)
            status = ct_remove(model, &cli->error);
    }
    ct_close(&catalog);
    return status;
}

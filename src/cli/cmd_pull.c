/* hasten pull: models of the catalog into the cache. */
#include "cli/catalog_names.h"
#include "cli/cli.h"

const struct hs_option cli_pull_options[] = {{0}};

const char cli_pull_notes[] = "Without NAME the default model is fetched.\n";

static enum hasten_status pull(struct cli *cli, const struct ct_model *model)
{
    char size[24];
    struct cli_progress progress = {.cli = cli};
    if (ct_is_present(model)) {
        cli_note(cli, "%s is already there", model->name);
        return HASTEN_OK;
    }
    enum hasten_status status = ct_pull(model, cli_progress_show, &progress, &cli->error);
    cli_progress_end(&progress);
    HS_TRY(status);
    cli_print("%s: %s\n", model->name, cli_size_text(model->size_bytes, size));
    return HASTEN_OK;
}

enum hasten_status cli_pull(struct cli *cli, int argc, char *const argv[])
{
    struct cli_arguments arguments;
    struct ct_catalog *catalog = NULL;
    char none; /* no options, nothing to fill */
    HS_TRY(cli_parse(cli, argc, argv, &none, 0, argc, &arguments));
    HS_TRY(ct_open(&cli->error, &catalog));
    enum hasten_status status = HASTEN_OK;
    const struct ct_model *model = ct_default(catalog);
    cli_interrupt_catch(NULL);
    if (arguments.count == 0)
        status = model ? pull(cli, model)
                       : hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "see hasten list",
                                 "no name given, and the catalog has no default");
    for (int i = 0; i < arguments.count && status == HASTEN_OK; i++) {
        status = catalog_find(cli, catalog, arguments.items[i], &model);
        if (status == HASTEN_OK)
            status = pull(cli, model);
    }
    ct_close(&catalog);
    return status;
}

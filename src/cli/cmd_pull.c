/* hasten pull: models of the catalog into the cache. */
#include "cli/cli.h"

const struct hs_option cli_pull_options[] = {{0}};

const char cli_pull_notes[] =
    "Without NAME the default model is fetched. A NAME is one of 'hasten list', a\n"
    "file of a model hub (hf:OWNER/NAME/FILE.gguf; hf:OWNER/NAME[:Q4_K_M] chooses\n"
    "one) or of any server (https://HOST/PATH.gguf). A download that was cut goes on\n"
    "where it stopped. HF_TOKEN, HF_ENDPOINT and https_proxy are heeded.\n";

static enum hasten_status pull(struct cli *cli, struct ct_catalog *catalog, const char *name)
{
    char size[24];
    struct cli_progress progress = {.cli = cli};
    const struct ct_ask ask = {cli_progress_show, &progress};
    const struct ct_model *model = NULL;
    HS_TRY(ct_lookup(catalog, name, &ask, &cli->error, &model));
    if (ct_is_present(model)) {
        cli_note(cli, "%s is already there", model->name);
        return HASTEN_OK;
    }
    enum hasten_status status = ct_pull(model, cli_progress_show, &progress, &cli->error);
    cli_progress_end(&progress);
    HS_TRY(status);
    /* Its size is known now. */
    HS_TRY(ct_lookup(catalog, model->name, NULL, &cli->error, &model));
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
        status = model ? pull(cli, catalog, model->name)
                       : hs_fail(&cli->error, HASTEN_INVALID_ARGUMENT, "see hasten list",
                                 "no name given, and the catalog has no default");
    for (int i = 0; i < arguments.count && status == HASTEN_OK; i++)
        status = pull(cli, catalog, arguments.items[i]);
    ct_close(&catalog);
    return status;
}

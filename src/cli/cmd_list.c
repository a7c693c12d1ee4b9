/* hasten list: models of the catalog, and which of them are here. */
#include "cli/cli.h"

struct list_options {
    bool json, names;
};

#define AT(member) offsetof(struct list_options, member)
const struct hs_option cli_list_options[] = {
    {"names", 0, HS_OPTION_FLAG, AT(names), NULL, NULL, 0, 0, "print the names only, one a line"},
    CLI_JSON_OPTION,
    {0},
};

const char cli_list_notes[] =
    "The default model is marked with a star. Models that were fetched from servers come\n"
    "after those of the catalog.\n";

static json_t *json_model(const struct ct_model *model)
{
    char *path = ct_path(model);
    json_t *value = json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:b,s:s,s:b}", "name", model->name, "description",
        model->description ? model->description : "", "size_bytes", (json_int_t)model->size_bytes,
        "licence", model->licence ? model->licence : "", "terms", model->terms ? model->terms : "",
        "present", ct_is_present(model), "path", path ? path : "", "default", model->is_default);
    hs_free(path);
    return value;
}

static void print_model(const struct ct_model *model)
{
    char size[24];
    char *path = ct_is_present(model) ? ct_path(model) : NULL;
    cli_print("%c %-20s %10s  %-16s %s\n", model->is_default ? '*' : ' ', model->name,
              cli_size_text(model->size_bytes, size), model->licence ? model->licence : "-",
              path ? path : "not fetched");
    hs_free(path);
}

enum hasten_status cli_list(struct cli *cli, int argc, char *const argv[])
{
    struct list_options options = {0};
    struct cli_arguments arguments;
    struct ct_catalog *catalog = NULL;
    HS_TRY(cli_parse(cli, argc, argv, &options, 0, 0, &arguments));
    HS_TRY(ct_open(&cli->error, &catalog));
    json_t *models = options.json ? json_array() : NULL;
    for (int i = 0; i < ct_count(catalog); i++) {
        if (options.json)
            json_array_append_new(models, json_model(ct_at(catalog, i)));
        else if (options.names)
            cli_print("%s\n", ct_at(catalog, i)->name);
        else
            print_model(ct_at(catalog, i));
    }
    enum hasten_status status = options.json ? cli_print_json(cli, models) : HASTEN_OK;
    ct_close(&catalog);
    return status;
}

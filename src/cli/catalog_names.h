/* A catalog entry by the name a user typed, or an error with the nearest name. */
#ifndef HASTEN_CLI_CATALOG_NAMES_H
#define HASTEN_CLI_CATALOG_NAMES_H

#include "cli/cli.h"

HS_MUST_USE enum hasten_status catalog_find(struct cli *cli, const struct ct_catalog *catalog,
                                            const char *name, const struct ct_model **model_out);

#endif

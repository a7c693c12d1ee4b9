/* A model that is served: opened, with its service and its figures. */
#ifndef HASTEN_SERVE_SERVED_MODEL_H
#define HASTEN_SERVE_SERVED_MODEL_H

#include "engine/service.h"
#include "serve/serve_metrics.h"

struct sv_model {
    char *name; /* what clients call it */
    int64_t created_s;
    struct en_model *model;
    struct en_service *service;
    struct sv_metrics metrics;
};

#endif

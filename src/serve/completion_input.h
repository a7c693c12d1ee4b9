/* Prompts and messages of a request; for completion_spec.c. */
#ifndef HASTEN_SERVE_COMPLETION_INPUT_H
#define HASTEN_SERVE_COMPLETION_INPUT_H

#include "serve/completion_spec.h"

bool sv_read_messages(struct sv_spec *spec, struct sv_problem *problem);
bool sv_read_prompts(struct sv_spec *spec, struct sv_problem *problem);

#endif

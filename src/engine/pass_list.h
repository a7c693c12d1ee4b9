/*
 * The passes that en_open lowers with, for programs that list them (ps_count, ps_at). Programs may
 * not include passes/ themselves: running passes is the engine's business.
 */
#ifndef HASTEN_ENGINE_PASS_LIST_H
#define HASTEN_ENGINE_PASS_LIST_H

#include "passes/pass.h"

#endif

/* What the server answers: method, path, handler. One row a route. */
#ifndef HASTEN_SERVE_ROUTE_TABLE_H
#define HASTEN_SERVE_ROUTE_TABLE_H

/* clang-format off */
#define SV_ROUTE_TABLE(X)                                       \
    X("GET",  "/health",              sv_get_ready)             \
    X("GET",  "/health/live",         sv_get_live)              \
    X("GET",  "/health/ready",        sv_get_ready)             \
    X("GET",  "/version",             sv_get_version)           \
    X("GET",  "/metrics",             sv_get_metrics)           \
    X("GET",  "/v1/models",           sv_get_models)            \
    X("POST", "/v1/completions",      sv_post_completions)      \
    X("POST", "/v1/chat/completions", sv_post_chat)             \
    X("POST", "/v1/embeddings",       sv_post_embeddings)       \
    X("POST", "/tokenize",            sv_post_tokenize)         \
    X("POST", "/detokenize",          sv_post_detokenize)
/* clang-format on */

#endif

/*
 * Answers and chunks of streams in OpenAI's shapes; for completion_job.c, under the job's lock.
 *
 * The engine gives whole characters, so a chunk never cuts one. A chunk is written straight into
 * the output: no tree, no allocation but the growing of a buffer.
 */
#include <inttypes.h>
#include <string.h>

#include "serve/completion_job.h"
#include "serve/json_out.h"

static struct hs_str view(const struct hs_buffer *buffer)
{
    return (struct hs_str){buffer->data ? buffer->data : "", buffer->size_bytes};
}

/* ---- log probabilities ---- */

static void piece_of(const struct sv_job *job, int32_t id, struct hs_buffer *piece)
{
    hs_buffer_clear(piece);
    hs_buffer_append(piece, "", 0);
    tx_decode_token(en_tokenizer(job->model->model), id, true, piece);
}

/* "token", "logprob", "bytes" of the chat's form. */
static void put_token(const struct sv_job *job, int32_t id, double logprob, struct hs_buffer *out)
{
    struct hs_buffer piece = {0};
    piece_of(job, id, &piece);
    sv_put(out, "\"token\":");
    sv_put_text(out, view(&piece));
    sv_put(out, ",\"logprob\":");
    sv_put_logprob(out, logprob);
    sv_put(out, ",\"bytes\":[");
    for (size_t i = 0; i < piece.size_bytes; i++)
        hs_buffer_printf(out, "%s%u", i ? "," : "", (unsigned char)piece.data[i]);
    sv_put(out, "]");
    hs_buffer_free(&piece);
}

static int64_t record_count(const struct sv_choice *choice)
{
    return (int64_t)(choice->records.size_bytes / sizeof(struct sv_record));
}

static struct sv_record record_at(const struct sv_choice *choice, int64_t i)
{
    struct sv_record record;
    memcpy(&record, choice->records.data + (size_t)i * sizeof record, sizeof record);
    return record;
}

static void put_chat_logprobs(const struct sv_choice *choice, struct hs_buffer *out)
{
    const struct sv_job *job = choice->job;
    sv_put(out, "{\"content\":[");
    for (int64_t i = 0; i < record_count(choice); i++) {
        struct sv_record record = record_at(choice, i);
        hs_buffer_printf(out, "%s{", i ? "," : "");
        put_token(job, record.id, record.logprob, out);
        sv_put(out, ",\"top_logprobs\":[");
        for (int32_t k = 0; k < record.top_count; k++) {
            hs_buffer_printf(out, "%s{", k ? "," : "");
            put_token(job, record.top[k].id, record.top[k].logprob, out);
            sv_put(out, "}");
        }
        sv_put(out, "]}");
    }
    sv_put(out, "],\"refusal\":null}");
}

static size_t characters(struct hs_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size_bytes; i++)
        count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return count;
}

static void put_top(const struct sv_job *job, const struct sv_record *record,
                    struct hs_buffer *piece, struct hs_buffer *out)
{
    sv_put(out, "{");
    for (int32_t k = 0; k < record->top_count; k++) {
        piece_of(job, record->top[k].id, piece);
        sv_put(out, k ? "," : "");
        sv_put_text(out, view(piece));
        sv_put(out, ":");
        sv_put_logprob(out, record->top[k].logprob);
    }
    sv_put(out, "}");
}

/* Four arrays side by side; one walk over the records for each. */
static void put_text_logprobs(struct sv_choice *choice, struct hs_buffer *out)
{
    static const char *const names[] = {"{\"tokens\":[", "],\"token_logprobs\":[",
                                        "],\"top_logprobs\":[", "],\"text_offset\":["};
    struct hs_buffer piece = {0};
    for (int array = 0; array < 4; array++) {
        sv_put(out, names[array]);
        for (int64_t i = 0; i < record_count(choice); i++) {
            struct sv_record record = record_at(choice, i);
            piece_of(choice->job, record.id, &piece);
            sv_put(out, i ? "," : "");
            if (array == 0)
                sv_put_text(out, view(&piece));
            else if (array == 1)
                sv_put_logprob(out, record.logprob);
            else if (array == 2)
                put_top(choice->job, &record, &piece, out);
            else
                hs_buffer_printf(out, "%zu", choice->text_offset);
            choice->text_offset += array == 3 ? characters(view(&piece)) : 0;
        }
    }
    sv_put(out, "]}");
    hs_buffer_free(&piece);
}

/* "logprobs": of the records that were not handed out yet. */
static void put_logprobs(struct sv_choice *choice, struct hs_buffer *out)
{
    sv_put(out, ",\"logprobs\":");
    if (choice->job->spec.logprobs < 0 || choice->records.size_bytes == 0)
        sv_put(out, "null");
    else if (choice->job->spec.form == SV_CHAT)
        put_chat_logprobs(choice, out);
    else
        put_text_logprobs(choice, out);
    hs_buffer_clear(&choice->records);
}

/* ---- shared pieces ---- */

static const char *object_of(const struct sv_job *job)
{
    if (job->spec.form != SV_CHAT)
        return "text_completion";
    return job->spec.is_stream ? "chat.completion.chunk" : "chat.completion";
}

/* Once: what every chunk begins with. */
void sv_render_head(struct sv_job *job)
{
    struct hs_buffer *out = &job->head;
    hs_buffer_printf(out,
                     "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", job->id,
                     object_of(job), job->created_s);
    sv_put_text(out, hs_str_of(job->model->name));
    hs_buffer_printf(out, ",\"system_fingerprint\":\"%s\",\"choices\":[",
                     en_recipe(job->model->model));
}

static void put_head(const struct sv_job *job, struct hs_buffer *out)
{
    hs_buffer_append(out, job->head.data, job->head.size_bytes);
}

/* Each prompt counts once, however many answers it got. */
static void put_usage(const struct sv_job *job, struct hs_buffer *out)
{
    int64_t prompt = 0, completion = 0, cached = 0;
    for (int32_t i = 0; i < job->choice_count; i++) {
        const struct sv_choice *choice = &job->choices[i];
        completion += choice->generated.completion_tokens;
        if (i % job->spec.n)
            continue;
        prompt += job->prompts[choice->prompt].count;
        cached += choice->cached_tokens;
    }
    hs_buffer_printf(out,
                     "\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
                     ",\"total_tokens\":%" PRId64
                     ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRId64 "}}",
                     prompt, completion, prompt + completion, cached);
}

/* ---- streams ---- */

static void begin_chunk(const struct sv_choice *choice, struct hs_buffer *out)
{
    hs_buffer_append(out, "data: ", 6);
    put_head(choice->job, out);
    hs_buffer_printf(out, "{\"index\":%d,", (int)choice->index);
}

static void end_chunk(const struct sv_choice *choice, const char *finish, struct hs_buffer *out)
{
    if (finish)
        hs_buffer_printf(out, ",\"finish_reason\":\"%s\"}]", finish);
    else
        sv_put(out, ",\"finish_reason\":null}]");
    if (choice->job->spec.include_usage)
        sv_put(out, ",\"usage\":null");
    hs_buffer_append(out, "}\n\n", 3);
}

/* The first chunk of a chat's choice names the role. */
static void put_role(struct sv_choice *choice)
{
    struct hs_buffer *out = &choice->job->out;
    if (choice->has_role)
        return;
    choice->has_role = true;
    if (choice->job->spec.form != SV_CHAT)
        return;
    begin_chunk(choice, out);
    sv_put(out, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null");
    end_chunk(choice, NULL, out);
}

void sv_render_piece(struct sv_choice *choice, const char *text, size_t size_bytes)
{
    struct hs_buffer *out = &choice->job->out;
    put_role(choice);
    begin_chunk(choice, out);
    sv_put(out, choice->job->spec.form == SV_CHAT ? "\"delta\":{\"content\":" : "\"text\":");
    sv_put_text(out, (struct hs_str){text, size_bytes});
    sv_put(out, choice->job->spec.form == SV_CHAT ? "}" : "");
    put_logprobs(choice, out);
    end_chunk(choice, NULL, out);
}

void sv_render_finish(struct sv_choice *choice)
{
    struct hs_buffer *out = &choice->job->out;
    put_role(choice);
    begin_chunk(choice, out);
    sv_put(out, choice->job->spec.form == SV_CHAT ? "\"delta\":{}" : "\"text\":\"\"");
    put_logprobs(choice, out);
    end_chunk(choice, en_finish_name(choice->generated.finish), out);
}

void sv_render_end(struct sv_job *job)
{
    struct hs_buffer *out = &job->out;
    if (job->problem.http_status != 0) { /* the status line is gone already: an event, no [DONE] */
        hs_buffer_append(out, "data: ", 6);
        sv_problem_json(&job->problem, out);
        hs_buffer_append(out, "\n\n", 2);
        return;
    }
    if (job->is_cancelled)
        return;
    if (job->spec.include_usage) {
        hs_buffer_append(out, "data: ", 6);
        put_head(job, out);
        sv_put(out, "],");
        put_usage(job, out);
        hs_buffer_append(out, "}\n\n", 3);
    }
    sv_put(out, "data: [DONE]\n\n");
}

/* ---- whole answers ---- */

void sv_render_answer(struct sv_job *job, struct hs_buffer *out)
{
    bool is_chat = job->spec.form == SV_CHAT;
    put_head(job, out);
    for (int32_t i = 0; i < job->choice_count; i++) {
        struct sv_choice *choice = &job->choices[i];
        hs_buffer_printf(out, "%s{\"index\":%d,%s", i ? "," : "", (int)i,
                         is_chat ? "\"message\":{\"role\":\"assistant\",\"content\":"
                                 : "\"text\":");
        sv_put_text(out, view(&choice->text));
        sv_put(out, is_chat ? ",\"refusal\":null}" : "");
        put_logprobs(choice, out);
        hs_buffer_printf(out, ",\"finish_reason\":\"%s\"}",
                         en_finish_name(choice->generated.finish));
    }
    sv_put(out, "],");
    put_usage(job, out);
    sv_put(out, "}\n");
}

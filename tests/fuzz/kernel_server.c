#include "kernel_server.h"

#include "fuzz.h"

static const char created[] =
    "{\"id\":9001,\"email\":\"new@example.com\",\"name\":\"new\",\"slug\":\"new\","
    "\"fields\":[],\"tags\":[]}";

/* The record that a path names, or NULL. */
static const char *record_at(const struct world *w, const char *url)
{
    for (int res = 0; res < RES_COUNT; res++) {
        const char *path = resource_row((enum resource)res)->list_path;
        const char *at = strstr(url, path);
        if (!at || at[strlen(path)] != '/')
            continue;
        at += strlen(path) + 1;
        const struct world_table *t = &w->tables[res];
        for (size_t i = 0; i < t->count; i++)
            if (strcmp(t->rows[i].id, at) == 0)
                return t->rows[i].text;
    }
    return NULL;
}

static void respond(void *data, const struct scripted_request *request,
                    struct scripted_answer *answer)
{
    struct world *w = data;
    if (request->method == HTTP_GET) {
        world_respond(w, request, answer);
        return;
    }
    answer->delay_ms = w->delay_ms;
    answer->failure = w->failure;
    answer->status = w->status;
    answer->body = w->body;
    if (w->status || w->failure)
        return;
    const char *text = record_at(w, request->url);
    answer->status = request->method == HTTP_POST     ? 201
                     : request->method == HTTP_DELETE ? 204
                                                      : 200;
    answer->body = request->method == HTTP_POST     ? created
                   : request->method == HTTP_DELETE ? NULL
                                                    : text;
}

void kernel_server_fill(struct world *w)
{
    scripted_respond(&w->server, respond, w);
    world_put(w, RES_TAG, "{\"id\":1,\"name\":\"vip\"}");
    world_put(w, RES_TAG, "{\"id\":2,\"name\":\"../x\"}");
    world_put(w, RES_FIELD, "{\"slug\":\"first_name\",\"fieldName\":\"First name\"}");
    world_put(w, RES_FIELD, "{\"slug\":\"surname\",\"fieldName\":\"Surname\"}");
    world_put(
        w, RES_CONTACT,
        "{\"id\":5,\"email\":\"jane@example.com\",\"locale\":\"en\",\"fields\":[{\"fieldName\":"
        "\"First name\",\"slug\":\"first_name\",\"value\":\"Jane\"},{\"fieldName\":\"Surname\","
        "\"slug\":\"surname\",\"value\":null}],\"tags\":[{\"id\":1,\"name\":\"vip\"}]}");
    world_put(
        w, RES_CONTACT,
        "{\"id\":6,\"email\":\"joe@example.com\",\"locale\":\"en\",\"fields\":[],\"tags\":[]}");
    world_put(w, RES_COURSE, "{\"id\":1,\"name\":\"Course\"}");
    world_put(w, RES_ENROLLMENT, "{\"id\":1,\"course\":{\"id\":1},\"contact\":{\"id\":5}}");
    world_put(w, RES_COMMUNITY, "{\"id\":1,\"name\":\"Community\"}");
    world_put(w, RES_MEMBERSHIP, "{\"id\":1,\"community\":{\"id\":1},\"contact\":{\"id\":5}}");
    world_put(w, RES_SUBSCRIPTION, "{\"id\":1,\"contact\":{\"id\":5}}");
    world_put(w, RES_WEBHOOK,
              "{\"id\":\"00000000-0000-0000-0000-000000000001\",\"name\":\"hook\",\"url\":"
              "\"https://example.com\",\"active\":true,\"subscriptions\":[{\"event\":\"E\"}]}");
}

void kernel_server_no_log(enum fuse_log_level level UNUSED, const char *fmt UNUSED,
                          va_list ap UNUSED)
{
}

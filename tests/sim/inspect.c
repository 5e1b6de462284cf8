/* sim: the last look. Everybody has gone, the API is well, everything is asked for anew: now what
 * is seen is exactly what is there, for exactly what it may cost. */
#include "acts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX 40 /* records */

static size_t there_now(const struct sim *s, enum resource res)
{
    size_t count = 0;
    for (size_t i = 0; i < s->entity_count; i++)
        count += s->entities[i]->res == res && entity_now(s->entities[i]);
    return count;
}

/* Contract, section 3. Where a walk is split, luck may cost a request or two beyond 5 %
 * (src/store/split.c). */
static uint64_t may_cost(const struct sim *s, size_t records)
{
    size_t page = s->plan->page_max ? s->plan->page_max : API_PAGE_LIMIT;
    uint64_t pages = records ? (records + page - 1) / page : 1;
    return pages + (records >= 2000 && s->plan->jobs > 2 ? pages / 20 + 2 : 0);
}

static void look_at_names(struct sim *s, const struct names *n)
{
    size_t found = 0;
    for (size_t i = 0; i < n->count; i++) {
        char id[64];
        snprintf(id, sizeof(id), "%.*s", (int)strcspn(n->names[i], "."), n->names[i]);
        const struct entity *e = server_find(s, RES_CONTACT, id);
        if (!e || strspn(n->names[i], "0123456789") != strlen(id) ||
            strcmp(n->names[i] + strlen(id), ".json") != 0)
            continue;
        found++;
        if (!entity_now(e))
            sim_fail(s, "at the end, %s is listed, and gone", id);
    }
    if (found != there_now(s, RES_CONTACT))
        sim_fail(s, "at the end, %zu contacts are listed, and %zu there", found,
                 there_now(s, RES_CONTACT));
}

static void look_at_record(struct person *p, struct entity *e)
{
    struct sim *s = p->sim;
    const struct version *now = entity_now(e);
    char path[SIM_PATH];
    struct tree_attr attr;
    record_path(e, ".json", path);
    int r = sys_stat(p, path, &attr);
    int fd = r == 0 ? sys_open(p, path, O_RDONLY) : r;
    char *text = fd >= 0 ? read_fd(p, fd) : NULL;
    if (fd >= 0)
        sys_close(p, fd);
    if (!text)
        sim_fail(s, "at the end, %s cannot be read: %d", path, fd);
    else if (attr.size != now->pretty_len || strcmp(text, now->pretty) != 0)
        sim_fail(s, "at the end, %s is not what it is on the server: %s", path, text);
    free(text);
}

static bool ls(struct person *p, struct names *n)
{
    *n = (struct names){0};
    return sys_list(p, "contacts", p->sim->plan->bulk ? 300 : 30, add_name, n) == 0;
}

void inspect_run(struct person *p)
{
    struct sim *s = p->sim;
    struct names n;
    bool quota = s->plan->quota_limit > 0; /* then it may have to wait for longer than it may */
    p->process = SHELL;
    tree_refresh_all(s->tree); /* SIGHUP */
    person_sleep(p, 100);
    int64_t began_ms = sim_now(s);
    uint64_t before = s->requests, most = may_cost(s, there_now(s, RES_CONTACT));
    if (!ls(p, &n)) {
        if (!quota)
            sim_fail(s, "at the end, contacts/ cannot be listed");
        free(n.names);
        return;
    }
    if (!quota)
        look_at_names(s, &n);
    sim_trace(s, "the listing has cost %" PRIu64 " requests of %" PRIu64, s->requests - before,
              most);
    if (s->requests - before > most && !quota)
        sim_fail(s, "a listing has cost %" PRIu64 " requests, and may cost %" PRIu64,
                 s->requests - before, most);
    /* What the pages have brought costs nothing more. */
    before = s->requests;
    size_t from = n.count > READ_MAX ? rng_below(&p->rng, n.count - READ_MAX) : 0;
    for (size_t i = from; i < n.count && i < from + READ_MAX && !s->failure[0]; i++) {
        char id[64];
        snprintf(id, sizeof(id), "%.*s", (int)strcspn(n.names[i], "."), n.names[i]);
        struct entity *e = server_find(s, RES_CONTACT, id);
        if (e && entity_now(e) && !quota)
            look_at_record(p, e);
    }
    free(n.names);
    if (ls(p, &n) && !quota)
        look_at_names(s, &n);
    free(n.names);
    if (s->requests > before && s->plan->ttl_ms > sim_now(s) - began_ms)
        sim_fail(s, "what was listed is read, and costs %" PRIu64 " requests more",
                 s->requests - before);
}

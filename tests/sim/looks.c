/* sim: people who look: each act is a program that reads. */
#include "acts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct entity *any_contact(struct person *p)
{
    /* Where people meet, things happen at once. */
    struct entity *hot = server_find(p->sim, RES_CONTACT, "2");
    if (hot && rng_below(&p->rng, p->sim->plan->crowded ? 8 : 3) < (p->sim->plan->crowded ? 7 : 1))
        return hot;
    return server_any(p->sim, RES_CONTACT, &p->rng, rng_below(&p->rng, 3) > 0);
}

/* Longer than most answers take, and shorter. */
void think(struct person *p)
{
    static const uint64_t ranges[] = {2, 50, 50, 3000};
    if (rng_below(&p->rng, 3) == 0)
        person_sleep(p, (int64_t)rng_below(&p->rng, ranges[rng_below(&p->rng, 4)]) + 1);
}

void record_path(const struct entity *e, const char *suffix, char out[SIM_PATH])
{
    snprintf(out, SIM_PATH, "%s/%s%s", e->res == RES_TAG ? "tags" : "contacts", e->id, suffix);
}

/* ---- reading ---- */

/* In pieces; what was read, or NULL. */
char *read_fd(struct person *p, int fd)
{
    char *text = calloc(1, FILE_MAX + 1);
    size_t len = 0;
    ssize_t n = 1;
    bool all = rng_below(&p->rng, 2);
    assert_non_null(text);
    p->pieces = 0;
    while (n > 0 && len < FILE_MAX) {
        size_t piece = 1 + rng_below(&p->rng, rng_below(&p->rng, 2) ? 1000 : 100);
        n = sys_read(p, fd, len, all ? FILE_MAX - len : MIN(piece, FILE_MAX - len), text + len);
        len += n > 0 ? (size_t)n : 0;
        p->pieces += n > 0;
        if (n > 0 && rng_below(&p->rng, 4) == 0)
            think(p);
    }
    if (n < 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *read_record(struct person *p, struct entity *e)
{
    struct sim *s = p->sim;
    char path[SIM_PATH];
    struct tree_attr attr;
    record_path(e, ".json", path);
    if (rng_below(&p->rng, 2)) {
        uint64_t began = ++s->tick;
        int r = sys_stat(p, path, &attr);
        if (r == 0)
            check_size(s, e, attr.size, began);
        else
            check_missing(s, e, r);
        think(p);
    }
    int64_t began_ms = sim_now(s);
    uint64_t began = ++s->tick;
    int fd = sys_open(p, path, O_RDONLY);
    check_missing(s, e, fd);
    if (fd < 0)
        return NULL;
    enum node_kind kind = node_from_ino(p->fds[fd].ino).kind;
    char *text = read_fd(p, fd);
    /* By that name there may be what somebody is about to write, and will be refused. */
    if (sys_close(p, fd) < 0 || !text || (kind != KIND_CONTACT && kind != KIND_TAG)) {
        free(text);
        return NULL;
    }
    check_read(s, e, text, strlen(text), began, began_ms, p->pieces);
    return text;
}

void act_cat(struct person *p)
{
    struct entity *e =
        rng_below(&p->rng, 4) ? any_contact(p) : server_any(p->sim, RES_TAG, &p->rng, true);
    struct entity *many = rng_below(&p->rng, 2) ? long_any(p->sim, &p->rng) : NULL;
    e = many ? many : e;
    p->process = SHELL;
    if (e)
        free(read_record(p, e));
}

/* A value alone. */
void act_cat_field(struct person *p)
{
    char path[SIM_PATH];
    struct entity *e = any_contact(p);
    p->process = SHELL;
    if (!e)
        return;
    record_path(e, "/fields/city", path);
    int64_t began_ms = sim_now(p->sim);
    int fd = sys_open(p, path, O_RDONLY);
    if (fd < 0)
        return;
    char *text = read_fd(p, fd);
    if (sys_close(p, fd) == 0 && text)
        check_value(p->sim, e, "city", text, began_ms);
    free(text);
}

void add_name(void *data, const struct entry *entry)
{
    struct names *n = data;
    if (n->count == n->cap) {
        n->cap = n->cap ? n->cap * 2 : 64;
        n->names = realloc(n->names, n->cap * sizeof(*n->names));
        assert_non_null(n->names);
    }
    snprintf(n->names[n->count++], sizeof(*n->names), "%.63s", entry->name);
}

#define GREP_MAX 24 /* files; enough for some to be put ahead */

static void list_records(struct person *p, bool read_some)
{
    struct sim *s = p->sim;
    struct names n = {0};
    int64_t began_ms = sim_now(s);
    uint64_t began = ++s->tick;
    size_t room = 1 + rng_below(&p->rng, rng_below(&p->rng, 2) ? 4 : 40);
    if (s->plan->bulk)
        room *= 10;
    int r = sys_list(p, "contacts", room, add_name, &n);
    if (r == 0)
        check_list(s, n.names, n.count, began, began_ms);
    size_t from = n.count > GREP_MAX ? rng_below(&p->rng, n.count - GREP_MAX) : 0;
    for (size_t i = from; r == 0 && read_some && i < n.count && i < from + GREP_MAX; i++) {
        char id[64];
        snprintf(id, sizeof(id), "%.*s", (int)strcspn(n.names[i], "."), n.names[i]);
        struct entity *e = server_find(s, RES_CONTACT, id);
        if (e)
            free(read_record(p, e));
    }
    free(n.names);
}

void act_ls(struct person *p)
{
    p->process = SHELL;
    list_records(p, false);
}

void act_grep(struct person *p)
{
    p->process = SHELL;
    list_records(p, true);
}

void act_ls_parts(struct person *p)
{
    static const char *const below[] = {"/tags", "/fields", "/enrollments", "/memberships"};
    char path[SIM_PATH];
    struct names n = {0};
    struct entity *e = any_contact(p);
    p->process = SHELL;
    if (!e)
        return;
    record_path(e, below[rng_below(&p->rng, ARRAY_SIZE(below))], path);
    sys_list(p, path, 1 + rng_below(&p->rng, 5), add_name, &n);
    free(n.names);
}

/* A pager, a slow copy: open for long, a page at a time. */
void act_less(struct person *p)
{
    struct sim *s = p->sim;
    char path[SIM_PATH], text[FILE_MAX + 1] = "";
    struct entity *e = any_contact(p);
    size_t len = 0;
    ssize_t n = 1;
    p->process = SHELL;
    if (!e)
        return;
    record_path(e, ".json", path);
    int64_t began_ms = sim_now(s);
    uint64_t began = ++s->tick;
    int fd = sys_open(p, path, O_RDONLY);
    if (fd < 0)
        return;
    bool record = node_from_ino(p->fds[fd].ino).kind == KIND_CONTACT;
    while (n > 0 && len < FILE_MAX) {
        n = sys_read(p, fd, len, SIM_PAGE, text + len);
        len += n > 0 ? (size_t)n : 0;
        p->pieces = 2;
        person_sleep(p, 1 + (int64_t)rng_below(&p->rng, 1500));
    }
    if (sys_close(p, fd) == 0 && n == 0 && record)
        check_read(s, e, text, len, began, began_ms, p->pieces);
}

/* By its own name: a symlink. */
void act_cat_email(struct person *p)
{
    char path[SIM_PATH];
    struct entity *e = any_contact(p);
    char *email = e ? record_value(entity_now(e)->text, "email") : NULL;
    p->process = SHELL;
    if (!email)
        return;
    snprintf(path, sizeof(path), "contacts/%.*s.json", (int)strlen(email) - 2, email + 1);
    free(email);
    int64_t began_ms = sim_now(p->sim);
    uint64_t began = ++p->sim->tick;
    int fd = sys_open(p, path, O_RDONLY);
    char *text = fd >= 0 ? read_fd(p, fd) : NULL;
    if (fd >= 0 && sys_close(p, fd) == 0 && text)
        check_read(p->sim, e, text, strlen(text), began, began_ms, p->pieces);
    free(text);
}

void act_refresh(struct person *p)
{
    struct sim *s = p->sim;
    static const char line[] = "refresh\n";
    struct entity *e = any_contact(p);
    p->process = SHELL;
    if (e) /* so that there is something to be had anew */
        free(read_record(p, e));
    person_sleep(p, 1 + (int64_t)rng_below(&p->rng, 2000));
    if (s->plan->ro) { /* SIGHUP */
        if (s->alive && !s->over) {
            s->refreshed = ++s->tick;
            s->refreshed_ms = sim_now(s);
            tree_refresh_all(s->tree);
        }
        return;
    }
    int fd = sys_open(p, ".systemefs/ctl", O_WRONLY | O_TRUNC);
    if (fd < 0)
        return;
    uint64_t began = ++s->tick;
    int64_t began_ms = sim_now(s);
    int r = sys_write(p, fd, line, strlen(line), 0);
    sys_close(p, fd);
    if (r == 0) {
        s->refreshed = began;
        s->refreshed_ms = began_ms;
    }
    if (e && r == 0)
        free(read_record(p, e));
}

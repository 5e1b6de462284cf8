/* sim: people who change something: each act is a program, or an editor with its way of saving. */
#include "acts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- saving ---- */

/* The text with another value of a member, or of a pair. NULL: it has none. */
static char *edited(const char *text, const char *member, const char *value)
{
    char quoted[64];
    char *out;
    snprintf(quoted, sizeof(quoted), "\"slug\": \"%s\"", member);
    const char *at = strstr(text, quoted);
    if (at)
        at = strstr(at, "\"value\": ");
    snprintf(quoted, sizeof(quoted), "\"%s\": ", member);
    size_t skip = at ? strlen("\"value\": ") : strlen(quoted);
    if (!at)
        at = strstr(text, quoted);
    if (!at)
        return NULL;
    at += skip;
    size_t old = *at == '"' ? 2 + strcspn(at + 1, "\"") : strcspn(at, ",\n}");
    assert_true(asprintf(&out, "%.*s\"%s\"%s", (int)(at - text), text, value, at + old) >= 0);
    return out;
}

/* One edit of a record that has just been read. */
struct edit {
    struct deed *deed;
    char path[SIM_PATH], *text;
    unsigned life;
};

/* `base` is the record as the person has it now, and becomes the deed's. */
static bool edit_of(struct person *p, const struct entity *entity, char *base, struct edit *e)
{
    static const char *const members[] = {"locale", "city", "first_name"};
    e->deed = deed_new(p, DEED_EDIT, RES_CONTACT, entity->id);
    record_path(entity, ".json", e->path);
    snprintf(e->deed->path, SIM_PATH, "%s", e->path);
    snprintf(e->deed->member, sizeof(e->deed->member), "%s", members[rng_below(&p->rng, 3)]);
    e->deed->base = base;
    e->deed->text = true;
    e->text = edited(base, e->deed->member, e->deed->token);
    return e->text != NULL;
}

static bool edit_begin(struct person *p, struct edit *e)
{
    struct entity *entity = any_contact(p);
    p->process = EDITOR;
    *e = (struct edit){.life = p->sim->life};
    if (!entity)
        return false;
    char *base = read_record(p, entity);
    think(p);
    /* An editor that has the text of a mount that is gone: see README. */
    if (!base || p->sim->life != e->life) {
        free(base);
        return false;
    }
    return edit_of(p, entity, base, e);
}

/* Writes it, in one or two pieces, and closes it. */
static int write_all(struct person *p, int fd, struct deed *d, const char *text, bool fsync)
{
    size_t len = strlen(text), first = rng_below(&p->rng, 3) ? len : rng_below(&p->rng, len);
    deed_asked(p, d);
    int r = first ? sys_write(p, fd, text, first, 0) : 0;
    if (r == 0 && first < len)
        r = sys_write(p, fd, text + first, len - first, first);
    if (r != 0)
        d->excused = true; /* it was told at once that this cannot be taken */
    else
        d->written = true;
    if (r == 0)
        think(p);
    int synced = r == 0 && fsync ? sys_fsync(p, fd) : 0;
    int closed = sys_close(p, fd);
    return r ? r : synced ? synced : closed;
}

/* Whoever has saved likes to see it. */
static void look_at(struct person *p, const struct deed *d)
{
    struct entity *e = server_find(p->sim, d->res, d->id);
    if (e && d->state == DEED_TOLD && d->result == 0 && rng_below(&p->rng, 2))
        free(read_record(p, e));
}

/* echo, cp, nano: the file itself, from its beginning. */
static void act_save_in_place(struct person *p)
{
    struct edit e;
    int fd = -1;
    if (edit_begin(p, &e))
        fd = sys_open(p, e.path, O_WRONLY | O_TRUNC | (rng_below(&p->rng, 2) ? O_CREAT : 0));
    if (fd >= 0)
        deed_told(p, e.deed, write_all(p, fd, e.deed, e.text, rng_below(&p->rng, 2)));
    if (fd >= 0)
        look_at(p, e.deed);
    free(e.text);
}

/* One descriptor (r+ of a script) to read, write, and write once more. */
static void act_save_twice(struct person *p)
{
    struct edit e;
    struct entity *entity = any_contact(p);
    p->process = EDITOR;
    if (!entity)
        return;
    record_path(entity, ".json", e.path);
    int fd = sys_open(p, e.path, O_RDWR);
    e.life = p->sim->life;
    char *base = fd >= 0 ? read_fd(p, fd) : NULL;
    if (fd < 0 || !base || !edit_of(p, entity, base, &e)) {
        if (fd >= 0)
            sys_close(p, fd);
        if (base && fd >= 0)
            free(e.text);
        return;
    }
    think(p);
    size_t len = strlen(e.text);
    /* Not truncated: what stood behind it is overwritten with blanks, as a document may end. */
    size_t old = strlen(e.deed->base), room = MAX(len, old);
    char *text = malloc(room + 1);
    assert_non_null(text);
    memset(text, ' ', room);
    memcpy(text, e.text, len);
    text[room] = '\0';
    deed_asked(p, e.deed);
    int r = sys_write(p, fd, text, room, 0);
    e.deed->excused = r != 0;
    e.deed->written = r == 0;
    r = r == 0 ? sys_fsync(p, fd) : r;
    deed_told(p, e.deed, r);
    if (r == 0 && p->sim->life == e.life) {
        struct deed *d = deed_new(p, DEED_EDIT, RES_CONTACT, e.deed->id);
        snprintf(d->path, SIM_PATH, "%s", e.path);
        snprintf(d->member, sizeof(d->member), "%s", e.deed->member);
        d->base = strdup(text);
        d->text = true;
        char *again = edited(text, d->member, d->token);
        /* Tokens grow: it covers the old text. */
        if (again && strlen(again) >= strlen(text)) {
            think(p);
            deed_told(p, d, write_all(p, fd, d, again, false));
        } else {
            sys_close(p, fd);
        }
        free(again);
    } else {
        sys_close(p, fd);
    }
    free(text);
    free(e.text);
}

/* r+ of a script, that writes the new text over the old one and cuts off the rest, or begins with
 * that. */
static void act_save_cut(struct person *p)
{
    struct edit e;
    int fd = -1, r = 0;
    bool first = rng_below(&p->rng, 2);
    if (edit_begin(p, &e))
        fd = sys_open(p, e.path, O_RDWR);
    if (fd >= 0) {
        size_t len = strlen(e.text);
        deed_asked(p, e.deed);
        r = first ? sys_ftruncate(p, fd, 0) : 0;
        r = r == 0 ? sys_write(p, fd, e.text, len, 0) : r;
        r = r == 0 && !first ? sys_ftruncate(p, fd, len) : r;
        e.deed->excused = r != 0;
        e.deed->written = r == 0;
        if (r == 0)
            think(p);
        int closed = sys_close(p, fd);
        deed_told(p, e.deed, r ? r : closed);
        look_at(p, e.deed);
    }
    free(e.text);
}

/* The writer has given its descriptor away, and whoever closes it last has written nothing: nobody
 * hears the verdict, and the text is sent, or kept. */
static void act_give_away(struct person *p)
{
    struct edit e;
    int fd = -1;
    if (edit_begin(p, &e))
        fd = sys_open(p, e.path, O_WRONLY | O_TRUNC);
    if (fd >= 0) {
        deed_asked(p, e.deed);
        int r = sys_write(p, fd, e.text, strlen(e.text), 0);
        e.deed->excused = r != 0;
        e.deed->written = r == 0;
        p->process = SHELL;
        if (sys_close(p, fd) == 0)
            check_unheard(p->sim, e.deed);
    }
    free(e.text);
}

static void write_scratch(struct person *p, const char *path, const char *text)
{
    int fd = sys_open(p, path, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0)
        return;
    sys_write(p, fd, text, strlen(text), 0);
    sys_close(p, fd);
}

/* vim, backupcopy=no: the old file is renamed, a new one written in its place. */
static void act_vim(struct person *p)
{
    struct edit e;
    char swap[SIM_PATH], backup[SIM_PATH + 8];
    if (!edit_begin(p, &e)) {
        free(e.text);
        return;
    }
    snprintf(swap, sizeof(swap), "contacts/.%s.json.swp", e.deed->id);
    snprintf(backup, sizeof(backup), "%s~", e.path);
    write_scratch(p, swap, "b0VIM 9.0");
    write_scratch(p, "contacts/4913", "");
    sys_unlink(p, "contacts/4913");
    sys_unlink(p, backup);
    if (sys_rename(p, e.path, backup) == 0 && p->sim->life == e.life) {
        int fd = sys_open(p, e.path, O_WRONLY | O_CREAT | O_TRUNC);
        int r = fd;
        if (fd >= 0) {
            r = write_all(p, fd, e.deed, e.text, true);
            deed_told(p, e.deed, r);
        }
        if (r >= 0) {
            sys_unlink(p, backup);
        } else {
            sys_unlink(p, e.path);
            sys_rename(p, backup, e.path);
        }
    }
    sys_unlink(p, swap);
    free(e.text);
}

/* vim, backupcopy=yes: a copy is made, and the file itself written. */
static void act_vim_copy(struct person *p)
{
    struct edit e;
    char backup[SIM_PATH + 8];
    if (edit_begin(p, &e)) {
        snprintf(backup, sizeof(backup), "%s~", e.path);
        write_scratch(p, backup, e.deed->base);
        int fd = sys_open(p, e.path, O_WRONLY | O_CREAT | O_TRUNC);
        if (fd >= 0 && p->sim->life == e.life)
            deed_told(p, e.deed, write_all(p, fd, e.deed, e.text, true));
        else if (fd >= 0)
            sys_close(p, fd);
        sys_unlink(p, backup);
    }
    free(e.text);
}

/* sed -i, many editors: a temporary file is renamed onto it. */
static void act_save_by_rename(struct person *p)
{
    struct edit e;
    char temporary[SIM_PATH];
    if (!edit_begin(p, &e)) {
        free(e.text);
        return;
    }
    snprintf(temporary, sizeof(temporary),
             rng_below(&p->rng, 2) ? "contacts/.%s.json.%u" : "contacts/sed%s_%u", e.deed->id,
             e.deed->number);
    int fd = sys_open(p, temporary, O_WRONLY | O_CREAT | O_EXCL);
    int r = fd;
    if (fd >= 0) {
        r = sys_write(p, fd, e.text, strlen(e.text), 0);
        int closed = sys_close(p, fd);
        r = r ? r : closed;
    }
    if (r == 0 && p->sim->life == e.life) {
        think(p);
        deed_asked(p, e.deed);
        r = sys_rename(p, temporary, e.path);
        /* Before the driver has heard that it is to be saved, or stopped by the person, who still
         * has the other file: not a word of it was taken. */
        e.deed->excused = r == -EINTR || (r < 0 && p->call.kind != CALL_RENAME);
        deed_told(p, e.deed, r);
        if (r < 0)
            sys_unlink(p, temporary);
        look_at(p, e.deed);
    }
    free(e.text);
}

/* A shell: the descriptor is duplicated, so the file is closed once before anything is written. */
static int shell_writes(struct person *p, const char *path, struct deed *d, const char *text)
{
    int fd = sys_open(p, path, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0)
        return fd;
    int r = sys_flush(p, fd);
    deed_asked(p, d);
    int w = r == 0 ? sys_write(p, fd, text, strlen(text), 0) : r;
    d->written = w == 0;
    r = w == 0 ? sys_flush(p, fd) : w;
    int closed = sys_close(p, fd);
    r = r ? r : closed;
    deed_told(p, d, r);
    p->process = SHELL;
    look_at(p, d);
    return r;
}

static void act_echo(struct person *p)
{
    struct entity *e = any_contact(p);
    char text[128];
    p->process = SHELL;
    if (!e)
        return;
    struct deed *d = deed_new(p, DEED_EDIT, RES_CONTACT, e->id);
    record_path(e, ".json", d->path);
    snprintf(d->member, sizeof(d->member), "locale");
    d->text = true;
    snprintf(text, sizeof(text), "{\"locale\":\"%s\"}\n", d->token);
    shell_writes(p, d->path, d, text);
}

static void act_echo_field(struct person *p)
{
    struct entity *e = any_contact(p);
    char text[64];
    p->process = SHELL;
    if (!e)
        return;
    struct deed *d = deed_new(p, DEED_EDIT, RES_CONTACT, e->id);
    record_path(e, "/fields/city", d->path);
    snprintf(d->member, sizeof(d->member), "city");
    d->text = true;
    snprintf(text, sizeof(text), "%s\n", d->token);
    shell_writes(p, d->path, d, text);
}

static void act_rename_tag(struct person *p)
{
    struct entity *e = server_any(p->sim, RES_TAG, &p->rng, true);
    char text[64];
    p->process = SHELL;
    if (!e)
        return;
    struct deed *d = deed_new(p, DEED_EDIT, RES_TAG, e->id);
    record_path(e, ".json", d->path);
    snprintf(d->member, sizeof(d->member), "name");
    d->text = true;
    snprintf(text, sizeof(text), "{\"name\":\"%s\"}\n", d->token);
    shell_writes(p, d->path, d, text);
}

/* ---- making and removing ---- */

static void act_mkdir(struct person *p)
{
    bool tag = rng_below(&p->rng, 2);
    char path[SIM_PATH];
    p->process = SHELL;
    struct deed *d = deed_new(p, DEED_CREATE, tag ? RES_TAG : RES_CONTACT, "");
    snprintf(path, sizeof(path), tag ? "tags/%s" : "contacts/%s@example.com", d->token);
    snprintf(d->path, sizeof(d->path), "%s", path);
    deed_asked(p, d);
    deed_told(p, d, sys_mkdir(p, path));
}

static void act_new_file(struct person *p)
{
    char path[SIM_PATH], text[160];
    p->process = SHELL;
    struct deed *d = deed_new(p, DEED_CREATE, RES_CONTACT, "");
    d->text = true;
    snprintf(d->path, sizeof(d->path), "contacts/%s.json", d->token);
    snprintf(text, sizeof(text), "{\"email\":\"%s@example.com\",\"locale\":\"en\"}\n", d->token);
    if (rng_below(&p->rng, 2)) {
        shell_writes(p, d->path, d, text);
        return;
    }
    snprintf(path, sizeof(path), "contacts/.%s.tmp", d->token);
    write_scratch(p, path, text);
    deed_asked(p, d);
    int r = sys_rename(p, path, d->path);
    d->excused = r == -EINTR || (r < 0 && p->call.kind != CALL_RENAME);
    deed_told(p, d, r);
    if (r < 0)
        sys_unlink(p, path);
}

static void act_rm(struct person *p)
{
    struct entity *e = server_any(p->sim, RES_CONTACT, &p->rng, false);
    p->process = SHELL;
    if (!e || p->sim->plan->cursors_must_exist)
        return;
    struct deed *d = deed_new(p, DEED_REMOVE, RES_CONTACT, e->id);
    record_path(e, ".json", d->path);
    deed_asked(p, d);
    deed_told(p, d, sys_unlink(p, d->path));
}

static void act_tag(struct person *p)
{
    struct entity *e = any_contact(p), *tag = server_any(p->sim, RES_TAG, &p->rng, true);
    bool in = rng_below(&p->rng, 2);
    char path[SIM_PATH], from[SIM_PATH];
    int r;
    p->process = SHELL;
    if (!e || !tag)
        return;
    struct deed *d = deed_new(p, in ? DEED_TAG : DEED_UNTAG, RES_CONTACT, e->id);
    snprintf(d->item, sizeof(d->item), "%s", tag->id);
    snprintf(path, sizeof(path), "contacts/%.64s/tags/%.64s.json", e->id, tag->id);
    record_path(tag, ".json", from);
    deed_asked(p, d);
    if (!in) {
        r = sys_unlink(p, path);
    } else if (rng_below(&p->rng, 2)) {
        r = sys_link(p, from, path);
    } else {
        path[strlen(path) - strlen(".json")] = '\0';
        r = sys_mkdir(p, path);
    }
    deed_told(p, d, r);
}

/* ---- drafts ---- */

/* Looks at what was kept, and tries one again or throws it away. */
static void act_drafts(struct person *p)
{
    struct sim *s = p->sim;
    struct names n = {0};
    char path[SIM_PATH], to[SIM_PATH];
    p->process = SHELL;
    if (sys_list(p, ".systemefs/drafts/contacts", 3, add_name, &n) == 0 && n.count) {
        const char *name = n.names[rng_below(&p->rng, n.count)];
        bool reason = strstr(name, ".reason"), again = rng_below(&p->rng, 2);
        snprintf(path, sizeof(path), ".systemefs/drafts/contacts/%s", name);
        snprintf(to, sizeof(to), "contacts/%s", name);
        int fd = reason ? -1 : sys_open(p, path, O_RDONLY);
        char *text = fd >= 0 ? read_fd(p, fd) : NULL;
        if (fd >= 0)
            sys_close(p, fd);
        struct deed *d = text ? deed_in(s, text) : NULL;
        const char *now = disk_memory_text(&s->w.disk, path + strlen(".systemefs/"));
        bool draft = now && text && strcmp(now, text) == 0; /* it may have been done with */
        if (d && !again) {
            /* Whichever of them is in it is given up, as soon as it may be gone. */
            d->over = true;
            /* And what has taken its name since it was read. */
            struct deed *other = now ? deed_in(s, now) : NULL;
            if (other)
                other->over = true;
            sys_unlink(p, path);
        } else if (d && draft && d->state != DEED_ASKED && strcmp(d->path, to) == 0 &&
                   d->kind == DEED_EDIT) {
            p->process = COPY;
            person_renew_process(p);
            shell_writes(p, to, d, text);
        }
        free(text);
    }
    free(n.names);
}

/* ---- which ---- */

static const struct {
    const char *name;
    void (*run)(struct person *p);
    unsigned weight;
    bool changes; /* "ro": the kernel would refuse it */
} acts[] = {
    {"cat", act_cat, 12, false},
    {"less", act_less, 4, false},
    {"cat a field", act_cat_field, 4, false},
    {"cat by e-mail", act_cat_email, 3, false},
    {"cat by name", act_cat_name, 4, false},
    {"ls", act_ls, 5, false},
    {"grep", act_grep, 4, false},
    {"ls below", act_ls_parts, 4, false},
    {"ls names", act_ls_names, 2, false},
    {"attributes", act_xattrs, 2, false},
    {"refresh", act_refresh, 2, false},
    {"save in place", act_save_in_place, 8, true},
    {"save twice", act_save_twice, 3, true},
    {"save and cut", act_save_cut, 3, true},
    {"give away", act_give_away, 2, true},
    {"vim", act_vim, 6, true},
    {"vim, copy", act_vim_copy, 3, true},
    {"save by rename", act_save_by_rename, 6, true},
    {"echo", act_echo, 6, true},
    {"echo a field", act_echo_field, 6, true},
    {"rename a tag", act_rename_tag, 2, true},
    {"mkdir", act_mkdir, 4, true},
    {"new file", act_new_file, 4, true},
    {"rm", act_rm, 4, true},
    {"tag", act_tag, 6, true},
    {"join", act_join, 3, true},
    {"leave", act_leave, 2, true},
    {"cancel", act_cancel, 1, true},
    {"touch", act_touch, 2, true},
    {"drafts", act_drafts, 4, true},
};

/* In a crowd most people look. */
static unsigned weight_of(struct person *p, size_t i)
{
    const struct plan *plan = p->sim->plan;
    if (acts[i].changes)
        return plan->ro ? 0 : acts[i].weight;
    return acts[i].weight * (plan->crowded ? 4 : 1);
}

static size_t draw_act(struct person *p)
{
    unsigned sum = 0;
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
        sum += weight_of(p, i);
    uint64_t n = rng_below(&p->rng, sum);
    for (size_t i = 0;; i++) {
        if (n < weight_of(p, i))
            return i;
        n -= weight_of(p, i);
    }
}

void act_run(struct person *p)
{
    size_t i = p->inspects ? 0 : draw_act(p);
    const char *name = p->inspects ? "the last look" : acts[i].name;
    sim_trace(p->sim, "p%u begins: %s (event %u)", p->number, name, p->act.index);
    if (p->inspects)
        inspect_run(p);
    else
        acts[i].run(p);
    sim_trace(p->sim, "p%u ends: %s", p->number, name);
    p->pins[0] = p->pins[1] = 0;
    for (int fd = 0; fd < SIM_FDS; fd++)
        if (p->fds[fd].used && p->fds[fd].life == p->sim->life)
            sim_fail(p->sim, "the act '%s' leaves a file open", name);
        else
            p->fds[fd].used = false;
}

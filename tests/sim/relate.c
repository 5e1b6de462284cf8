/* sim: people who make a contact a member of something, end that, cancel; and what programs do
 * besides: times, modes, sizes, attributes, names in by-name/. */
#include "acts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- relations ---- */

static const struct {
    enum resource res;
    const char *own, *group, *group_id;
} relations[] = {
    {RES_ENROLLMENT, "enrollments", "courses", "11"},
    {RES_MEMBERSHIP, "memberships", "communities", "31"},
};

/* mkdir, from either side. */
void act_join(struct person *p)
{
    size_t i = rng_below(&p->rng, ARRAY_SIZE(relations));
    const struct entity *e = any_contact(p);
    char path[SIM_PATH];
    p->process = SHELL;
    if (!e)
        return;
    struct deed *d = deed_new(p, DEED_JOIN, relations[i].res, e->id);
    snprintf(d->item, sizeof(d->item), "%s", relations[i].group_id);
    if (rng_below(&p->rng, 2))
        snprintf(path, sizeof(path), "%s/%s/%s/%.64s", relations[i].group, relations[i].group_id,
                 relations[i].own, e->id);
    else
        snprintf(path, sizeof(path), "contacts/%.64s/%s/%s", e->id, relations[i].own,
                 relations[i].group_id);
    snprintf(d->path, sizeof(d->path), "%s", path);
    deed_asked(p, d);
    deed_told(p, d, sys_mkdir(p, path));
}

void act_leave(struct person *p)
{
    size_t i = rng_below(&p->rng, ARRAY_SIZE(relations));
    const struct entity *e = server_any(p->sim, relations[i].res, &p->rng, false);
    p->process = SHELL;
    if (!e)
        return;
    struct deed *d = deed_new(p, DEED_LEAVE, relations[i].res, e->id);
    if (rng_below(&p->rng, 2))
        snprintf(d->path, sizeof(d->path), "%s/%.64s.json", relations[i].own, e->id);
    else
        snprintf(d->path, sizeof(d->path), "%s/%s/%s/%.64s.json", relations[i].group,
                 relations[i].group_id, relations[i].own, e->id);
    deed_asked(p, d);
    deed_told(p, d, sys_unlink(p, d->path));
}

void act_cancel(struct person *p)
{
    static const char *const words[] = {"now\n", "period-end\n"};
    static const char *const sent[] = {"\"Now\"", "\"WhenBillingPeriodEnds\""};
    const struct entity *e = server_any(p->sim, RES_SUBSCRIPTION, &p->rng, true);
    size_t when = rng_below(&p->rng, 2);
    const char *word = words[when];
    p->process = SHELL;
    struct deed *d = deed_new(p, DEED_CANCEL, RES_SUBSCRIPTION, e->id);
    snprintf(d->item, sizeof(d->item), "%s", sent[when]);
    snprintf(d->path, sizeof(d->path), "contacts/2/subscriptions/%.64s/cancel", e->id);
    int fd = sys_open(p, d->path, O_WRONLY | O_TRUNC);
    if (fd < 0)
        return;
    deed_asked(p, d);
    int r = sys_write(p, fd, word, strlen(word), 0);
    deed_told(p, d, r);
    sys_close(p, fd);
}

/* ---- what programs do besides ---- */

/* cp -p, rsync, tar -x: accepted, and it changes nothing. truncate -s 0, too. */
void act_touch(struct person *p)
{
    char path[SIM_PATH];
    struct entity *e = any_contact(p);
    p->process = SHELL;
    if (!e)
        return;
    record_path(e, rng_below(&p->rng, 4) ? ".json" : "/fields/city", path);
    int r = rng_below(&p->rng, 2) ? sys_touch(p, path) : sys_truncate(p, path, 0);
    check_missing(p->sim, e, r);
    /* A part of a document is none that anybody could mean. By that name there may be what somebody
     * is about to write. */
    struct tree_attr attr;
    if (rng_below(&p->rng, 4) == 0 && sys_stat(p, path, &attr) == 0 &&
        node_from_ino(attr.ino).kind == KIND_CONTACT && sys_truncate(p, path, 7) == 0 &&
        node_from_ino(p->call.ino).kind == KIND_CONTACT)
        sim_fail(p->sim, "%s was cut off", path);
    if (r == 0)
        free(read_record(p, e));
}

void act_xattrs(struct person *p)
{
    char path[SIM_PATH];
    struct sim *s = p->sim;
    struct entity *e = any_contact(p);
    int r;
    p->process = SHELL;
    if (!e)
        return;
    record_path(e, ".json", path);
    char *id = sys_xattr(p, path, "user.systemefs.id", &r);
    /* By that name there may be what somebody is about to write. */
    if (id && strcmp(id, e->id) != 0)
        sim_fail(s, "%s has the attribute id %s", path, id);
    free(id);
    char *stale = sys_xattr(p, path, "user.systemefs.stale", &r);
    if (stale && strcmp(stale, "no") != 0 && !sim_away_since(s, INT64_MIN / 4))
        sim_fail(s, "%s is said to be stale, and the API was never away", path);
    free(stale);
    free(sys_xattr(p, path, NULL, &r));
    free(sys_xattr(p, path, "user.systemefs.error", &r));
}

/* By the name that a tag has, or had: a symlink, which a kernel that mounts "ro" believes. */
void act_cat_name(struct person *p)
{
    struct sim *s = p->sim;
    char path[SIM_PATH], name[64];
    const struct entity *tag = server_any(s, RES_TAG, &p->rng, true);
    p->process = SHELL;
    if (!tag)
        return;
    size_t back = rng_below(&p->rng, MIN(tag->version_count, (size_t)3));
    char *quoted = record_value(tag->versions[tag->version_count - 1 - back].text, "name");
    assert_non_null(quoted);
    snprintf(name, sizeof(name), "%.*s", (int)strlen(quoted) - 2, quoted + 1);
    free(quoted);
    snprintf(path, sizeof(path), "tags/by-name/%s.json", name);
    int64_t began_ms = sim_now(s);
    uint64_t began = ++s->tick;
    int fd = sys_open(p, path, O_RDONLY);
    char *text = fd >= 0 ? read_fd(p, fd) : NULL;
    char *id = fd >= 0 && sys_close(p, fd) == 0 && text ? record_value(text, "id") : NULL;
    struct entity *e = id ? server_find(s, RES_TAG, id) : NULL;
    if (id && !e)
        sim_fail(s, "%s is no tag: %s", path, text);
    if (e) {
        check_read(s, e, text, strlen(text), began, began_ms, p->pieces);
        check_named(s, e, name, began_ms);
    }
    free(id);
    free(text);
}

void act_ls_names(struct person *p)
{
    struct names n = {0};
    static const char *const paths[] = {"tags/by-name",
                                        "tags",
                                        "contacts/by-email",
                                        "enrollments",
                                        "courses/11/enrollments",
                                        "courses",
                                        "communities/by-name",
                                        "webhooks",
                                        "connections"};
    p->process = SHELL;
    const char *path = paths[rng_below(&p->rng, ARRAY_SIZE(paths))];
    sys_list(p, path, 1 + rng_below(&p->rng, 30), add_name, &n);
    free(n.names);
}

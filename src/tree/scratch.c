#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct scratch *scratch_find(const struct tree *t, uint64_t dir, const char *name)
{
    list_for_each(it, &t->scratch) {
        struct scratch *s = CONTAINER_OF(it, struct scratch, all);
        if (s->dir == dir && strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

struct scratch *scratch_of(const struct tree *t, struct node n)
{
    if (n.kind != KIND_SCRATCH && n.kind != KIND_SCRATCH_LINK)
        return NULL;
    list_for_each(it, &t->scratch) {
        struct scratch *s = CONTAINER_OF(it, struct scratch, all);
        if (s->id == n.key)
            return s;
    }
    return NULL;
}

static void scratch_free(struct tree *t, struct scratch *s)
{
    list_remove(&s->all);
    t->scratch_count--;
    buf_finish(&s->text);
    free(s->target);
    free(s);
}

int scratch_make(struct tree *t, uint64_t dir, const char *name, enum scratch_role role,
                 const char *target, struct scratch **ret)
{
    if (t->scratch_count >= SCRATCH_FILES_MAX)
        return -ENOSPC;
    struct scratch *s = calloc(1, sizeof(*s));
    char *copy = target ? strdup(target) : NULL;
    if (!s || (target && !copy)) {
        free(s);
        free(copy);
        return -ENOMEM;
    }
    *s = (struct scratch){.id = ++t->scratch_next,
                          .dir = dir,
                          .home = dir,
                          .role = role,
                          .target = copy,
                          .mtime_ns = clock_wall_ns(t->clock)};
    snprintf(s->name, sizeof(s->name), "%s", name);
    buf_init(&s->text, SCRATCH_TEXT_MAX);
    list_append(&t->scratch, &s->all);
    t->scratch_count++;
    *ret = s;
    return 0;
}

void scratch_release(struct tree *t, struct scratch *s)
{
    if (s->dir == 0 && s->lookups == 0 && s->opens == 0)
        scratch_free(t, s);
}

void scratch_unname(struct tree *t, struct scratch *s)
{
    s->dir = 0;
    scratch_release(t, s);
}

void scratch_taken(struct tree *t, const struct op *op, const struct scratch *s)
{
    if (!s->copied_by || s->copied_by == op_process(t, op))
        return;
    t->away[t->next_away] = (struct away){.node = s->copy_of, .process = s->copied_by};
    t->next_away = (t->next_away + 1) % AWAY_MAX;
}

void away_over(struct tree *t, pid_t process, struct node n)
{
    for (size_t i = 0; i < AWAY_MAX; i++)
        if (t->away[i].process == process && t->away[i].node.kind == n.kind &&
            t->away[i].node.key == n.key)
            t->away[i].process = 0;
}

void scratch_move(struct tree *t, const struct op *op, struct scratch *s, uint64_t dir,
                  const char *name)
{
    struct scratch *there = scratch_find(t, dir, name);
    if (there && there != s) {
        scratch_taken(t, op, there);
        scratch_unname(t, there);
    }
    s->dir = dir;
    snprintf(s->name, sizeof(s->name), "%s", name);
}

int scratch_room(const struct tree *t, const struct scratch *s, size_t size)
{
    size_t others = 0;
    if (size > SCRATCH_TEXT_MAX)
        return -EFBIG;
    list_for_each(it, &t->scratch) {
        const struct scratch *other = CONTAINER_OF(it, struct scratch, all);
        others += other == s ? 0 : other->text.len;
    }
    return others + size > SCRATCH_BYTES_MAX ? -ENOSPC : 0;
}

void scratch_free_all(struct tree *t)
{
    list_for_each_safe(it, &t->scratch)
        scratch_free(t, CONTAINER_OF(it, struct scratch, all));
}

void scratch_attr(const struct tree *t, const struct scratch *s, struct tree_attr *ret)
{
    attr_init(t, scratch_node(s), ret);
    ret->size = s->target ? strlen(s->target) : s->text.len;
    ret->mtime_ns = s->mtime_ns;
    ret->nlink = s->dir != 0;
    /* Its name may be another's in the next moment, without a word to the kernel. */
    ret->entry_valid_ms = ret->attr_valid_ms = 0;
}

int scratch_getattr(struct tree *t, struct op *op UNUSED, struct node n, struct tree_attr *ret)
{
    const struct scratch *s = scratch_of(t, n);
    if (!s)
        return -ESTALE;
    scratch_attr(t, s, ret);
    return 0;
}

struct scratch *scratch_next(const struct tree *t, uint64_t dir, uint64_t after)
{
    /* Ids rise along the list. */
    list_for_each(it, &t->scratch) {
        struct scratch *s = CONTAINER_OF(it, struct scratch, all);
        if (s->id > after && s->dir == dir && s->role != SCRATCH_NAME)
            return s;
    }
    return NULL;
}

void scratch_name_record(struct tree *t, uint64_t dir, const char *name, struct node record)
{
    char id[RESOURCE_ID_TEXT_MAX + 1], target[RESOURCE_ID_TEXT_MAX + 8];
    struct scratch *s, *there = scratch_find(t, dir, name);
    snprintf(target, sizeof(target), "%s.json",
             store_id(t->store, shape_of(record.kind)->res, record.key, id));
    if (there)
        scratch_unname(t, there);
    if (strcmp(target, name) != 0 && scratch_make(t, dir, name, SCRATCH_NAME, target, &s) == 0)
        s->record = record;
}

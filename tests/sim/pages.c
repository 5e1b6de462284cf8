/* sim: reading, through the kernel's pages. */
#include "sim.h"
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void pages_drop(struct inode *i)
{
    free(i->pages);
    free(i->have);
    i->pages = NULL;
    i->have = NULL;
    i->page_count = 0;
}

static void pages_room(struct inode *i, size_t count)
{
    if (count <= i->page_count)
        return;
    i->pages = realloc(i->pages, count * SIM_PAGE);
    i->have = realloc(i->have, count * sizeof(*i->have));
    assert_true(i->pages && i->have);
    for (; i->page_count < count; i->page_count++)
        i->have[i->page_count] = false;
}

/* fuse_notify_store(): pages that are there are written over, and nothing is cut off. */
void pages_store(struct sim *s, struct inode *i, const char *text, size_t len)
{
    if (len > i->size) {
        i->size = len;
        i->attr_version = ++s->kernel.attr_version;
    }
    pages_room(i, (len + SIM_PAGE - 1) / SIM_PAGE);
    for (size_t page = 0; page * SIM_PAGE < len; page++) {
        size_t n = MIN((size_t)SIM_PAGE, len - page * SIM_PAGE);
        char *at = i->pages + page * SIM_PAGE;
        bool whole = n == SIM_PAGE || i->size == len;
        if (!i->have[page] && whole)
            memset(at + n, 0, SIM_PAGE - n);
        if (i->have[page] || whole)
            memcpy(at, text + page * SIM_PAGE, n);
        i->have[page] = i->have[page] || whole;
    }
}

static void fill_page(struct inode *i, size_t page, const char *bytes, size_t len)
{
    pages_room(i, page + 1);
    memset(i->pages + page * SIM_PAGE, 0, SIM_PAGE);
    memcpy(i->pages + page * SIM_PAGE, bytes, len);
    i->have[page] = true;
}

/* One page of an open file. */
static void read_page(struct inode *i, const struct fd *f, size_t page)
{
    const char *bytes;
    size_t len;
    tree_read(f->file, page * SIM_PAGE, SIM_PAGE, &bytes, &len);
    fill_page(i, page, bytes, len);
    if (len < SIM_PAGE && page * SIM_PAGE + len < i->size)
        i->size = page * SIM_PAGE + len; /* fuse_read_update_size() */
}

/* From that page on what is missing, in one READ, of a file that was not opened. */
static int read_ahead(struct person *p, uint64_t ino, size_t page)
{
    struct sim *s = p->sim;
    struct inode *i = inode_find(s, ino);
    size_t end = page + 1;
    while (end * SIM_PAGE < i->size && (end >= i->page_count || !i->have[end]))
        end++;
    struct call *c = call_new(p, CALL_READ, ino, "");
    c->offset = page * SIM_PAGE;
    c->size = (end - page) * SIM_PAGE;
    i->reads++;
    unsigned life = s->life;
    int r = call_wait(p);
    i = s->life == life && s->alive ? inode_find(s, ino) : NULL;
    if (!i)
        r = r < 0 ? r : -ENOTCONN;
    else
        i->reads--;
    for (size_t at = page; r == 0 && at < end; at++) {
        size_t from = MIN((at - page) * SIM_PAGE, c->len);
        fill_page(i, at, c->bytes + from, MIN((size_t)SIM_PAGE, c->len - from));
    }
    /* fuse_short_read(): unless something newer has been heard of the size meanwhile. */
    if (r == 0 && c->len < c->size && c->offset + c->len < i->size &&
        i->attr_version <= c->attr_version) {
        i->size = c->offset + c->len;
        i->attr_version = ++s->kernel.attr_version;
    }
    free(c->bytes);
    c->bytes = NULL;
    return r;
}

/* The attributes are asked for anew when they are past their time. */
static int revalidate(struct person *p, int fd)
{
    struct sim *s = p->sim;
    struct fd *f = fd_of(p, fd);
    struct inode *i = inode_find(s, f->ino);
    if (sim_now(s) < i->attr_until_ms)
        return 0;
    struct call *c = call_new(p, CALL_GETATTR, f->ino, "");
    c->file = f->file;
    int r = call_wait(p);
    f = fd_of(p, fd);
    if (r != 0 || !f)
        return r ? r : -ENOTCONN;
    inode_update(s, &c->attr, c->attr_version);
    return 0;
}

ssize_t sys_read(struct person *p, int fd, size_t offset, size_t size, char *out)
{
    struct sim *s = p->sim;
    struct fd *f = fd_of(p, fd);
    const char *bytes;
    size_t len, at = offset;
    if (!f)
        return -ENOTCONN;
    if (f->direct) {
        tree_read(f->file, offset, size, &bytes, &len);
        memcpy(out, bytes, len);
        return (ssize_t)len;
    }
    assert_non_null(inode_find(s, f->ino));
    int r = revalidate(p, fd);
    if (r != 0)
        return r;
    struct inode *i = inode_find(s, f->ino);
    /* The attributes were overtaken by a notification, and dropped: it is as the O_TRUNC left it.
     */
    if (i->cut)
        s->kernel.truncated = ++s->tick;
    while (at < offset + size && at < i->size) {
        size_t page = at / SIM_PAGE;
        if (page >= i->page_count || !i->have[page]) {
            if (f->file)
                read_page(i, f, page);
            else
                r = read_ahead(p, f->ino, page);
            f = fd_of(p, fd);
            i = r == 0 && f ? inode_find(s, f->ino) : NULL;
            if (!i)
                return at > offset ? (ssize_t)(at - offset) : r ? r : -ENOTCONN;
            continue; /* what has come may be gone again, and the file may have another end */
        }
        size_t n = MIN(MIN((page + 1) * SIM_PAGE, offset + size), i->size) - at;
        memcpy(out + (at - offset), i->pages + at, n);
        at += n;
    }
    return (ssize_t)(at - offset);
}

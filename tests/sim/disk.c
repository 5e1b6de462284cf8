/* sim: the state directory: a disk in memory that fails, and that a death may cut off anywhere. */
#include "sim.h"

#include <errno.h>

static struct sim *sim_of(struct disk *d)
{
    return CONTAINER_OF(d, struct sim, disk);
}

/* Whether the process is dead before this call is carried out. */
static bool dies_before(struct sim *s)
{
    if (s->die_at_disk == 1 && !s->die_after)
        s->dead = true;
    return s->dead;
}

static int after(struct sim *s, int r)
{
    if (s->die_at_disk && --s->die_at_disk == 0)
        s->dead = true;
    /* The dead one hears nothing of what was done. */
    return s->dead ? -EIO : r;
}

#define THROUGH(call, ...)                                                                         \
    do {                                                                                           \
        struct sim *s = sim_of(d);                                                                 \
        if (dies_before(s))                                                                        \
            return -EIO;                                                                           \
        return after(s, s->w.disk.disk.call(&s->w.disk.disk, __VA_ARGS__));                        \
    } while (0)

static int through_write(struct disk *d, const char *path, const void *bytes, size_t len,
                         unsigned how)
{
    THROUGH(write, path, bytes, len, how);
}

static int through_read(struct disk *d, const char *path, struct buf *out)
{
    THROUGH(read, path, out);
}

static int through_stat(struct disk *d, const char *path, struct disk_info *ret)
{
    THROUGH(stat, path, ret);
}

static int through_remove(struct disk *d, const char *path)
{
    THROUGH(remove, path);
}

static int through_list(struct disk *d, const char *path, disk_each_fn *each, void *data)
{
    THROUGH(list, path, each, data);
}

static int through_lock(struct disk *d, const char *path)
{
    THROUGH(lock, path);
}

static void through_unlock(struct disk *d, int handle)
{
    struct sim *s = sim_of(d);
    s->w.disk.disk.unlock(&s->w.disk.disk, handle);
}

static void through_close(struct disk *d UNUSED)
{
}

void disk_init(struct sim *s)
{
    disk_memory_init(&s->w.disk);
    s->disk = (struct disk){.write = through_write,
                            .read = through_read,
                            .stat = through_stat,
                            .remove = through_remove,
                            .list = through_list,
                            .lock = through_lock,
                            .unlock = through_unlock,
                            .close = through_close};
}

void disk_calm(struct sim *s)
{
    struct disk_memory *m = &s->w.disk;
    m->fail_in = m->fail_for = 0;
    m->fail_late = m->read_only = false;
    m->room = SIZE_MAX;
}

void disk_faults(struct sim *s, struct rng *rng)
{
    static const int errors[] = {EIO, ENOSPC, EROFS};
    struct disk_memory *m = &s->w.disk;
    disk_calm(s);
    switch (rng_below(rng, 5)) {
    case 0:
        m->read_only = true;
        sim_trace(s, "disk: read-only");
        break;
    case 1:
        m->room = (size_t)rng_below(rng, 2000);
        sim_trace(s, "disk: %zu bytes", m->room);
        break;
    case 2:
    case 3:
        m->fail_in = 1 + (unsigned)rng_below(rng, 8);
        m->fail_for = 1 + (unsigned)rng_below(rng, 4);
        m->fail_with = errors[rng_below(rng, ARRAY_SIZE(errors))];
        m->fail_late = rng_below(rng, 4) == 0;
        sim_trace(s, "disk: the %uth call fails", m->fail_in);
        break;
    default:
        sim_trace(s, "disk: well");
    }
}

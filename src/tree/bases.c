#include "bases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/map.h"

#define THREADS_KNOWN   32
#define THREAD_KNOWN_MS 10000 /* a number may be another thread's after that */

struct opening {
    uint64_t ino, hash;
};

struct process {
    pid_t pid;
    uint64_t used; /* a count that rises */
    unsigned next;
    struct opening ring[BASES_RING];
};

/* A content that has been replaced. */
struct older {
    struct list all; /* oldest first */
    uint64_t ino, hash;
    size_t len;
    char text[];
};

struct thread {
    pid_t tid, pid;
    int64_t at_ms;
};

struct bases {
    const struct clock *clock;
    struct process *processes[BASES_PROCESSES + 1]; /* [0]: anybody */
    uint64_t used;
    struct list older;
    size_t bytes;
    struct thread threads[THREADS_KNOWN];
    unsigned next_thread;
};

struct bases *bases_create(const struct clock *clock)
{
    struct bases *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->clock = clock;
    list_init(&b->older);
    return b;
}

static void drop_oldest(struct bases *b)
{
    struct older *o = CONTAINER_OF(list_next(&b->older), struct older, all);
    list_remove(&o->all);
    b->bytes -= o->len;
    free(o);
}

void bases_destroy(struct bases *b)
{
    if (!b)
        return;
    while (!list_empty(&b->older))
        drop_oldest(b);
    for (size_t i = 0; i <= BASES_PROCESSES; i++)
        free(b->processes[i]);
    free(b);
}

/* ---- processes ---- */

static pid_t read_process(pid_t tid)
{
    char path[48], line[256];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (pid == 0 && fgets(line, sizeof(line), f))
        if (sscanf(line, "Tgid: %d", &pid) != 1)
            pid = 0;
    fclose(f);
    return (pid_t)pid;
}

pid_t bases_process(struct bases *b, pid_t thread)
{
    int64_t now = clock_mono_ms(b->clock);
    if (thread <= 0)
        return 0;
    for (size_t i = 0; i < THREADS_KNOWN; i++)
        if (b->threads[i].tid == thread && now - b->threads[i].at_ms < THREAD_KNOWN_MS)
            return b->threads[i].pid;
    pid_t pid = read_process(thread);
    b->threads[b->next_thread] = (struct thread){.tid = thread, .pid = pid, .at_ms = now};
    b->next_thread = (b->next_thread + 1) % THREADS_KNOWN;
    return pid;
}

static struct process *find_process(const struct bases *b, pid_t pid)
{
    for (size_t i = 1; i <= BASES_PROCESSES; i++)
        if (b->processes[i] && b->processes[i]->pid == pid)
            return b->processes[i];
    return NULL;
}

/* The one that has been idle for longest makes room. */
static struct process *make_process(struct bases *b, pid_t pid)
{
    size_t at = 0;
    for (size_t i = 1; pid && i <= BASES_PROCESSES; i++)
        if (!b->processes[i] || at == 0 ||
            (b->processes[at] && b->processes[i]->used < b->processes[at]->used)) {
            at = i;
            if (!b->processes[i])
                break;
        }
    if (!b->processes[at])
        b->processes[at] = malloc(sizeof(**b->processes));
    else if (at == 0)
        return b->processes[0];
    if (b->processes[at])
        *b->processes[at] = (struct process){.pid = pid};
    return b->processes[at];
}

static void note(struct bases *b, struct process *p, uint64_t ino, uint64_t hash)
{
    if (!p)
        return;
    p->used = ++b->used;
    unsigned last = (p->next + BASES_RING - 1) % BASES_RING;
    if (p->ring[last].ino == ino && p->ring[last].hash == hash)
        return;
    p->ring[p->next] = (struct opening){.ino = ino, .hash = hash};
    p->next = (p->next + 1) % BASES_RING;
}

static uint64_t noted(const struct process *p, uint64_t ino)
{
    for (unsigned i = 1; p && i <= BASES_RING; i++) {
        const struct opening *o = &p->ring[(p->next + BASES_RING - i) % BASES_RING];
        if (o->ino == ino)
            return o->hash;
    }
    return 0;
}

void bases_opened(struct bases *b, pid_t process, uint64_t ino, uint64_t hash)
{
    if (process) {
        struct process *p = find_process(b, process);
        note(b, p ? p : make_process(b, process), ino, hash);
    }
    note(b, make_process(b, 0), ino, hash);
}

/* ---- contents ---- */

static bool wanted(const struct bases *b, uint64_t ino, uint64_t hash)
{
    for (size_t i = 0; i <= BASES_PROCESSES; i++)
        for (unsigned k = 0; b->processes[i] && k < BASES_RING; k++)
            if (b->processes[i]->ring[k].ino == ino && b->processes[i]->ring[k].hash == hash)
                return true;
    return false;
}

static const char *find_older(const struct bases *b, uint64_t ino, uint64_t hash)
{
    for (struct list *it = b->older.prev; it != &b->older; it = it->prev) {
        const struct older *o = CONTAINER_OF(it, struct older, all);
        if (o->ino == ino && o->hash == hash)
            return o->text;
    }
    return NULL;
}

static void keep(struct bases *b, uint64_t ino, uint64_t hash, const char *text, size_t len)
{
    if (find_older(b, ino, hash))
        return;
    struct older *o = malloc(sizeof(*o) + len + 1);
    if (!o)
        return;
    *o = (struct older){.ino = ino, .hash = hash, .len = len};
    memcpy(o->text, text, len);
    o->text[len] = '\0';
    list_append(&b->older, &o->all);
    b->bytes += len;
    while (b->bytes > BASES_BYTES)
        drop_oldest(b);
}

void bases_replacing(struct bases *b, uint64_t ino, uint64_t hash, const char *text, size_t len)
{
    if (wanted(b, ino, hash))
        keep(b, ino, hash, text, len);
}

void bases_saved(struct bases *b, pid_t process, uint64_t ino, const char *text, size_t len)
{
    uint64_t hash = hash_text(text, len);
    bases_opened(b, process, ino, hash);
    keep(b, ino, hash, text, len);
}

bool bases_has_read(const struct bases *b, pid_t process, uint64_t ino)
{
    return process && noted(find_process(b, process), ino);
}

uint64_t bases_of(struct bases *b, pid_t process, uint64_t ino, const char **ret_text)
{
    uint64_t hash = process ? noted(find_process(b, process), ino) : 0;
    if (!hash)
        hash = noted(b->processes[0], ino);
    *ret_text = hash ? find_older(b, ino, hash) : NULL;
    return hash;
}

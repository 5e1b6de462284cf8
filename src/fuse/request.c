/* Requests of the kernel: their life, their interrupts, their reasons. */
#include "request.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static void request_free(struct request *r)
{
    op_end(&r->op);
    list_remove(&r->all);
    r->session->suspects -= r->interrupted;
    free(r->name);
    free(r->data);
    free(r);
}

/* The reason goes to the journal under the path that the person used. */
static void tell_reason(struct request *r)
{
    struct tree *t = r->session->tree;
    CLEANUP(buf_cleanup) struct buf path;
    buf_init(&path, 8192);
    /* A rename is told under the name that it did not get. */
    bool two = r->other && r->name && r->data && r->data[0];
    fuse_ino_t dir = two ? r->other : r->ino;
    const char *name = two ? r->data : r->name;
    tree_path(t, dir, &path);
    if (name)
        buf_printf(&path, "%s%s", path.len ? "/" : "", name);
    journal_failure(r->session->journal, r->handler->name, path.data ? path.data : "/",
                    name ? r->op.about : dir, name ? dir : 0, &r->op.failure);
}

void request_fail(struct request *r, int error)
{
    if (r->op.failure.error)
        tell_reason(r);
    fuse_reply_err(r->req, -error);
    request_free(r);
}

/* Runs the handler. Whether the request has ended, and is gone. */
static bool request_run(struct request *r)
{
    int result = r->handler->run(r);
    if (result == STORE_WAIT)
        return false;
    if (result < 0)
        request_fail(r, result);
    else
        request_free(r);
    return true;
}

static void request_resume(struct op *op)
{
    request_run(CONTAINER_OF(op, struct request, op));
}

/* Called by libfuse in the middle of reading a request: only takes note. */
static void on_interrupt(fuse_req_t req UNUSED, void *data)
{
    struct request *r = data;
    r->session->suspects += !r->interrupted;
    r->interrupted = true;
    r->session->look_again_ms = 0;
}

struct request *request_new(fuse_req_t req, const struct handler *handler, fuse_ino_t ino,
                            const char *name, const struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    struct request *r = malloc(sizeof(*r));
    char *copy = name ? strdup(name) : NULL;
    if (!r || (name && !copy)) {
        free(r);
        free(copy);
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    *r = (struct request){.session = s, .handler = handler, .req = req, .ino = ino, .name = copy};
    if (fi)
        r->fi = *fi;
    list_init(&r->all);
    r->op.resume = request_resume;
    r->op.follow_up = handler->follow_up;
    r->op.caller = fuse_req_ctx(req)->pid;
    op_begin(s->store, &r->op);
    return r;
}

void request_start(struct request *r)
{
    if (request_run(r))
        return;
    list_append(&r->session->requests, &r->all);
    fuse_req_interrupt_func(r->req, on_interrupt, r);
}

/* ---- interrupts ---- */

/*
 * Whether the caller has a signal pending that means "stop". The kernel sends FUSE_INTERRUPT for
 * every signal, also for the timers of git and the preemption of Go programs, which break when a
 * file operation fails with EINTR. So we look which signal it is; where that cannot be seen
 * (another PID namespace), the interrupt is taken at its word.
 */
static bool wants_to_stop(pid_t tid)
{
    static const int stopping[] = {SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM};
    char path[48], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    FILE *f = tid > 0 ? fopen(path, "re") : NULL;
    if (!f)
        return true;
    unsigned long long pending = 0, set;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "SigPnd: %llx", &set) == 1 || sscanf(line, "ShdPnd: %llx", &set) == 1)
            pending |= set;
    fclose(f);
    for (size_t i = 0; i < ARRAY_SIZE(stopping); i++)
        if (pending & (1ULL << (stopping[i] - 1)))
            return true;
    return false;
}

#define LOOK_AGAIN_MS 100 /* a second signal makes no second interrupt: so look */

void requests_check_interrupts(struct session *s)
{
    int64_t now = clock_mono_ms(s->clock);
    if (!s->suspects || now < s->look_again_ms)
        return;
    s->look_again_ms = now + LOOK_AGAIN_MS;
    list_for_each_safe(it, &s->requests) {
        struct request *r = CONTAINER_OF(it, struct request, all);
        /* What has been set going is seen through: the verdict is worth the wait. */
        if (r->interrupted && !r->op.job && wants_to_stop(fuse_req_ctx(r->req)->pid)) {
            r->op.failure.error = 0; /* the person knows why */
            request_fail(r, -EINTR);
        }
    }
}

void requests_end_all(struct session *s, int error)
{
    list_for_each_safe(it, &s->requests) {
        struct request *r = CONTAINER_OF(it, struct request, all);
        r->op.failure.error = 0;
        request_fail(r, -error);
    }
}

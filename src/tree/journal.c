#include "systemefs/tree/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/line.h"
#include "systemefs/base/macros.h"
#include "systemefs/codec/time.h"

#define LOG_MODULE "mount"
#include "systemefs/base/log.h"

#define PATH_SHOWN 512 /* bytes of a path that are kept */

struct failure_line {
    int64_t wall_ns;
    uint64_t ino, parent;
    bool over; /* a later operation succeeded */
    char operation[16];
    char path[PATH_SHOWN];
    struct api_failure failure;
};

struct request_line {
    int64_t wall_ns;
    uint64_t number;
    unsigned try_;
    enum http_method method;
    int status;
    enum net_failure failure;
    int64_t ms;
    size_t bytes;
    char path[PATH_SHOWN];
};

struct journal {
    const struct clock *clock;
    uint64_t failure_count, request_count; /* ever */
    struct journal_counts counts;
    struct failure_line failures[JOURNAL_ERRORS];
    struct request_line requests[JOURNAL_REQUESTS];
};

struct journal *journal_create(const struct clock *clock)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j)
        j->clock = clock;
    return j;
}

void journal_destroy(struct journal *j)
{
    free(j);
}

/* One event, one line: a name from a server must not begin another. */
static void copy_line(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
    line_clean(to);
}

void journal_failure(struct journal *j, const char *operation, const char *path, uint64_t ino,
                     uint64_t parent, const struct api_failure *failure)
{
    char shown[PATH_SHOWN];
    copy_line(shown, sizeof(shown), path);
    if (j->failure_count) {
        struct failure_line *last = &j->failures[(j->failure_count - 1) % JOURNAL_ERRORS];
        if (failure->number && last->failure.number == failure->number && !last->over &&
            last->failure.error == failure->error && strcmp(last->path, shown) == 0) {
            last->ino = ino ? ino : last->ino;
            return;
        }
    }
    struct failure_line *line = &j->failures[j->failure_count++ % JOURNAL_ERRORS];
    *line = (struct failure_line){.wall_ns = clock_wall_ns(j->clock),
                                  .ino = ino,
                                  .parent = parent,
                                  .failure = *failure};
    copy_line(line->operation, sizeof(line->operation), operation);
    memcpy(line->path, shown, sizeof(shown));
    copy_line(line->failure.message, sizeof(line->failure.message), failure->message);
    log_warn("%s %s: %s (request %" PRIu64 "): %s", operation, shown,
             strerrorname_np(-failure->error), failure->number, failure->message);
}

bool journal_is_change(const char *operation)
{
    static const char *const reading[] = {"lookup",  "stat",     "readlink",  "open", "opendir",
                                          "readdir", "getxattr", "listxattr", "read"};
    for (size_t i = 0; i < ARRAY_SIZE(reading); i++)
        if (strcmp(operation, reading[i]) == 0)
            return false;
    return true;
}

static bool is_about(const struct failure_line *line, uint64_t ino, const char *path)
{
    return (ino && line->ino == ino) || (path[0] && strcmp(line->path, path) == 0);
}

void journal_clear(struct journal *j, uint64_t ino, const char *path, bool change)
{
    for (size_t i = 0; i < JOURNAL_ERRORS; i++)
        if (is_about(&j->failures[i], ino, path) &&
            journal_is_change(j->failures[i].operation) == change)
            j->failures[i].over = true;
}

bool journal_error_of(const struct journal *j, uint64_t ino, const char *path, struct buf *out)
{
    for (uint64_t i = j->failure_count; i > 0 && j->failure_count - i < JOURNAL_ERRORS; i--) {
        const struct failure_line *line = &j->failures[(i - 1) % JOURNAL_ERRORS];
        bool about = is_about(line, ino, path);
        if (line->over || (!about && line->parent != ino))
            continue;
        if (line->failure.number)
            buf_printf(out, "request %" PRIu64 ": ", line->failure.number);
        if (!about)
            buf_printf(out, "%s: ", line->path);
        buf_append_str(out, line->failure.message);
        return true;
    }
    return false;
}

void journal_exchange(void *data, const struct net_exchange *exchange)
{
    struct journal *j = data;
    struct request_line *line = &j->requests[j->request_count++ % JOURNAL_REQUESTS];
    *line = (struct request_line){
        .wall_ns = clock_wall_ns(j->clock),
        .number = exchange->number,
        .try_ = exchange->try_,
        .method = exchange->method,
        .status = exchange->status,
        .failure = exchange->failure,
        .ms = exchange->ms,
        .bytes = exchange->bytes,
    };
    const char *host = strstr(exchange->url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    copy_line(line->path, sizeof(line->path), path ? path : "/");
    j->counts.bytes += exchange->bytes;
    j->counts
        .by_class[exchange->status >= 100 && exchange->status < 600 ? exchange->status / 100 : 0]++;
}

/* The index of the oldest line that a ring still holds. */
static uint64_t oldest(uint64_t count, uint64_t size)
{
    return count > size ? count - size : 0;
}

int journal_print_errors(const struct journal *j, struct buf *out)
{
    char when[TIME_TEXT_MAX];
    for (uint64_t i = oldest(j->failure_count, JOURNAL_ERRORS); i < j->failure_count; i++) {
        const struct failure_line *line = &j->failures[i % JOURNAL_ERRORS];
        char status[16] = "-";
        if (line->failure.status)
            snprintf(status, sizeof(status), "%d", line->failure.status);
        buf_printf(out, "%s request=%" PRIu64 " %s %s %s http=%s %s\n",
                   time_format(line->wall_ns, true, when), line->failure.number, line->operation,
                   line->path, strerrorname_np(-line->failure.error), status,
                   line->failure.message);
    }
    return buf_error(out);
}

static const char *failure_word(enum net_failure failure)
{
    static const char *const words[] = {
        [NET_OK] = "-",
        [NET_UNREACHABLE] = "unreachable",
        [NET_REFUSED] = "refused",
        [NET_TIMEOUT] = "timeout",
        [NET_TLS] = "tls",
        [NET_LOST] = "lost",
        [NET_TOO_LARGE] = "too-large",
        [NET_BAD_ANSWER] = "bad-answer",
    };
    _Static_assert(ARRAY_SIZE(words) == NET_FAILURE_COUNT, "a word for each failure");
    return words[failure];
}

int journal_print_requests(const struct journal *j, struct buf *out)
{
    char when[TIME_TEXT_MAX];
    for (uint64_t i = oldest(j->request_count, JOURNAL_REQUESTS); i < j->request_count; i++) {
        const struct request_line *line = &j->requests[i % JOURNAL_REQUESTS];
        char status[16];
        snprintf(status, sizeof(status), "%d", line->status);
        buf_printf(out, "%s request=%" PRIu64 " try=%u %s %s %s %lldms %zuB\n",
                   time_format(line->wall_ns, true, when), line->number, line->try_,
                   http_method_name(line->method), line->path,
                   line->status ? status : failure_word(line->failure), (long long)line->ms,
                   line->bytes);
    }
    return buf_error(out);
}

void journal_get_counts(const struct journal *j, struct journal_counts *ret)
{
    *ret = j->counts;
    ret->failures = j->failure_count;
    ret->requests = j->request_count;
}

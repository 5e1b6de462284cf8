#include "save_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf trace, lines;

/* "contacts/5.json: drafted -> planned" */
static void on_log(void *data UNUSED, enum log_level level, const char *module, const char *line)
{
    if (level < LOG_LEVEL_DEBUG) {
        buf_printf(&lines, "%s\n", line);
        return;
    }
    const char *arrow = strstr(line, " -> ");
    if (strcmp(module, "save") != 0 || !arrow)
        return;
    const char *from = memrchr(line, ' ', (size_t)(arrow - line));
    if (strncmp(from, " drafted", 8) == 0)
        buf_printf(&trace, "%sdrafted", trace.len ? " " : "");
    buf_printf(&trace, " %s", arrow + 4);
}

void desk_fill(struct world *w)
{
    static const struct {
        enum resource res;
        const char *text;
    } rows[] = {
        {RES_CONTACT, BASE},
        {RES_CONTACT, "{\"id\":6,\"email\":\"b@example.com\",\"locale\":\"de\",\"fields\":[],"
                      "\"tags\":[]}"},
        {RES_TAG, VIP},
        {RES_TAG, "{\"id\":7,\"name\":\"seven\"}"},
        {RES_TAG, "{\"id\":8,\"name\":\"eight\"}"},
        {RES_TAG, "{\"id\":9,\"name\":\"nine\"}"},
        {RES_FIELD, "{\"slug\":\"city\",\"fieldName\":\"City\"}"},
        {RES_FIELD, "{\"slug\":\"first_name\",\"fieldName\":\"First name\"}"},
        {RES_COURSE, "{\"id\":11,\"name\":\"Knots\"}"},
        {RES_ENROLLMENT, "{\"id\":21,\"contact\":{\"id\":6},\"course\":{\"id\":11},"
                         "\"accessType\":\"full_access\",\"active\":true}"},
        {RES_COMMUNITY, "{\"id\":31,\"name\":\"Sailors\"}"},
        {RES_SUBSCRIPTION, "{\"id\":51,\"contact\":{\"id\":5},\"status\":\"active\"}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        world_put(w, rows[i].res, rows[i].text);
}

void desk_log(void)
{
    buf_finish(&trace);
    buf_finish(&lines);
    buf_init(&trace, 65536);
    buf_init(&lines, 1 << 20);
    log_setup(LOG_LEVEL_DEBUG, on_log, NULL);
}

void desk_init(struct world *w, const struct world_options *options)
{
    desk_log();
    world_init(w, options);
    desk_fill(w);
}

void know(struct world *w)
{
    assert_int_equal(world_record(w, RES_CONTACT, "5"), 0);
    world_asked(w);
}

/* ---- orders ---- */

struct save_order edit(const char *text)
{
    return (struct save_order){.kind = SAVE_EDIT,
                               .res = RES_CONTACT,
                               .key = 5,
                               .path = PATH,
                               .owner = VIM,
                               .text = text,
                               .text_len = strlen(text),
                               .base = BASE,
                               .filter = -1};
}

struct save_order create(enum resource res, const char *path, const char *text)
{
    return (struct save_order){.kind = SAVE_CREATE,
                               .res = res,
                               .path = path,
                               .owner = VIM,
                               .text = text,
                               .text_len = strlen(text),
                               .filter = -1};
}

struct save_order removal(enum resource res, uint64_t key, const char *path)
{
    return (
        struct save_order){.kind = SAVE_REMOVE, .res = res, .key = key, .path = path, .filter = -1};
}

struct save_order tagging(enum save_kind kind, uint64_t tag)
{
    return (struct save_order){.kind = kind,
                               .res = RES_CONTACT,
                               .key = 5,
                               .item = tag,
                               .path = "contacts/5/tags",
                               .filter = -1};
}

int save(struct world *w, struct save_order order)
{
    return world_save(w, &order);
}

/* ---- what has become of them ---- */

void check_trace(const char *expected)
{
    const char *there = trace.len ? trace.data : "";
    if (strcmp(there, expected) != 0)
        fail_msg("the states were \"%s\", not \"%s\"", there, expected);
    buf_reset(&trace);
}

static void check_requests(const char *asked, const char *expected)
{
    if (strcmp(asked, expected) != 0)
        fail_msg("the requests were\n%snot\n%s", asked, expected);
}

void check_sent(struct world *w, const char *expected)
{
    check_requests(world_sent(w), expected);
}

void check_asked(struct world *w, const char *expected)
{
    check_requests(world_asked(w), expected);
}

void check_kept(struct world *w, const char *path, const char *text)
{
    const char *there = disk_memory_text(&w->disk, path);
    if (!there != !text || (text && strcmp(there, text) != 0))
        fail_msg("%s holds \"%s\", not \"%s\"", path, there ? there : "-", text ? text : "-");
}

void check_reason(struct world *w, const char *draft, const char *part)
{
    char path[256];
    snprintf(path, sizeof(path), "drafts/%s.reason", draft);
    const char *there = disk_memory_text(&w->disk, path);
    if (!there || !strstr(there, part))
        fail_msg("the reason is \"%s\", and \"%s\" is not in it", there ? there : "-", part);
}

void check_known(struct world *w, const char *text)
{
    const struct record *rec = store_peek(w->store, RES_CONTACT, 5);
    assert_non_null(rec);
    assert_string_equal(rec->text, text);
}

unsigned logged(const char *part)
{
    unsigned n = 0;
    for (const char *p = lines.len ? lines.data : ""; (p = strstr(p, part)); p++)
        n++;
    return n;
}

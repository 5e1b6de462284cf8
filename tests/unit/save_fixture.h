/*
 * What the tests of store/save share: an account of a few records, orders in short words, and a
 * trace of the states that a job went through.
 *
 *     desk_init(&w, &(struct world_options){.ttl_ms = TTL});
 *     know(&w);                                  // the contact has just been read
 *     assert_int_equal(save(&w, edit("{\"locale\":\"fr\"}")), 0);
 *     check_trace("drafted planned sending settling done");
 *
 * Layer: tests. Links store and below.
 */
#pragma once

#include "world.h"

#define TTL    60000
#define VIM    4711 /* a process */
#define PATH   "contacts/5.json"
#define PATCH5 "PATCH /api/contacts/5 "

/* Contact 5, as it is at first. */
#define FIELDS(city)                                                                               \
    "[{\"slug\":\"city\",\"value\":" city "},{\"slug\":\"first_name\",\"value\":null}]"
#define CONTACT(locale, city, tags)                                                                \
    "{\"id\":5,\"email\":\"jane@example.com\",\"locale\":\"" locale                                \
    "\",\"fields\":" FIELDS(city) ",\"tags\":[" tags "]}"
#define VIP  "{\"id\":1,\"name\":\"vip\"}"
#define BASE CONTACT("en", "\"Graz\"", VIP)

/* Catches the log, and forgets what was logged before. */
void desk_log(void);
/* Contacts 5 and 6, tags 1, 7, 8 and 9 (vip, seven, eight, nine), course 11, enrollment 21,
 * community 31, subscription 51. */
void desk_fill(struct world *w);
/* Both, and the world itself. */
void desk_init(struct world *w, const struct world_options *options);
/* Reads contact 5, so that it is known as of now. */
void know(struct world *w);

/* Orders. An edit is of contact 5; as it was opened, it was BASE. */
struct save_order edit(const char *text);
struct save_order create(enum resource res, const char *path, const char *text);
struct save_order removal(enum resource res, uint64_t key, const char *path);
struct save_order tagging(enum save_kind kind, uint64_t tag); /* of contact 5 */
/* world_save() */
int save(struct world *w, struct save_order order);

/* The states of all jobs since the last look, one after the other. */
void check_trace(const char *expected);
/* The requests since the last look that change something; of all kinds. */
void check_sent(struct world *w, const char *expected);
void check_asked(struct world *w, const char *expected);
/* What is on the disk; NULL: nothing. */
void check_kept(struct world *w, const char *path, const char *text);
/* That the reason of a draft has that in it. */
void check_reason(struct world *w, const char *draft, const char *part);
/* What the store has of contact 5. */
void check_known(struct world *w, const char *text);
/* Lines of the log that have `part` in them, since desk_init(). */
unsigned logged(const char *part);

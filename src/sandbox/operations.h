/*
 * sandbox/operations: what the rows of the table in api.c point to.
 *
 * A finder looks up the record that the path names and answers 404 (or what the switches say)
 * itself; a runner is called with types and values already checked and `violations` open for the
 * rules that need the world. A runner that adds a violation must not change anything: it returns
 * through call_refused().
 */
#pragma once

#include <cjson/cJSON.h>

#include "collections.h"
#include "message.h"
#include "rules.h"
#include "world.h"

struct call {
    struct world *world;
    const struct request *req;
    struct response *res;
    const char *argument[2];
    const struct collection *collection; /* of a list */
    const cJSON *body;                   /* of a write */
    struct violations violations;
    /* what the finder found */
    size_t pos; /* of a contact, a course or a community */
    void *row;  /* any other record */
};

/* Answers the 422 and returns true if there are violations. */
bool call_refused(struct call *call);
/* The member, or NULL when it is missing or null. */
const char *call_text(const struct call *call, const char *name);
const cJSON *call_member(const struct call *call, const char *name);
void call_no_content(struct call *call);
/* Answers 404 and returns false. */
bool call_not_found(struct call *call);
/* Fills call->row; false after a 404. */
bool call_find_row(struct call *call, const struct rows *rows, const char *argument);

extern const struct member members_contact_create[], members_contact_patch[], members_tag_id[],
    members_tag[], members_field_create[], members_field_patch[], members_enroll[], members_join[],
    members_cancel[], members_webhook_create[], members_webhook_patch[];

bool find_contact(struct call *call);
bool find_contact_parent(struct call *call);
bool find_tag(struct call *call);
bool find_tag_of_contact(struct call *call);
bool find_field(struct call *call);
bool find_course(struct call *call);
bool find_enrollment(struct call *call);
bool find_community(struct call *call);
bool find_membership(struct call *call);
bool find_subscription(struct call *call);
bool find_webhook(struct call *call);

void run_list(struct call *call);
void run_contact_create(struct call *call);
void run_contact_get(struct call *call);
void run_contact_patch(struct call *call);
void run_contact_delete(struct call *call);
void run_tag_assign(struct call *call);
void run_tag_unassign(struct call *call);
void run_tag_create(struct call *call);
void run_tag_get(struct call *call);
void run_tag_put(struct call *call);
void run_row_delete(struct call *call);
void run_field_create(struct call *call);
void run_field_patch(struct call *call);
void run_field_delete(struct call *call);
void run_enroll(struct call *call);
void run_join(struct call *call);
void run_subscription_list(struct call *call);
void run_cancel(struct call *call);
void run_webhook_create(struct call *call);
void run_webhook_get(struct call *call);
void run_webhook_patch(struct call *call);

/*
 * tree/shape: the kinds of node, as one const table. A row, not a case: a new directory or file
 * of the tree is one row here.
 *
 * A node is a kind and a key: the key of the record that it is, or belongs to. Both are packed
 * into the inode number, so that nothing has to be remembered for a number to stay the same
 * across lookups and remounts, and a record has one inode wherever it appears.
 *
 * Layer: tree. Pure data.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "systemefs/api/resource.h"

/* The numbers are part of the inode numbers that people's tools remember: append only. */
enum node_kind {
    KIND_ROOT = 0,
    KIND_README,

    KIND_CONTACT_LIST,
    KIND_CONTACT,
    KIND_CONTACT_DIR,
    KIND_CONTACT_FIELDS,
    KIND_CONTACT_FIELD,
    KIND_CONTACT_TAGS,
    KIND_CONTACT_ENROLLMENTS,
    KIND_CONTACT_MEMBERSHIPS,
    KIND_CONTACT_SUBSCRIPTIONS,
    KIND_SUBSCRIPTION_DIR,
    KIND_SUBSCRIPTION_CANCEL,
    KIND_CONTACT_NAMES,
    KIND_CONTACT_LINK,
    KIND_CONTACT_ALIAS,
    KIND_CONTACT_DIR_ALIAS,

    KIND_TAG_LIST,
    KIND_TAG,
    KIND_TAG_DIR,
    KIND_TAG_CONTACTS,
    KIND_TAG_NAMES,
    KIND_TAG_LINK,
    KIND_TAG_ALIAS,
    KIND_TAG_DIR_ALIAS,

    KIND_FIELD_LIST,
    KIND_FIELD,

    KIND_COURSE_LIST,
    KIND_COURSE,
    KIND_COURSE_DIR,
    KIND_COURSE_ENROLLMENTS,
    KIND_COURSE_NAMES,
    KIND_COURSE_LINK,
    KIND_COURSE_ALIAS,
    KIND_COURSE_DIR_ALIAS,

    KIND_ENROLLMENT_LIST,
    KIND_ENROLLMENT,

    KIND_COMMUNITY_LIST,
    KIND_COMMUNITY,
    KIND_COMMUNITY_DIR,
    KIND_COMMUNITY_MEMBERSHIPS,
    KIND_COMMUNITY_NAMES,
    KIND_COMMUNITY_LINK,
    KIND_COMMUNITY_ALIAS,
    KIND_COMMUNITY_DIR_ALIAS,

    KIND_MEMBERSHIP_LIST,
    KIND_MEMBERSHIP,

    KIND_SUBSCRIPTION_LIST,
    KIND_SUBSCRIPTION,

    KIND_WEBHOOK_LIST,
    KIND_WEBHOOK,

    KIND_CONNECTION_LIST,
    KIND_CONNECTION,

    KIND_CONTROL,
    KIND_STATUS,
    KIND_ERRORS,
    KIND_REQUESTS,
    KIND_METRICS,
    KIND_CTL,

    KIND_SCRATCH,      /* a file of an editor or tool; key: its number */
    KIND_SCRATCH_LINK, /* a symlink of one, and the name under which a record was made */
    KIND_MADE, /* what mkdir has made where no directory shows it: empty, and at once forgotten */
    KIND_DRAFTS,
    KIND_TRASH,
    KIND_SHELF_DIR, /* in drafts/ and trash/; key: of its path */
    KIND_SHELF_FILE,

    KIND_COUNT,
};

/* What a node is made of; each form has its functions (tree/forms). */
enum node_form {
    FORM_FIXED,   /* a directory of fixed children only */
    FORM_RECORDS, /* a directory of records: a listing, whole or filtered by the node's key */
    FORM_MEMBERS, /* a directory of the records that an array in the node's record names */
    FORM_VALUES,  /* a directory of one-value files: the fields of the node's record */
    FORM_SHELF,   /* a directory on disk: drafts and trash */
    FORM_NAMES,   /* a directory of symlinks by human name */
    FORM_RECORD,  /* a file: the record, pretty-printed */
    FORM_VALUE,   /* a file: one field of a record */
    FORM_TEXT,    /* a file: text made here */
    FORM_LINK,    /* a symlink to a record's file or directory */
    FORM_SCRATCH, /* a file in memory */
    FORM_SCRATCH_LINK,
    FORM_SHELF_FILE,
    FORM_COUNT,
};

/* Texts made here (FORM_TEXT): see tree/text. */
enum node_text {
    TEXT_NONE,
    TEXT_README,
    TEXT_CANCEL,
    TEXT_STATUS,
    TEXT_ERRORS,
    TEXT_REQUESTS,
    TEXT_METRICS,
    TEXT_CTL,
    TEXT_COUNT,
};

struct shape {
    enum node_form form;
    enum node_kind parent; /* where it is at home */
    const char *name;      /* its fixed name there; NULL: named after its record */
    bool hidden;           /* walks in by name, is not listed */
    mode_t mode;           /* before the umask */
    enum resource res;     /* of the record, or of what the directory lists */
    bool filtered;         /* FORM_RECORDS: only the records that belong to the node's key */
    enum resource owner;   /* whose key a directory below a record carries */
    const char *member;    /* FORM_MEMBERS, FORM_VALUES: the array in the owner's record */
    const char *target;    /* FORM_LINK: what it says, %s is the id */
    enum node_text text;
    /* What a directory holds besides its fixed children; KIND_ROOT (0): nothing of that sort. */
    enum node_kind entry;     /* ID.json, SLUG */
    enum node_kind entry_dir; /* ID/ */
    bool entry_dir_listed;
    bool dir_removes;         /* rmdir of ID/ deletes the record */
    enum node_kind alias;     /* NAME.json: a symlink by human name, never listed */
    enum node_kind dir_alias; /* NAME: the same for ID/ */
};

extern const struct shape shapes[KIND_COUNT];

static inline const struct shape *shape_of(enum node_kind kind)
{
    return &shapes[kind];
}

struct node {
    enum node_kind kind;
    uint64_t key;
};

#define NODE_ROOT_INO 1 /* of FUSE */

static inline uint64_t node_ino(struct node n)
{
    return n.kind == KIND_ROOT ? NODE_ROOT_INO : (uint64_t)n.kind << 56 | n.key;
}

static inline struct node node_from_ino(uint64_t ino)
{
    return (struct node){.kind = (enum node_kind)(ino >> 56),
                         .key = ino & ((UINT64_C(1) << 56) - 1)};
}

/* The directory in which a node is at home. Not for a value, whose key is made from two. */
struct node node_parent(struct node n);
/* The fixed child of that name, or KIND_ROOT when there is none. */
enum node_kind shape_child(enum node_kind parent, const char *name);
/* Where records of this resource are at home, and the file they are. */
enum node_kind shape_home(enum resource res);
/* Whether nodes of this kind are directories. */
bool shape_is_dir(enum node_kind kind);

/* What a new name in a directory makes, as the API's table has it. */
enum shape_makes {
    MAKES_NOTHING,
    MAKES_RECORD, /* of shape->res; below another record: one that belongs to it */
    MAKES_ITEM, /* puts a record into a set: a tag onto a contact, whichever of the two it lists */
};
enum shape_makes shape_makes(enum node_kind dir);
/* Of a MAKES_ITEM directory: the resource whose record has the set; true when the directory belongs
 * to that record and lists the items, false when it lists the owners. */
bool shape_lists_items(enum node_kind dir, enum resource *ret_owner);

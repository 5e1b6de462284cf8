/* sim/acts: what those who look and those who change share. */
#pragma once

#include "sim.h"

#define FILE_MAX 4096

enum { EDITOR, SHELL, COPY }; /* a person's processes; COPY has never read a record */

struct names {
    char (*names)[64];
    size_t count, cap;
};
void add_name(void *data, const struct entry *entry);

struct entity *any_contact(struct person *p);
/* Sleeps: longer than most answers take, or shorter. */
void think(struct person *p);
void record_path(const struct entity *e, const char *suffix, char out[SIM_PATH]);
/* What is read, in pieces, from the beginning; NULL: it failed. */
char *read_fd(struct person *p, int fd);
/* The same of a record, which is compared with its history. */
char *read_record(struct person *p, struct entity *e);

/* looks.c */
void act_cat(struct person *p);
void act_cat_field(struct person *p);
void act_ls(struct person *p);
void act_grep(struct person *p);
void act_ls_parts(struct person *p);
void act_less(struct person *p);
void act_cat_email(struct person *p);
void act_refresh(struct person *p);

/* relate.c */
void act_join(struct person *p);
void act_leave(struct person *p);
void act_cancel(struct person *p);
void act_touch(struct person *p);
void act_xattrs(struct person *p);
void act_cat_name(struct person *p);
void act_ls_names(struct person *p);

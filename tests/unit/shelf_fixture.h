/*
 * What the tests of store/shelf share: a shelf on a disk in memory, a clock moved by hand, and
 * short words for what is done with them.
 */
#pragma once

#include "systemefs/base/clock.h"
#include "systemefs/store/shelf.h"

#include "disk_memory.h"

#define VIM         4711 /* processes */
#define CP          4712
#define INTERRUPTED "interrupted; it may have been sent\n"

extern struct disk_memory m;
extern struct clock_manual clock_of_test;
extern struct shelf *s;
extern unsigned warnings; /* that were logged since begin() */

/* Each test starts with an empty disk; at its end nothing is locked. */
int begin(void **state);
int end(void **state);
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

/* The program starts again over the same disk. */
void restart(void);
/* A draft that begins, which must go well; one that is refused with "no" at once. */
struct draft *save(const char *path, pid_t owner, const char *text);
void refuse(const char *path, pid_t owner, const char *text);
/* Trash that must go to `place`. */
void discard(const char *path, const char *text, const char *place);
/* A file that was on the disk before. */
void put(const char *path, const char *text);
/* That the file on the disk holds this; NULL: that it is not there. */
void check(const char *path, const char *text);
/* Appends "name " or "name/ " to a buffer. */
void append_entry(void *data, const char *name, const struct disk_info *info);
/* That shelf_list() tells these names. */
void check_list(const char *path, const char *expected);

/*
 * What the tests of conf/options share: a home directory of their own, an environment with a direct
 * key and nothing else, and a call of options_parse() whose outcome is in `o` and `why`.
 */
#pragma once

#include "systemefs/base/buf.h"
#include "systemefs/conf/options.h"

extern struct options o;
extern struct buf why;
/* The home directory. */
extern char home[];

/* For cmocka_run_group_tests(). */
int make_home(void **state);
int remove_home(void **state);
/* Each test starts with a home without a file, and a direct key in the environment. */
int begin(void **state);
int end(void **state);
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

/* A path in the home directory, valid until the next call. */
const char *home_path(const char *name);
void write_file(const char *name, const char *text);
void write_config(const char *text);
/* The arguments behind the program's name, ended by NULL. Checks that a failure has a sentence. */
int parse_args(const char *const *args);
#define PARSE(...) parse_args((const char *const[]){__VA_ARGS__, NULL})
/* That the sentence has this part. */
void check_why(const char *part);

/*
 * sandbox/names: the raw material of a believable account. Data only, no state.
 *
 * People come in many scripts, because a file system that only ever met ASCII breaks on its first
 * real customer. Texts are UTF-8.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define NAMES_FIRST 6
#define NAMES_LAST  6
#define NAMES_CITY  3

struct name {
    const char *text;  /* as the person writes it */
    const char *ascii; /* as it stands in the e-mail address */
};

struct culture {
    const char *locale;  /* one of the API's 28 */
    const char *country; /* ISO 3166-1 */
    const char *phone;   /* prefix */
    const char *city[NAMES_CITY];
    struct name first[NAMES_FIRST];
    struct name last[NAMES_LAST];
};

/* Somebody with a fixed address, so that examples and tests can name them. */
struct person {
    const char *email, *first, *last;
};

/* A list that ends in NULL; the `nasty` ones only come with --nasty-names. */
extern const struct culture names_cultures[];
extern const size_t names_culture_count;
extern const char *const names_tags[];
extern const char *const names_tags_nasty[];
extern const char *const names_courses[];
extern const char *const names_modules[];
extern const char *const names_communities[];
extern const char *const names_colours[];
extern const char *const names_companies[];
/* The oldest contacts of every account. */
extern const struct person names_people[];
extern const size_t names_people_count, names_people_nasty_count;
extern const struct person names_people_nasty[];
/* The locales that the API takes, and the countries that the sandbox knows. */
extern const char *const names_locales[];
extern const char *const names_countries[];

size_t names_count(const char *const *list);
bool names_contain(const char *const *list, const char *name);

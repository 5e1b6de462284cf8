#include "human.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemefs/base/macros.h"
#include "text.h"

#define SINCE 1577836800 /* 2020-01-01: the oldest contact */
#define UNTIL 1772323200 /* 2026-03-01: the newest generated one */

/* Which draw decides what. */
enum salt {
    SALT_CULTURE,
    SALT_NAMES,
    SALT_DATE,
    SALT_FLAGS,
    SALT_TAGS,
    SALT_SOURCE,
    SALT_FIELD, /* + position of the field */
};

struct human human_at(const struct world *w, size_t pos)
{
    uint64_t names = world_draw(w, pos, SALT_NAMES);
    struct human h = {.culture =
                          &names_cultures[world_draw(w, pos, SALT_CULTURE) % names_culture_count]};
    h.first = &h.culture->first[names % NAMES_FIRST];
    h.last = &h.culture->last[(names >> 16) % NAMES_LAST];
    if (pos < names_people_count)
        h.known = &names_people[pos];
    else if (w->settings->nasty_names && pos < names_people_count + names_people_nasty_count)
        h.known = &names_people_nasty[pos - names_people_count];
    return h;
}

/* The position stands in the address, so that an address finds its contact without an index. */
const char *human_email(const struct human *h, size_t pos, char out[HUMAN_TEXT])
{
    if (h->known)
        return h->known->email;
    static const char *const domains[] = {"example.com", "example.org", "example.net",
                                          "mail.example.com"};
    char *p = out;
    p = stpcpy(p, h->first->ascii);
    *p++ = '.';
    p = stpcpy(p, h->last->ascii);
    *p++ = '.';
    struct buf digits;
    buf_init(&digits, 32);
    text_int(&digits, (int64_t)pos);
    p = stpcpy(p, digits.data);
    buf_finish(&digits);
    *p++ = '@';
    stpcpy(p, domains[pos % ARRAY_SIZE(domains)]);
    return out;
}

const char *human_value(const struct world *w, const struct human *h, size_t pos, size_t field,
                        enum field_kind kind, char scratch[HUMAN_TEXT])
{
    uint64_t d = world_draw(w, pos, SALT_FIELD + (unsigned)field);
    switch (kind) {
    case FIELD_FIRST_NAME:
        return h->known ? h->known->first : d % 16 ? h->first->text : NULL;
    case FIELD_SURNAME:
        return h->known ? h->known->last : d % 8 ? h->last->text : NULL;
    case FIELD_COUNTRY:
        return d % 4 ? h->culture->country : NULL;
    case FIELD_CITY:
        return d % 3 ? h->culture->city[d / 8 % NAMES_CITY] : NULL;
    case FIELD_COMPANY:
        return d % 3 ? NULL : names_companies[d / 8 % 8];
    case FIELD_COLOUR:
        return d % 2 ? names_colours[d / 8 % 6] : NULL;
    case FIELD_PHONE:
        if (d % 3 == 0)
            return NULL;
        stpcpy(scratch, h->culture->phone);
        for (size_t i = strlen(scratch), end = i + 9; i < end; i++, d /= 7) {
            scratch[i] = (char)('0' + d % 10);
            scratch[i + 1] = '\0';
        }
        return scratch;
    case FIELD_STREET:
        snprintf(scratch, HUMAN_TEXT, "%u %s Street", (unsigned)(d % 200), h->last->text);
        return scratch;
    case FIELD_POSTCODE:
    case FIELD_TAX_NUMBER:
    case FIELD_CUSTOM:
        if (d % 2)
            return NULL;
        snprintf(scratch, HUMAN_TEXT, "%05u", (unsigned)(d / 2 % 100000));
        return scratch;
    case FIELD_NOTES:
        return w->padding;
    case FIELD_STATE:
    case FIELD_NOTHING:
        break;
    }
    return NULL;
}

size_t human_tags(const struct world *w, size_t pos, size_t out[WORLD_TAGS_A_CONTACT])
{
    if (w->base_tags < 2)
        return 0;
    uint64_t d = world_draw(w, pos, SALT_TAGS);
    static const uint8_t how_many[] = {0, 0, 1, 1, 1, 2, 2, 3};
    size_t count = 0, wanted = how_many[d % 8];
    for (size_t i = 0; i < wanted; i++) {
        uint64_t part = d >> (8 + 18 * i), n = w->base_tags - 1;
        size_t tag = (size_t)((part & 0x1ff) * n / 512 * (part >> 9 & 0x1ff) / 512);
        size_t at = 0;
        while (at < count && out[at] < tag)
            at++;
        if (at < count && out[at] == tag)
            continue;
        memmove(out + at + 1, out + at, (count - at) * sizeof(*out));
        out[at] = tag;
        count++;
    }
    return count;
}

const char *human_source(const struct world *w, size_t pos, char out[HUMAN_TEXT])
{
    uint64_t d = world_draw(w, pos, SALT_SOURCE);
    if (d % 4 == 0)
        return NULL;
    stpcpy(stpcpy(out, "https://shop.example.com/optin/"), d % 4 == 1 ? "bread?ref=a&x=1" : "free");
    return out;
}

int64_t human_registered(const struct world *w, size_t pos)
{
    int64_t span = UNTIL - SINCE, count = (int64_t)w->base_count;
    return SINCE + (int64_t)pos * span / count +
           (int64_t)(world_draw(w, pos, SALT_DATE) % (uint64_t)MAX(span / count, 1));
}

void human_flags(const struct world *w, size_t pos, bool *unsubscribed, bool *bounced,
                 bool *needs_confirmation)
{
    uint64_t d = world_draw(w, pos, SALT_FLAGS);
    *unsubscribed = d % 16 == 0;
    *bounced = d / 16 % 32 == 0;
    *needs_confirmation = d / 512 % 24 == 0;
}

bool human_find_email(const struct world *w, const char *email, size_t *ret_pos)
{
    char own[HUMAN_TEXT];
    size_t known = names_people_count + names_people_nasty_count;
    for (size_t pos = 0; pos < MIN(known, w->base_count); pos++) {
        struct human h = human_at(w, pos);
        if (text_same(human_email(&h, pos, own), email)) {
            *ret_pos = pos;
            return true;
        }
    }
    const char *at = strchr(email, '@'), *dot = at;
    while (dot && dot > email && dot[-1] != '.')
        dot--;
    if (!at || at - dot > 12 || at == dot)
        return false;
    char digits[16] = "";
    memcpy(digits, dot, (size_t)(at - dot));
    int64_t pos;
    if (!text_parse_int(digits, &pos) || pos < 0 || (size_t)pos >= w->base_count)
        return false;
    struct human h = human_at(w, (size_t)pos);
    if (!text_same(human_email(&h, (size_t)pos, own), email))
        return false;
    *ret_pos = (size_t)pos;
    return true;
}

/* codec/patch: what is sent for which edit. In the cases ' stands for ", to be readable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "systemefs/codec/patch.h"

static const struct patch_member contact[] = {
    {.name = "email", .kind = PATCH_VALUE, .create = true},
    {.name = "locale", .kind = PATCH_VALUE, .create = true, .save = true},
    {.name = "fields", .kind = PATCH_PAIRS, .create = true, .save = true},
    {.name = "tags", .kind = PATCH_SET, .create = true, .save = true},
    {.name = "firstName", .kind = PATCH_ALIAS, .create = true, .save = true, .slug = "first_name"},
    {.name = "lastName", .kind = PATCH_ALIAS, .create = true, .save = true, .slug = "surname"},
    {.name = "id", .kind = PATCH_SERVER},
    {.name = "registeredAt", .kind = PATCH_SERVER},
    {.name = "sourceURL", .kind = PATCH_SERVER},
    {0},
};

static const struct patch_member tag[] = {
    {.name = "name", .kind = PATCH_VALUE, .create = true, .save = true},
    {.name = "id", .kind = PATCH_SERVER},
    {0},
};

static const struct patch_member enrollment[] = {
    {.name = "courseId", .kind = PATCH_VALUE, .create = true, .in_path = true},
    {.name = "contactId", .kind = PATCH_VALUE, .create = true},
    {.name = "accessType", .kind = PATCH_VALUE, .create = true},
    {.name = "modules", .kind = PATCH_VALUE, .create = true},
    {.name = "course", .kind = PATCH_REFERENCE, .create = true, .slug = "courseId"},
    {.name = "contact", .kind = PATCH_REFERENCE, .create = true, .slug = "contactId"},
    {.name = "id", .kind = PATCH_SERVER},
    {.name = "active", .kind = PATCH_SERVER},
    {0},
};

static const struct patch_member webhook[] = {
    {.name = "name", .kind = PATCH_VALUE, .create = true, .save = true},
    {.name = "secret", .kind = PATCH_VALUE, .create = true, .save = true},
    {.name = "active", .kind = PATCH_VALUE, .create = true, .save = true},
    {.name = "url", .kind = PATCH_VALUE, .create = true},
    {.name = "subscriptions", .kind = PATCH_EVENTS, .create = true, .save = true},
    {.name = "id", .kind = PATCH_SERVER},
    {0},
};

static const struct patch_member field[] = {
    {.name = "slug", .kind = PATCH_VALUE, .create = true},
    {.name = "fieldName", .kind = PATCH_VALUE, .create = true, .save = true},
    {0},
};

/* A contact of three fields and two tags. */
#define ADA                                                                                        \
    "{'id':7,'email':'ada@x.org','locale':'en','sourceURL':null,'newer':{'a':1,'b':[2]},"          \
    "'fields':[{'fieldName':'First name','slug':'first_name','value':'Ada'},"                      \
    "{'fieldName':'Surname','slug':'surname','value':'Byron'},"                                    \
    "{'fieldName':'City','slug':'city','value':null}],"                                            \
    "'tags':[{'id':5,'name':'news'},{'id':6,'name':'vip'}]}"

#define HOOK                                                                                       \
    "{'id':'u','name':'crm','url':'https://x','active':true,'subscriptions':["                     \
    "{'id':'s1','event':'SALE_NEW','schemaVersion':2,'disabledAt':null},"                          \
    "{'id':'s2','event':'CONTACT_CREATED','schemaVersion':1,'disabledAt':null}]}"

struct row {
    const struct patch_member *members;
    const char *base; /* NULL: a new record */
    const char *mine;
    const char *theirs; /* NULL: none */
    int error;
    const char *body; /* with an error: the reason */
    const char *items;
    size_t changes;
    const char *path;
    const char *seen; /* NULL: nobody has looked */
};

struct text {
    char *bytes;
    struct json value;
};

static void text_finish(struct text *t)
{
    free(t->bytes);
}

static struct text text_of(const char *quoted)
{
    struct text t = {.bytes = quoted ? strdup(quoted) : NULL};
    if (!t.bytes)
        return t;
    for (char *p = t.bytes; *p; p++)
        if (*p == '\'')
            *p = '"';
    assert_int_equal(json_check(t.bytes, strlen(t.bytes), &t.value, NULL), 0);
    return t;
}

/* "-5 +7 +'new'": an item by its id, or else by its name. */
static char *items_text(const struct patch *p)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < patch_item_count(p); i++) {
        struct patch_item item = patch_item_at(p, i);
        struct json v = item.id.len ? item.id : item.name;
        buf_printf(&b, "%s%c%.*s", i ? " " : "", item.remove ? '-' : '+', (int)v.len, v.p);
    }
    char *text = buf_take(&b, NULL);
    for (char *c = text; *c; c++)
        if (*c == '"')
            *c = '\'';
    return text;
}

static void check_row(const struct row *row)
{
    struct text base CLEANUP(text_finish), mine CLEANUP(text_finish), theirs CLEANUP(text_finish);
    struct text body CLEANUP(text_finish), seen CLEANUP(text_finish);
    struct patch p;
    base = text_of(row->base);
    mine = text_of(row->mine);
    theirs = text_of(row->theirs);
    seen = text_of(row->seen);
    body = (struct text){.bytes = strdup(row->body ? row->body : "{}")};
    patch_init(&p);
    int err = row->base ? patch_diff_seen(row->members, base.value, mine.value, theirs.value,
                                          seen.value, &p)
                        : patch_create(row->members, mine.value, &p);
    for (char *c = body.bytes; *c; c++)
        if (*c == '\'')
            *c = '"';
    if (err != row->error)
        fail_msg("%s: error %d (%s), not %d", row->mine, err, p.why, row->error);
    if (strcmp(err ? p.why : p.body.data, body.bytes) != 0)
        fail_msg("%s:\n%s, not\n%s", row->mine, err ? p.why : p.body.data, body.bytes);
    if (!err) {
        char *items = items_text(&p);
        assert_string_equal(items, row->items ? row->items : "");
        assert_int_equal(p.changes, row->changes);
        assert_int_equal(p.path.len, row->path ? strlen(row->path) : 0);
        assert_true(!row->path || memcmp(p.path.p, row->path, p.path.len) == 0);
        free(items);
    }
    patch_finish(&p);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i]);
}

static void test_members(void **state UNUSED)
{
    static const struct row rows[] = {
        {contact, ADA, ADA},
        {contact, ADA, "{}"},
        {contact, ADA, "{'locale':'fr'}", .body = "{'locale':'fr'}", .changes = 1},
        {contact, ADA, "{'locale':null}", .body = "{'locale':null}", .changes = 1},
        {contact, "{'email':'a'}", "{'locale':null,'registeredAt':null}"},
        {contact, ADA, " { 'locale' : '\\u0065n' } "},
        {contact, ADA, "{'locale' : {'b': 1.0, 'a' : 'x\\/y'}}",
         .body = "{'locale':{'b':1.0,'a':'x/y'}}", .changes = 1},
        /* Order of members is nothing, of elements and digits something. */
        {contact, ADA, "{'newer':{'b':[2],'a':1}}"},
        {contact, "{'locale':[{'a':1,'b':{'c':2,'d':3}},2]}",
         "{'locale':[{'b':{'d':3,'c':2},'a':1},2]}"},
        {contact, "{'locale':[1,2]}", "{'locale':[2,1]}", .body = "{'locale':[2,1]}", .changes = 1},
        {contact, "{'locale':[1,2]}", "{'locale':[1]}", .body = "{'locale':[1]}", .changes = 1},
        {contact, "{'locale':[1]}", "{'locale':[1,2]}", .body = "{'locale':[1,2]}", .changes = 1},
        {contact, "{'locale':1}", "{'locale':1.0}", .body = "{'locale':1.0}", .changes = 1},
        {contact, "{'locale':1}", "{'locale':'1'}", .body = "{'locale':'1'}", .changes = 1},
        {contact, "{'locale':false}", "{'locale':true}", .body = "{'locale':true}", .changes = 1},
        {contact, "{'locale':{'a':1}}", "{'locale':{'a':1,'b':2}}",
         .body = "{'locale':{'a':1,'b':2}}", .changes = 1},
        {contact, "{'locale':{'a':1,'b':2}}", "{'locale':{'a':1}}", .body = "{'locale':{'a':1}}",
         .changes = 1},
        {contact, "{'locale':{'a':1,'b':2}}", "{'locale':{'b':2}}", .body = "{'locale':{'b':2}}",
         .changes = 1},
        {contact, "{'locale':{'a':1,'b':2}}", "{'locale':{'c':2,'a':1}}",
         .body = "{'locale':{'c':2,'a':1}}", .changes = 1},
        {webhook, HOOK, "{'secret':'s','active':false,'name':'x'}",
         .body = "{'secret':'s','active':false,'name':'x'}", .changes = 3},
        {field, "{'slug':'s','fieldName':'S'}", "{'slug':'s','fieldName':'T'}",
         .body = "{'fieldName':'T'}", .changes = 1},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void test_refusals(void **state UNUSED)
{
    static const struct row rows[] = {
        {contact, ADA, "{'email':'b@x.org'}", NULL, -EINVAL,
         "'email' cannot be changed through the API"},
        {contact, ADA, "{'locale':'fr','id':8}", NULL, -EINVAL,
         "'id' cannot be changed through the API"},
        {contact, ADA, "{'registeredAt':'x'}", NULL, -EINVAL,
         "'registeredAt' cannot be changed through the API"},
        {contact, ADA, "{'newer':{'a':1,'b':[3]}}", NULL, -EINVAL, "the API has no member 'newer'"},
        {contact, ADA, "{'frist_name':'x'}", NULL, -EINVAL, "the API has no member 'frist_name'"},
        {contact, ADA, "{'nothing':null}", NULL, -EINVAL, "the API has no member 'nothing'"},
        /* One typo: other, less, more, swapped. Two are too many. */
        {contact, ADA, "{'lokale':'fr'}", NULL, -EINVAL,
         "the API has no member 'lokale'; 'locale'?"},
        {contact, ADA, "{'local':'fr'}", NULL, -EINVAL, "the API has no member 'local'; 'locale'?"},
        {contact, ADA, "{'loccale':'fr'}", NULL, -EINVAL,
         "the API has no member 'loccale'; 'locale'?"},
        {contact, ADA, "{'loacle':'fr'}", NULL, -EINVAL,
         "the API has no member 'loacle'; 'locale'?"},
        {contact, ADA, "{'firstname':'x'}", NULL, -EINVAL,
         "the API has no member 'firstname'; 'firstName'?"},
        {contact, ADA, "{'lokal':'fr'}", NULL, -EINVAL, "the API has no member 'lokal'"},
        {contact, ADA, "{'loelca':'fr'}", NULL, -EINVAL, "the API has no member 'loelca'"},
        {contact, ADA, "{'':'fr'}", NULL, -EINVAL, "the API has no member ''"},
        {enrollment, "{'id':1,'course':{'id':3}}", "{'course':{'id':4}}", NULL, -EINVAL,
         "'course' cannot be changed through the API"},
        {enrollment, "{'id':1,'course':{'id':3}}", "{'courseId':4}", NULL, -EINVAL,
         "'courseId' cannot be changed through the API"},
        {enrollment, "{'id':1,'course':{'id':3,'x':1}}", "{'course':{'x':1,'id':3}}"},
        /* No text can hold these; where nothing is to be sent, they may stand. */
        {contact, ADA, "{'locale':'a\\u0000'}", NULL, -EINVAL,
         "'locale' holds what cannot be sent: the character 0, or half a surrogate pair"},
        {contact, ADA, "{'locale':[{'\\uD800':1}]}", NULL, -EINVAL,
         "'locale' holds what cannot be sent: the character 0, or half a surrogate pair"},
        {contact, ADA, "{'firstName':'\\udc00'}", NULL, -EINVAL,
         "'first_name' holds what cannot be sent: the character 0, or half a surrogate pair"},
        {contact, ADA, "{'fields':[{'slug':'a\\u0000','value':1}]}", NULL, -EINVAL,
         "'a\\u0000' holds what cannot be sent: the character 0, or half a surrogate pair"},
        {contact, ADA, "{'tags':['\\ud83d']}", NULL, -EINVAL,
         "'tags' holds what cannot be sent: the character 0, or half a surrogate pair"},
        {webhook, HOOK, "{'subscriptions':['\\u0000']}", NULL, -EINVAL,
         "'subscriptions' holds what cannot be sent: the character 0, or half a surrogate pair"},
        {contact, "{'locale':'a\\u0000'}", "{'locale':'\\u0061\\u0000'}"},
        {contact, ADA, "{'locale':'\\\\u0000 \\ud83d\\ude00'}",
         .body = "{'locale':'\\\\u0000 \xf0\x9f\x98\x80'}", .changes = 1},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void test_pairs(void **state UNUSED)
{
    static const struct row rows[] = {
        {contact, ADA, "{'fields':[]}"},
        {contact, ADA, "{'fields':[{'slug':'city','value':'Rome'}]}",
         .body = "{'fields':[{'slug':'city','value':'Rome'}]}", .changes = 1},
        {contact, ADA, "{'fields':[{'value':null,'slug':'surname','fieldName':'Surname'}]}",
         .body = "{'fields':[{'slug':'surname','value':null}]}", .changes = 1},
        {contact, ADA,
         "{'fields':[{'slug':'city','value':null},{'slug':'new','value':null},"
         "{'slug':'first_name','value':'Ada'}]}"},
        {contact, ADA, "{'fields':[{'slug':'new','value':'x','fieldName':'New'}]}",
         .body = "{'fields':[{'slug':'new','value':'x'}]}", .changes = 1},
        {contact, ADA, "{'fields':[{'slug':'\\u0063ity','value':'a\\u0062'}]}",
         .body = "{'fields':[{'slug':'city','value':'ab'}]}", .changes = 1},
        /* Order, and one array for all. */
        {contact, ADA,
         "{'fields':[{'slug':'city','value':'Rome'},{'slug':'surname','value':'B'}],"
         "'locale':'fr','firstName':'A'}",
         .body = "{'fields':[{'slug':'city','value':'Rome'},{'slug':'surname','value':'B'},"
                 "{'slug':'first_name','value':'A'}],'locale':'fr'}",
         .changes = 4},
        {contact, ADA,
         "{'fields':[{'slug':'city','value':null}],'locale':'fr','lastName':'B','firstName':'A'}",
         .body = "{'locale':'fr','fields':[{'slug':'surname','value':'B'},"
                 "{'slug':'first_name','value':'A'}]}",
         .changes = 3},
        {contact, ADA, "{'firstName':'A','fields':[{'slug':'city','value':'Rome'}]}",
         .body = "{'fields':[{'slug':'first_name','value':'A'},{'slug':'city','value':'Rome'}]}",
         .changes = 2},
        {contact, ADA, "{'firstName':'Ada','lastName':null}",
         .body = "{'fields':[{'slug':'surname','value':null}]}", .changes = 1},
        {contact, ADA, "{'firstName':'A','fields':[{'slug':'first_name','value':'\\u0041'}]}",
         .body = "{'fields':[{'slug':'first_name','value':'A'}]}", .changes = 1},
        {contact, ADA, "{'firstName':'A','fields':[{'slug':'first_name','value':'Ada'}]}", NULL,
         -EINVAL, "'first_name' is given two different values"},
        /* A member that the API has under the name of an alias. */
        {contact, "{'firstName':'X','fields':[]}", "{'firstName':'X'}"},
        {contact, "{'firstName':'X','fields':[]}", "{'firstName':'Y'}",
         .body = "{'fields':[{'slug':'first_name','value':'Y'}]}", .changes = 1},
        /* What cannot be meant. */
        {contact, ADA,
         "{'fields':[{'slug':'city','value':'a'},{'slug':'x','value':'b'},"
         "{'slug':'c\\u0069ty','value':'a'}]}",
         NULL, -EINVAL, "'city' is twice in 'fields'"},
        {contact, ADA, "{'fields':[{'slug':'city'}]}", NULL, -EINVAL,
         "'city' in 'fields' needs a value"},
        {contact, "{'fields':[{'slug':'city'}]}", "{'fields':[{'slug':'city'}]}"},
        {contact, "{'fields':{'a':1}}", "{'fields':{'a':1}}"},
        {contact, "{'fields':null}", "{'fields':null}"},
        {contact, ADA, "{'fields':[{'slug':'city','fieldName':'Town','value':null}]}", NULL,
         -EINVAL, "'fieldName' of 'city' cannot be changed through the API"},
        {contact, ADA, "{'fields':null}", NULL, -EINVAL,
         "'fields' must be an array of objects with 'slug' and 'value'"},
        {contact, ADA, "{'fields':{'city':'Rome'}}", NULL, -EINVAL,
         "'fields' must be an array of objects with 'slug' and 'value'"},
        {contact, ADA, "{'fields':[{'slug':'city','value':null},{'slug':5,'value':1}]}", NULL,
         -EINVAL,
         "'fields' must be an array of objects with 'slug' and 'value'; entry 2 is something else"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void test_sets(void **state UNUSED)
{
#define MUST "'tags' must be an array of ids, of names, or of objects with 'id' or 'name'"
    static const struct row rows[] = {
        {contact, ADA, "{'tags':[6,5]}"},
        {contact, ADA, "{'tags':['vip',{'name':'news'}]}"},
        {contact, ADA, "{'tags':[{'id':5},{'id':6,'name':'v\\u0069p','createdAt':'x'},6]}"},
        {contact, ADA, "{'tags':[]}", .items = "-5 -6"},
        {contact, ADA, "{'tags':null}", .items = "-5 -6"},
        {contact, "{}", "{'tags':null}"},
        {contact, ADA, "{'tags':[9,'new',{'id':8,'name':'n'},6]}", .items = "-5 +9 +'new' +8"},
        {contact, ADA, "{'tags':[5,6,9,{'id':9},'new',{'name':'new'},9]}", .items = "+9 +'new'"},
        {contact, ADA, "{'tags':[5,6,'n',{'id':8,'name':'n'},'n']}", .items = "+8"},
        {contact, ADA, "{'tags':[{'id':null,'name':'news'}],'locale':'fr'}",
         .body = "{'locale':'fr'}", .items = "-6", .changes = 1},
        {contact, "{'tags':[{'id':1,'name':'x'},{'id':2,'name':'x'},{'id':3,'name':'y'}]}",
         "{'tags':['x']}", .items = "-3"},
        {contact, "{'tags':[{'id':1,'name':'x'},{'id':2,'name':'x'}]}",
         "{'tags':[{'id':2,'name':'x'}]}", .items = "-1"},
        {contact, "{'tags':[{'id':'a-b','name':'x'}]}", "{'tags':[{'id':'c-d'}]}",
         .items = "-'a-b' +'c-d'"},
        {contact, ADA, "{'tags':[{'id':5,'name':'vip'}]}", NULL, -EINVAL,
         "id '5' in 'tags' is 'news', not 'vip'"},
        {contact, ADA, "{'tags':[{'id':9,'name':'a'},{'id':9,'name':'b'}]}", NULL, -EINVAL,
         "id '9' in 'tags' is 'a', not 'b'"},
        {contact, ADA, "{'tags':{'id':5}}", NULL, -EINVAL, MUST},
        {contact, ADA, "{'tags':[null]}", NULL, -EINVAL, MUST "; entry 1 is something else"},
        {contact, ADA, "{'tags':[5,true]}", NULL, -EINVAL, MUST "; entry 2 is something else"},
        {contact, ADA, "{'tags':[5,6,1.5]}", NULL, -EINVAL, MUST "; entry 3 is something else"},
        {contact, ADA, "{'tags':[0]}", NULL, -EINVAL, MUST "; entry 1 is something else"},
        {contact, ADA, "{'tags':['']}", NULL, -EINVAL, MUST "; entry 1 is something else"},
        {contact, ADA, "{'tags':[{'tag':5}]}", NULL, -EINVAL, MUST "; entry 1 is something else"},
        {contact, ADA, "{'tags':[{'id':5,'name':7}]}", NULL, -EINVAL,
         MUST "; entry 1 is something else"},
        /* Theirs has it already, or never had it, or has other ones. */
        {contact, ADA, "{'tags':[5,9,'new']}", "{'tags':[{'id':9,'name':'n'},{'id':6}]}",
         .items = "-6 +'new'"},
        {contact, ADA, "{'tags':[5,9,'new']}", "{'tags':[{'id':4,'name':'new'}]}", .items = "+9"},
        {contact, ADA, "{'tags':[6,5]}", "{'tags':[{'id':4,'name':'new'}]}"},
        {contact, ADA, "{'locale':'en'}", "{'tags':[]}"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void test_events(void **state UNUSED)
{
#define SUBSCRIPTIONS_MUST "'subscriptions' must be an array of events, or of objects with 'event'"
    static const struct row rows[] = {
        {webhook, HOOK, HOOK},
        {webhook, HOOK, "{'subscriptions':['CONTACT_CREATED','SALE_NEW','SALE_NEW']}"},
        {webhook, HOOK,
         "{'subscriptions':[{'event':'CONTACT_CREATED','schemaVersion':1},'SALE_NEW']}"},
        {webhook, HOOK, "{'subscriptions':['SALE_NEW']}", .body = "{'subscriptions':['SALE_NEW']}",
         .changes = 1},
        {webhook, HOOK, "{'subscriptions':null}", .body = "{'subscriptions':[]}", .changes = 1},
        {webhook, HOOK,
         "{'subscriptions':['SALE_NEW',{'event':'CONTACT_CREATED','schemaVersion':1},"
         "{'event':'SALE_CANCELED'},'SALE_CANCELED']}",
         .body = "{'subscriptions':['SALE_NEW','CONTACT_CREATED','SALE_CANCELED']}", .changes = 1},
        {webhook, HOOK,
         "{'name':'b','subscriptions':[{'event':'SALE_NEW','schemaVersion':3},'CONTACT_CREATED',"
         "'SALE_NEW']}",
         .body = "{'name':'b','subscriptions':[{'event':'SALE_NEW','schemaVersion':3},"
                 "'CONTACT_CREATED']}",
         .changes = 2},
        {webhook, "{'subscriptions':[{'event':'A'}]}",
         "{'subscriptions':[{'schemaVersion':1,'id':'x','event':'A'}]}", NULL, 0,
         "{'subscriptions':[{'event':'A','schemaVersion':1}]}", .changes = 1},
        {webhook, HOOK,
         "{'subscriptions':['SALE_NEW',{'event':'CONTACT_CREATED','disabledAt':'now'}]}", NULL,
         -EINVAL, "'disabledAt' of 'CONTACT_CREATED' cannot be changed through the API"},
        {webhook, HOOK, "{'subscriptions':'SALE_NEW'}", NULL, -EINVAL, SUBSCRIPTIONS_MUST},
        {webhook, HOOK, "{'subscriptions':[{'evnt':'A'}]}", NULL, -EINVAL,
         SUBSCRIPTIONS_MUST "; entry 1 is something else"},
        {webhook, HOOK, "{'subscriptions':[5]}", NULL, -EINVAL,
         SUBSCRIPTIONS_MUST "; entry 1 is something else"},
        {webhook, HOOK, "{'subscriptions':[{'event':'A','schemaVersion':'1'}]}", NULL, -EINVAL,
         SUBSCRIPTIONS_MUST "; entry 1 is something else"},
        /* Three sides: a set is one value. */
        {webhook, HOOK, "{'subscriptions':['A']}",
         "{'subscriptions':[{'event':'CONTACT_CREATED','schemaVersion':1,'disabledAt':'x'},"
         "{'event':'SALE_NEW','schemaVersion':2}]}",
         0, "{'subscriptions':['A']}", .changes = 1},
        {webhook, HOOK, "{'subscriptions':['A']}",
         "{'subscriptions':[{'event':'A','schemaVersion':4}]}"},
        {webhook, HOOK, "{'subscriptions':['A']}", "{'subscriptions':['SALE_NEW']}", -ESTALE,
         "'subscriptions' was changed to something else meanwhile"},
        {webhook, HOOK, "{'name':'b'}", "{'name':'crm','subscriptions':['SALE_NEW']}", 0,
         "{'name':'b'}", .changes = 1},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void test_three_sides(void **state UNUSED)
{
    static const struct row rows[] = {
        {contact, ADA, "{'locale':'fr'}", "{'locale':'en','fields':[]}", 0, "{'locale':'fr'}",
         .changes = 1},
        {contact, ADA, "{'locale':'fr'}", "{'locale':'fr'}"},
        {contact, ADA, "{'locale':'fr'}", "{'locale':'de'}", -ESTALE,
         "'locale' was changed to something else meanwhile"},
        {contact, ADA, "{'locale':'fr'}", "{}", -ESTALE,
         "'locale' was changed to something else meanwhile"},
        {contact, ADA, "{'locale':null}", "{}"},
        {contact, "{}", "{'locale':'fr'}", "{'locale':null}", 0, "{'locale':'fr'}", .changes = 1},
        {contact, ADA, "{'firstName':'A','fields':[{'slug':'surname','value':'B'}]}",
         "{'fields':[{'slug':'surname','value':'Byron'},{'slug':'first_name','value':'A'},"
         "{'slug':'city','value':'Rome'}]}",
         0, "{'fields':[{'slug':'surname','value':'B'}]}", .changes = 1},
        {contact, ADA, "{'fields':[{'slug':'city','value':'Bath'}]}", "{'fields':[]}", 0,
         "{'fields':[{'slug':'city','value':'Bath'}]}", .changes = 1},
        {contact, ADA, "{'fields':[{'slug':'city','value':'Bath'}]}",
         "{'fields':[{'slug':'city','value':'Rome'}]}", -ESTALE,
         "'city' was changed to something else meanwhile"},
        {contact, ADA, "{'firstName':'A'}", "{'fields':[]}", -ESTALE,
         "'first_name' was changed to something else meanwhile"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

/* A conflict that was looked at: what theirs still has so is none any more. */
static void test_seen(void **state UNUSED)
{
    static const struct row rows[] = {
        {contact, ADA, "{'locale':'fr'}", "{'locale':'de'}", 0, "{'locale':'fr'}", .changes = 1,
         .seen = "{'locale':'de'}"},
        {contact, ADA, "{'locale':'fr'}", "{'locale':null}", 0, "{'locale':'fr'}", .changes = 1,
         .seen = "{}"},
        {contact, ADA, "{'locale':'fr'}", "{'locale':'fr'}", .seen = "{'locale':'de'}"},
        {contact, ADA, "{'locale':'fr'}", "{'locale':'de'}", -ESTALE,
         "'locale' was changed to something else meanwhile", .seen = "{'locale':'it'}"},
        {contact, ADA, "{'locale':'fr'}", "{'locale':'de'}", -ESTALE,
         "'locale' was changed to something else meanwhile", .seen = "{}"},
        {contact, ADA, "{'firstName':'A'}", "{'fields':[{'slug':'first_name','value':'B'}]}", 0,
         "{'fields':[{'slug':'first_name','value':'A'}]}", .changes = 1,
         .seen = "{'fields':[{'slug':'first_name','value':'B'}]}"},
        {contact, ADA, "{'firstName':'A'}", "{'fields':[{'slug':'first_name','value':'B'}]}",
         -ESTALE, "'first_name' was changed to something else meanwhile",
         .seen = "{'fields':[{'slug':'first_name','value':'C'}]}"},
        {webhook, HOOK, "{'subscriptions':['A']}", "{'subscriptions':['SALE_NEW']}", 0,
         "{'subscriptions':['A']}", .changes = 1, .seen = "{'subscriptions':['SALE_NEW']}"},
        {webhook, HOOK, "{'subscriptions':['A']}", "{'subscriptions':['SALE_NEW']}", -ESTALE,
         "'subscriptions' was changed to something else meanwhile",
         .seen = "{'subscriptions':['B']}"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void test_create(void **state UNUSED)
{
    static const struct row rows[] = {
        {tag, NULL, "{}"},
        {tag, NULL, "{'name' : 'a\\u0062', 'id': 5}", .body = "{'name':'ab'}", .changes = 1},
        {contact, NULL, "{'email':'a@x','locale':null,'tags':[],'fields':[],'firstName':null}",
         .body = "{'email':'a@x'}", .changes = 1},
        /* A record that was saved elsewhere, the server's members and all. */
        {contact, NULL,
         "{'id':7,'email':'ada@x.org','locale':'en','sourceURL':null,"
         "'fields':[{'fieldName':'First name','slug':'first_name','value':'Ada'},"
         "{'fieldName':'City','slug':'city','value':null}],"
         "'tags':[{'id':5,'name':'news'},'vip',5],'lastName':'B'}",
         .body = "{'email':'ada@x.org','locale':'en','fields':"
                 "[{'slug':'first_name','value':'Ada'},{'slug':'surname','value':'B'}]}",
         .items = "+5 +'vip'", .changes = 4},
        {contact, NULL, "{'newer':null}", NULL, -EINVAL, "the API has no member 'newer'"},
        {contact, NULL, "{'emial':'x'}", NULL, -EINVAL, "the API has no member 'emial'; 'email'?"},
        {contact, NULL, "{'fields':[{'slug':'city'}]}", NULL, -EINVAL,
         "'city' in 'fields' needs a value"},
        {enrollment, NULL, "{'courseId':3,'contactId':4,'accessType':'full_access','modules':[1]}",
         .body = "{'contactId':4,'accessType':'full_access','modules':[1]}", .path = "3",
         .changes = 3},
        {enrollment, NULL,
         "{'id':1,'contact':{'id':4,'email':'x'},'course':{'id':3},'active':true}",
         .body = "{'contactId':4}", .path = "3", .changes = 1},
        {enrollment, NULL, "{'course':3,'courseId':null}", .path = "3"},
        {enrollment, NULL, "{'course':{'id':3},'courseId':5}", .path = "5"},
        {enrollment, NULL, "{'courseId':5,'course':{'id':3}}", .path = "5"},
        {enrollment, NULL, "{'course':null,'contact':4}", .body = "{'contactId':4}", .changes = 1},
        {enrollment, NULL, "{'course':{'name':'x'}}", NULL, -EINVAL,
         "'course' must be an id, or an object with 'id'"},
        {enrollment, NULL, "{'course':[3]}", NULL, -EINVAL,
         "'course' must be an id, or an object with 'id'"},
        {enrollment, NULL, "{'courseId':{'id':3}}", NULL, -EINVAL, "'courseId' must be an id"},
        {webhook, NULL,
         "{'name':'n','secret':'s','url':'u','subscriptions':['A',{'event':'B'},"
         "{'id':'x','event':'C','schemaVersion':2,'disabledAt':'y'}]}",
         .body = "{'name':'n','secret':'s','url':'u','subscriptions':"
                 "['A','B',{'event':'C','schemaVersion':2}]}",
         .changes = 4},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

/* A patch is used again, after an error and after a success. */
static void test_again(void **state UNUSED)
{
    struct text base CLEANUP(text_finish), bad CLEANUP(text_finish), good CLEANUP(text_finish);
    struct patch p;
    base = text_of(ADA);
    bad = text_of("{'locale':'fr','tags':[1],'email':'x'}");
    good = text_of("{'locale':'fr','tags':[5,6,1]}");
    patch_init(&p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(patch_diff(contact, base.value, bad.value, (struct json){0}, &p), -EINVAL);
        assert_int_equal(patch_diff(contact, base.value, good.value, (struct json){0}, &p), 0);
        assert_string_equal(p.body.data, "{\"locale\":\"fr\"}");
        assert_string_equal(p.why, "");
        assert_int_equal(p.changes, 1);
        assert_int_equal(patch_item_count(&p), 1);
    }
    /* Neither is the place in a path kept. */
    struct text course CLEANUP(text_finish);
    course = text_of("{'courseId':3}");
    assert_int_equal(patch_create(enrollment, course.value, &p), 0);
    assert_int_equal(p.path.len, 1);
    assert_int_equal(patch_diff(contact, base.value, good.value, (struct json){0}, &p), 0);
    assert_int_equal(p.path.len, 0);
    /* The items point into the texts that were given. */
    struct patch_item item = patch_item_at(&p, 0);
    assert_true(item.id.p > good.bytes && item.id.p < good.bytes + strlen(good.bytes));
    patch_finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_pairs),   cmocka_unit_test(test_sets),
        cmocka_unit_test(test_events),  cmocka_unit_test(test_three_sides),
        cmocka_unit_test(test_seen),    cmocka_unit_test(test_create),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Names of records as file names and back, escaping in URLs, and what may be a base URL.
 *
 * Input: NAME, ID, FILE NAME, URL. For the URL libcurl is the second opinion: what we call
 * loopback, and so send a key to without encryption, must be that for the library that opens the
 * connection.
 */
#include <curl/curl.h>

#include "fuzz.h"
#include "systemefs/api/resource.h"
#include "systemefs/base/macros.h"
#include "systemefs/codec/json.h"
#include "systemefs/codec/name.h"
#include "systemefs/codec/url.h"

static const char *const suffixes[] = {"", ".json"};

static bool is_utf8(const char *text)
{
    struct buf out;
    buf_init(&out, FUZZ_TEXT_MAX);
    bool ok = json_quote(text, strlen(text), &out) == 0;
    buf_finish(&out);
    return ok;
}

/* That it can be an entry of a directory. */
static void check_file_name(const char *file)
{
    fuzz_check(*file && strlen(file) <= NAME_FILE_MAX);
    fuzz_check(*file != '.' && !strchr(file, '/') && is_utf8(file));
    for (const char *p = file; *p; p++)
        fuzz_check((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void try_name(const char *name, size_t len, const char *id, bool with_id, const char *suffix)
{
    char file[NAME_FILE_MAX + 1], again[NAME_FILE_MAX + 1];
    struct name_parts parts;
    bool cut = name_to_file(name, len, id, with_id, suffix, file);
    check_file_name(file);
    fuzz_check(strlen(file) >= strlen(suffix));
    fuzz_check(strcmp(file + strlen(file) - strlen(suffix), suffix) == 0);
    bool has_id = cut || with_id;
    fuzz_check(name_from_file(file, suffix, has_id, &parts));
    if (has_id)
        fuzz_check(strcmp(parts.id, id) == 0);
    fuzz_check(parts.len <= len && memcmp(parts.name, name, parts.len) == 0);
    fuzz_check(cut || parts.len == len);
    if (!cut) {
        name_to_file(parts.name, parts.len, id, with_id, suffix, again);
        fuzz_check(strcmp(file, again) == 0);
    }
}

/* What is accepted as a file name is the one that we write. */
static void try_file(const char *file, bool split, const char *suffix)
{
    struct name_parts parts;
    char again[NAME_FILE_MAX + 1];
    if (!name_from_file(file, suffix, split, &parts))
        return;
    check_file_name(file);
    fuzz_check(parts.len <= NAME_FILE_MAX && strlen(parts.id) <= 64);
    name_to_file(parts.name, parts.len, parts.id, *parts.id != '\0', suffix, again);
    fuzz_check(strcmp(file, again) == 0);
}

static void try_escape(const char *bytes, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-._~%";
    struct buf out;
    buf_init(&out, 3 * len + 1);
    fuzz_check(url_escape(bytes, len, &out) == 0);
    buf_append_byte(&out, '\0');
    fuzz_check(strspn(out.data, allowed) == out.len - 1);
    int back_len;
    char *back = curl_easy_unescape(NULL, out.data, (int)out.len - 1, &back_len);
    fuzz_check(back && (size_t)back_len == len && memcmp(back, bytes, len) == 0);
    curl_free(back);
    buf_finish(&out);
}

static char *url_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(u, part, &text, 0) == CURLUE_OK ? text : NULL;
}

static void try_url(const char *url)
{
    struct url_info info;
    const char *why = NULL;
    int r = url_check_base(url, &info, &why);
    fuzz_check(r == 0 || (r < 0 && why));
    if (r < 0)
        return;
    CURLU *u = curl_url();
    fuzz_check(u);
    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
        char *scheme = url_part(u, CURLUPART_SCHEME), *host = url_part(u, CURLUPART_HOST);
        fuzz_check(scheme && host && strcasecmp(scheme, info.https ? "https" : "http") == 0);
        if (info.loopback)
            fuzz_check(strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
                       strcmp(host, "[::1]") == 0);
        char *none[] = {url_part(u, CURLUPART_USER), url_part(u, CURLUPART_PASSWORD),
                        url_part(u, CURLUPART_QUERY), url_part(u, CURLUPART_FRAGMENT)};
        for (size_t i = 0; i < ARRAY_SIZE(none); i++)
            fuzz_check(!none[i]);
        curl_free(scheme);
        curl_free(host);
    }
    curl_url_cleanup(u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    const char *name = "";
    size_t len = 0;
    fuzz_part(&in, FUZZ_SEPARATOR, &name, &len);
    char *id = fuzz_string(&in, FUZZ_SEPARATOR), *file = fuzz_string(&in, FUZZ_SEPARATOR);
    char *url = fuzz_string(&in, FUZZ_SEPARATOR);

    bool valid = *id && strlen(id) <= 64;
    for (const char *p = id; *p; p++)
        valid =
            valid && strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_", *p);
    for (size_t i = 0; i < 2 * ARRAY_SIZE(suffixes); i++) {
        try_name(name, len, valid ? id : "7", i & 1, suffixes[i / 2]);
        try_file(file, i & 1, suffixes[i / 2]);
    }
    for (enum id_kind kind = ID_NUMBER; kind <= ID_UUID; kind++)
        resource_id_valid(kind, id, strlen(id));
    try_escape(name, len);
    try_url(url);
    free(id);
    free(file);
    free(url);
    return 0;
}

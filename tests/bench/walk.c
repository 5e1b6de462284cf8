/* The opponent: all contacts by a sequential walk of the pages, as one writes it with libcurl.
 * One keep-alive connection, pages of 100, each asked for when the one before is there; the answers
 * go to a file as they are. The next cursor is looked for as text, which is cheaper than parsing.
 *
 *     walk URL KEY FILE [PAGES]       prints how many pages and bytes there were
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct body {
    char *text;
    size_t length, room;
};

static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct body *b = user;
    size_t more = size * count;

    if (b->length + more + 1 > b->room) {
        b->room = (b->length + more + 1) * 2;
        b->text = realloc(b->text, b->room);
        if (!b->text)
            return 0;
    }
    memcpy(b->text + b->length, data, more);
    b->length += more;
    b->text[b->length] = '\0';
    return more;
}

/* The id of the last record. A record begins with its id and its address; what has an id inside of
 * one, as a tag, has no address. */
static long long last_id(const struct body *b)
{
    static const char begin[] = "{\"id\":";

    for (const char *p = b->text + b->length; p-- > b->text;) {
        if (*p != '{' || strncmp(p, begin, sizeof begin - 1) != 0)
            continue;
        char *end;
        long long id = strtoll(p + sizeof begin - 1, &end, 10);
        if (strncmp(end, ",\"email\":", 9) == 0)
            return id;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: walk URL KEY FILE [PAGES]\n");
        return 2;
    }
    long most = argc > 4 ? atol(argv[4]) : -1, pages = 0;
    size_t bytes = 0;
    long long after = 0;
    struct body body = {0};
    char header[300], url[500];
    FILE *out = fopen(argv[3], "w");

    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *curl = curl_easy_init();
    if (!curl || !out) {
        perror("walk");
        return 1;
    }
    snprintf(header, sizeof header, "X-API-Key: %s", argv[2]);
    struct curl_slist *headers = curl_slist_append(NULL, header);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    while (pages != most) {
        int n = snprintf(url, sizeof url, "%s/api/contacts?limit=100&order=asc", argv[1]);
        if (after)
            snprintf(url + n, sizeof url - (size_t)n, "&startingAfter=%lld", after);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        body.length = 0;
        CURLcode code = curl_easy_perform(curl);
        if (code) {
            fprintf(stderr, "walk: %s: %s\n", url, curl_easy_strerror(code));
            return 1;
        }
        if (fwrite(body.text, 1, body.length, out) != body.length || fputc('\n', out) == EOF) {
            perror(argv[3]);
            return 1;
        }
        pages++;
        bytes += body.length;
        const char *end = body.text + (body.length > 40 ? body.length - 40 : 0);
        if (!strstr(end, "\"hasMore\":true"))
            break;
        after = last_id(&body);
        if (!after) {
            fprintf(stderr, "walk: no id in %s\n", url);
            return 1;
        }
    }
    if (fclose(out)) {
        perror(argv[3]);
        return 1;
    }
    printf("%ld %zu\n", pages, bytes);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    free(body.text);
    return 0;
}

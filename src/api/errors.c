#include "systemefs/api/errors.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "systemefs/base/line.h"
#include "systemefs/base/macros.h"
#include "systemefs/codec/json.h"

/* Bytes of a refusal's text that are looked at. More than a reason can show, because the text also
 * tells which kind of refusal it is. */
#define BODY_TEXT_MAX 65536

/* By what the transport says. */
static const struct {
    int error;
    bool away;
    const char *text;
} by_failure[] = {
    [NET_OK] = {0, false, ""},
    [NET_UNREACHABLE] = {EHOSTUNREACH, true, "cannot reach the server"},
    [NET_REFUSED] = {ECONNREFUSED, true, "the server refuses the connection"},
    [NET_TIMEOUT] = {ETIMEDOUT, true, "no answer in time"},
    [NET_TLS] = {EPROTO, false, "no secure connection"},
    [NET_LOST] = {EREMOTEIO, true, "the connection broke before the answer was complete"},
    [NET_TOO_LARGE] = {EBADMSG, false, "the answer is too large"},
    [NET_BAD_ANSWER] = {EBADMSG, false, "the answer is not proper HTTP"},
};
_Static_assert(ARRAY_SIZE(by_failure) == NET_FAILURE_COUNT, "a row for each failure");

/* By status: the first row that fits. */
static const struct {
    int from, to;
    int error;
    bool away;
    const char *text; /* when the body has nothing to say */
} by_status[] = {
    {200, 299, 0, false, ""},
    {300, 399, EBADMSG, false, "the server redirects, which is never followed"},
    {401, 401, EKEYREJECTED, false, "the key was rejected"},
    {403, 403, EACCES, false, "this account, plan or key may not do that"},
    {404, 404, ENOENT, false, "no such record"},
    {405, 405, EOPNOTSUPP, false, "the API does not support this"},
    {424, 424, ENOTSUP, false, "a service that this needs is not set up in the account"},
    {429, 429, EAGAIN, false, "the quota of requests is used up"},
    {400, 499, EINVAL, false, "the API refused the request"},
    {500, 599, EREMOTEIO, true, "the server failed"},
    {0, 999, EBADMSG, false, "an HTTP status that means nothing here"},
};

/* The texts by which a refusal of the validator is told from the others (422). */
static const struct {
    const char *text;
    int error;
} by_violation[] = {
    {"already used", EEXIST},
    {"upgrade your plan", EDQUOT},
};

void api_failure_set(struct api_failure *ret, int error, uint64_t number, const char *fmt, ...)
{
    *ret = (struct api_failure){.error = error, .number = number};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(ret->message, sizeof(ret->message), fmt, ap);
    va_end(ap);
}

/* Appends the text of a string member. False when there is none worth showing. */
static bool append_text(struct json object, const char *name, struct buf *out)
{
    struct json v;
    size_t before = out->len;
    return json_member(object, name, &v) && json_string(v, out) == 0 && out->len > before;
}

/* What the body of a refusal says: the violations as "propertyPath: message", else `detail`, else
 * `error` or `message` (the gateway's own form is documented nowhere). Sets `problem` when it is
 * a problem document (RFC 7807) of the API itself. */
static void body_text(const struct http_response *response, struct buf *out, bool *problem)
{
    struct json body, list, violation;
    *problem = false;
    if (!response->body.data ||
        json_check(response->body.data, response->body.len, &body, NULL) < 0)
        return;

    if (json_member(body, "violations", &list)) {
        struct json_iter it;
        json_iter_init(&it, list);
        while (json_iter_next(&it, NULL, &violation)) {
            *problem = true;
            if (out->len)
                buf_append_str(out, "; ");
            if (append_text(violation, "propertyPath", out))
                buf_append_str(out, ": ");
            append_text(violation, "message", out);
        }
    }
    if (out->len)
        return;
    if (append_text(body, "detail", out))
        *problem = true;
    else if (!append_text(body, "message", out))
        append_text(body, "error", out);
}

static void judge_status(const struct http_response *response, bool gateway, bool listing,
                         struct api_failure *ret)
{
    size_t row = 0;
    while (response->status < by_status[row].from || response->status > by_status[row].to)
        row++;
    ret->status = response->status;
    ret->error = -by_status[row].error;
    ret->away = by_status[row].away;
    if (!ret->error)
        return;

    CLEANUP(buf_cleanup) struct buf text;
    buf_init(&text, BODY_TEXT_MAX);
    bool problem;
    body_text(response, &text, &problem);

    if (response->status == 422)
        for (size_t i = 0; i < ARRAY_SIZE(by_violation); i++)
            if (text.data && strstr(text.data, by_violation[i].text))
                ret->error = -by_violation[i].error;
    if (response->status == 400 && gateway && !problem)
        ret->error = -ENOLINK;
    if (response->status == 404 && listing)
        ret->error = -EOPNOTSUPP;

    const char *hint = "";
    if (ret->error == -ENOLINK)
        hint = " (the gateway has no active connection to Systeme.io: see connections/)";
    else if (ret->error == -EKEYREJECTED && gateway && !problem)
        hint = " (the gateway's key)";
    else if (ret->status == 404 && listing)
        hint = " (the API does not offer this collection for the account)";
    /* Room is left for the hint; a character is not cut in two. */
    size_t shown = MIN(text.len, sizeof(ret->message) - 128);
    while (shown < text.len && shown > 0 && ((unsigned char)text.data[shown] & 0xc0) == 0x80)
        shown--;
    snprintf(ret->message, sizeof(ret->message), "HTTP %d: %.*s%s", response->status,
             shown ? (int)shown : INT_MAX, shown ? text.data : by_status[row].text, hint);
    line_clean(ret->message);
}

void api_judge(const struct net_result *result, bool gateway, bool listing, struct api_failure *ret)
{
    const struct http_response *response = result->response;
    *ret = (struct api_failure){.number = result->number};

    if (result->quota) {
        ret->error = -EAGAIN;
        ret->status = response->status;
        if (result->quota_wait_ms >= 0)
            snprintf(ret->message, sizeof(ret->message),
                     "the account's quota of requests is used up; it refills in %lld seconds",
                     (long long)(result->quota_wait_ms + 999) / 1000);
        else
            snprintf(ret->message, sizeof(ret->message),
                     "the account's quota of requests is used up");
        return;
    }
    if (response->failure != NET_OK) {
        ret->error = -by_failure[response->failure].error;
        ret->away = by_failure[response->failure].away;
        snprintf(ret->message, sizeof(ret->message), "%s%s%s", by_failure[response->failure].text,
                 response->detail[0] ? ": " : "", response->detail);
        return;
    }
    judge_status(response, gateway, listing, ret);
}

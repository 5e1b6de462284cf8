/*
 * How a call ended, judged: problem bodies in any spelling.
 *
 * Input: a byte of choice (from the lowest bit: the gateway, a listing, three of how the exchange
 * failed, whether the quota was used up, whether its end is known), then STATUS, CONTENT-TYPE,
 * BODY.
 */
#include <errno.h>

#include "fuzz.h"
#include "systemefs/api/errors.h"
#include "systemefs/codec/json.h"

static void check_failure(const struct api_failure *f, int status, bool answered)
{
    size_t len = strnlen(f->message, sizeof(f->message));
    fuzz_check(len < sizeof(f->message));
    fuzz_check(f->error <= 0 && f->error > -4096);
    fuzz_check((f->error == 0) == (answered && status >= 200 && status <= 299));
    if (f->error)
        fuzz_check(len > 0 && (!answered || f->status == status));
    /* It goes into a line of the log and of .systemefs/errors. */
    for (size_t i = 0; i < len; i++)
        fuzz_check((unsigned char)f->message[i] >= 0x20 && f->message[i] != 0x7f);
    struct buf quoted;
    buf_init(&quoted, FUZZ_TEXT_MAX);
    fuzz_check(json_quote(f->message, len, &quoted) == 0);
    buf_finish(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    unsigned how = fuzz_byte(&in);
    char *status = fuzz_string(&in, FUZZ_SEPARATOR), *type = fuzz_string(&in, FUZZ_SEPARATOR);
    const char *body = "";
    size_t len = 0;
    fuzz_part(&in, FUZZ_SEPARATOR, &body, &len);

    struct http_response response = {.status = atoi(status) % 1000, .sent = true};
    if (response.status < 0)
        response.status = -response.status;
    snprintf(response.headers.content_type, sizeof(response.headers.content_type), "%s", type);
    buf_init(&response.body, FUZZ_TEXT_MAX);
    if (len)
        fuzz_check(buf_append(&response.body, body, len) == 0);
    response.failure = (enum net_failure)((how >> 2 & 7) % NET_FAILURE_COUNT);
    if (response.failure && len)
        snprintf(response.detail, sizeof(response.detail), "of host.example port 443");
    const struct net_result result = {.response = &response,
                                      .quota = how & 0x20,
                                      .quota_wait_ms = how & 0x40 ? -1 : (int64_t)len * 100,
                                      .number = 1,
                                      .tries = 1};
    struct api_failure failure;
    api_judge(&result, how & 1, how & 2, &failure);
    check_failure(&failure, response.status, !response.failure && !result.quota);
    buf_finish(&response.body);
    free(status);
    free(type);
    return 0;
}

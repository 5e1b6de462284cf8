#include "operations.h"

#include "text.h"

bool call_refused(struct call *call)
{
    if (!call->violations.count)
        return false;
    problem_violations(call->res, &call->violations);
    return true;
}

const cJSON *call_member(const struct call *call, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(call->body, name);
    return cJSON_IsNull(value) ? NULL : value;
}

const char *call_text(const struct call *call, const char *name)
{
    return cJSON_GetStringValue(call_member(call, name));
}

void call_no_content(struct call *call)
{
    response_begin(call->res, 204, NULL);
}

void run_list(struct call *call)
{
    collection_list(call->world, call->collection, call->req, call->res);
}

/* Every row whose only duty is to be gone. */
void run_row_delete(struct call *call)
{
    struct row *row = call->row;
    row->gone = true;
    call_no_content(call);
}

bool call_not_found(struct call *call)
{
    problem(call->res, 404, "Not Found");
    return false;
}

bool call_find_row(struct call *call, const struct rows *rows, const char *argument)
{
    int64_t id;
    call->row = text_parse_int(argument, &id) ? rows_find(rows, id) : NULL;
    return call->row || call_not_found(call);
}

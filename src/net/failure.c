#include <errno.h>

#include <curl/curl.h>

#include "systemefs/base/macros.h"
#include "systemefs/net/http.h"

/* clang-format off */
static const struct {
    CURLcode code;
    enum net_failure failure;
} failures[] = {
    {CURLE_OK,                       NET_OK},
    {CURLE_COULDNT_RESOLVE_HOST,     NET_UNREACHABLE},
    {CURLE_COULDNT_RESOLVE_PROXY,    NET_UNREACHABLE},
    {CURLE_INTERFACE_FAILED,         NET_UNREACHABLE},
    {CURLE_PROXY,                    NET_UNREACHABLE},
    {CURLE_URL_MALFORMAT,            NET_UNREACHABLE},
    {CURLE_COULDNT_CONNECT,          NET_REFUSED}, /* but see http_failure_of() */
    {CURLE_OPERATION_TIMEDOUT,       NET_TIMEOUT},
    {CURLE_SSL_CONNECT_ERROR,        NET_TLS},
    {CURLE_PEER_FAILED_VERIFICATION, NET_TLS},
    {CURLE_SSL_CACERT_BADFILE,       NET_TLS},
    {CURLE_SSL_CERTPROBLEM,          NET_TLS},
    {CURLE_SSL_CIPHER,               NET_TLS},
    {CURLE_SSL_CLIENTCERT,           NET_TLS},
    {CURLE_SSL_CRL_BADFILE,          NET_TLS},
    {CURLE_SSL_ENGINE_INITFAILED,    NET_TLS},
    {CURLE_SSL_ENGINE_NOTFOUND,      NET_TLS},
    {CURLE_SSL_ENGINE_SETFAILED,     NET_TLS},
    {CURLE_SSL_INVALIDCERTSTATUS,    NET_TLS},
    {CURLE_SSL_ISSUER_ERROR,         NET_TLS},
    {CURLE_SSL_PINNEDPUBKEYNOTMATCH, NET_TLS},
    {CURLE_SSL_SHUTDOWN_FAILED,      NET_TLS},
    {CURLE_USE_SSL_FAILED,           NET_TLS},
    {CURLE_GOT_NOTHING,              NET_LOST},
    {CURLE_PARTIAL_FILE,             NET_LOST},
    {CURLE_RECV_ERROR,               NET_LOST},
    {CURLE_SEND_ERROR,               NET_LOST},
    {CURLE_SEND_FAIL_REWIND,         NET_LOST},
    {CURLE_HTTP2,                    NET_LOST},
    {CURLE_HTTP2_STREAM,             NET_LOST},
    {CURLE_ABORTED_BY_CALLBACK,      NET_LOST}, /* on_request() refused a repetition */
    {CURLE_FILESIZE_EXCEEDED,        NET_TOO_LARGE},
    {CURLE_OUT_OF_MEMORY,            NET_TOO_LARGE}, /* also libcurl's word for an endless header line */
    {CURLE_BAD_CONTENT_ENCODING,     NET_BAD_ANSWER},
    {CURLE_UNSUPPORTED_PROTOCOL,     NET_BAD_ANSWER}, /* HTTP/0.9 */
    {CURLE_WEIRD_SERVER_REPLY,       NET_BAD_ANSWER},
    {CURLE_WRITE_ERROR,              NET_BAD_ANSWER}, /* of the decoders; ours sets too_large */
};
/* clang-format on */

enum net_failure http_failure_of(int curl_code, int os_error)
{
    if (curl_code == CURLE_COULDNT_CONNECT && os_error != 0 && os_error != ECONNREFUSED)
        return NET_UNREACHABLE;
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
        if ((int)failures[i].code == curl_code)
            return failures[i].failure;
    }
    return NET_LOST;
}

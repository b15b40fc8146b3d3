#include "consul-bridge/consul_client.hpp"

#include "consul-bridge/curl_handles.hpp"
#include "consul-bridge/tls_files.hpp"
#include "consul-bridge/token_file.hpp"

#include <algorithm>
#include <charconv>
#include <new>
#include <string_view>

namespace pgpulse::consul_bridge {
namespace {

constexpr long kConnectTimeoutMs = 2000;
constexpr long kTotalTimeoutMs = 10'000;
constexpr long kSilenceSeconds = 10;
constexpr int kPollMs = 1000;

std::size_t take_body(const char* data, std::size_t, std::size_t size, void* to) {
    static_cast<std::string*>(to)->append(data, size);
    return size;
}

/// Keeps the one header that matters.
std::size_t take_header(const char* data, std::size_t, std::size_t size, void* to) {
    constexpr std::string_view kIndex = "x-consul-index:";
    const std::string_view line{data, size};
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; };
    if (line.size() > kIndex.size() && std::ranges::equal(line.substr(0, kIndex.size()), kIndex, same)) {
        const auto digits = line.find_first_of("0123456789", kIndex.size());
        if (digits != std::string_view::npos) {
            std::from_chars(data + digits, data + size, *static_cast<std::uint64_t*>(to));
        }
    }
    return size;
}

/// "https://consul.example:8501" reached under another name: "name:8501:consul.example:8501".
std::string connect_to(const std::string& url, const std::string& server_name, std::string& named_url) {
    const auto host_at = url.find("://") + 3;
    const std::string scheme = url.substr(0, host_at);
    std::string host = url.substr(host_at);
    std::string port = scheme == "https://" ? "443" : "80";
    const auto colon = host.rfind(':');
    if (colon != std::string::npos && host.find(']', colon) == std::string::npos) {
        port = host.substr(colon + 1);
        host.resize(colon);
    }
    named_url = scheme + server_name + ":" + port;
    return server_name + ":" + port + ":" + host + ":" + port;
}

/// What to do about a TLS failure, for those that curl's words leave open.
std::string advice(const std::string& why) {
    const auto says = [&](std::string_view part) { return why.find(part) != std::string::npos; };
    if (says("subject name")) return " (--consul-tls-server-name says which name its certificate has)";
    if (says("certificate problem"))
        return " (--consul-ca-file or --consul-ca-path says whose certificates to trust)";
    if (says("wrong version number") || says("packet length too long"))
        return " (it seems to speak http, not https)";
    return {};
}

/// Whether the server ended a connection because of the certificate that it was shown, or of none. In TLS 1.3 it can
/// say so only after the handshake, and whether its alert or the connection's reset is seen first is chance.
bool is_refused(CURL* easy, CURLcode code, const std::string& why) {
    const auto says = [&](std::string_view part) { return why.find(part) != std::string::npos; };
    if (says("alert") && says("certificate")) return true;
    curl_off_t handshake_ended = 0;  // microseconds since the start; zero where there was none
    long new_connections = 0;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &handshake_ended);
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &new_connections);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return handshake_ended > 0 && new_connections > 0 && status == 0 &&
           (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING);
}

std::string failure(CURL* easy, CURLcode code, const char* error) {
    const std::string why = *error != '\0' ? error : curl_easy_strerror(code);
    if (is_refused(easy, code, why)) {
        return "it ends the connection (where it asks for a certificate that it trusts: --consul-client-cert "
               "and "
               "--consul-client-key)";
    }
    return why + advice(why);
}

}  // namespace

struct ConsulClient::Handles {
    CurlEasy easy;
    CurlMulti multi;
    CurlList connect_to;
    std::string base;     // the URL that requests are made of
    std::string trusted;  // PEM, where a folder says whom to trust
    std::string body;
    std::uint64_t index = 0;
    char error[CURL_ERROR_SIZE] = {};
};

ConsulClient::ConsulClient(ConsulOptions options)
    : options_(std::move(options)), handles_(std::make_unique<Handles>()) {
    initialise_curl();
    handles_->easy.reset(curl_easy_init());
    handles_->multi.reset(curl_multi_init());
    if (!handles_->easy || !handles_->multi) throw std::bad_alloc{};

    CURL* easy = handles_->easy.get();
    handles_->base = options_.url;
    if (options_.is_socket()) {
        handles_->base = options_.tls ? "https://localhost" : "http://localhost";
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH,
                         options_.url.c_str() + std::string_view{"unix://"}.size());
    }
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // One request at a time: HTTP/2, which Consul offers over TLS, has nothing to add.
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    // The agent is on this machine or in its network.
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, handles_->error);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &handles_->body);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &handles_->index);
    trust();
    if (!options_.certificate_file.empty()) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, options_.certificate_file.c_str());
    }
    if (!options_.key_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, options_.key_file.c_str());
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, options_.verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options_.verify ? 2L : 0L);
    if (!options_.server_name.empty()) {
        append(handles_->connect_to,
               connect_to(std::string{handles_->base}, options_.server_name, handles_->base));
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, handles_->connect_to.get());
    }
}

ConsulClient::~ConsulClient() = default;

/// Whoever names an authority trusts no other: curl would go on to trust the system's.
void ConsulClient::trust() {
    CURL* easy = handles_->easy.get();
#if LIBCURL_VERSION_NUM >= 0x075700
    // A file that was replaced counts from the next connection on.
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    if (options_.ca_file.empty() && options_.ca_path.empty()) return;
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    if (!options_.ca_file.empty()) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
        return;
    }
    handles_->trusted = text_of_files(options_.ca_path);
    curl_blob blob{handles_->trusted.data(), handles_->trusted.size(), CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
}

ConsulClient::Result ConsulClient::get(const std::string& path) {
    CURL* easy = handles_->easy.get();
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, nullptr);
    // A hundred thousand keys may take longer than any one write, as long as they keep coming.
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, kSilenceSeconds);
    return perform(path);
}

ConsulClient::Result ConsulClient::put(const std::string& path, const std::string& body) {
    CURL* easy = handles_->easy.get();
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, kTotalTimeoutMs);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 0L);
    return perform(path);
}

ConsulClient::Result ConsulClient::perform(const std::string& path) {
    CURL* easy = handles_->easy.get();
    CURLM* multi = handles_->multi.get();
    const std::string url = handles_->base + path;
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());

    CurlList headers;
    append(headers, "Content-Type: application/json");
    append(headers, "Expect:");
    const std::string token = options_.token_file ? options_.token_file->token() : options_.token;
    if (!token.empty()) append(headers, "X-Consul-Token: " + token);
    if (!options_.name_space.empty()) append(headers, "X-Consul-Namespace: " + options_.name_space);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());

    handles_->body.clear();
    handles_->index = 0;
    handles_->error[0] = '\0';
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    curl_multi_add_handle(multi, easy);
    while (!aborted_.load(std::memory_order_acquire)) {
        int running = 0;
        if (curl_multi_perform(multi, &running) != CURLM_OK) break;
        if (running == 0) {
            int left = 0;
            if (const CURLMsg* done = curl_multi_info_read(multi, &left); done != nullptr) {
                code = done->data.result;
            }
            break;
        }
        curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr);
    }
    curl_multi_remove_handle(multi, easy);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, nullptr);
    if (code != CURLE_OK) {
        return tl::unexpected("Consul at " + options_.url +
                              " cannot be reached: " + failure(easy, code, handles_->error));
    }
    Reply reply;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_off_t retry_after = 0;
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK) {
        reply.retry_after = std::chrono::seconds{retry_after};
    }
    reply.body = std::move(handles_->body);
    reply.index = handles_->index;
    return reply;
}

bool ConsulClient::wait(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!aborted_.load(std::memory_order_acquire)) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return true;
        curl_multi_poll(handles_->multi.get(), nullptr, 0,
                        static_cast<int>(std::min(left.count(), std::int64_t{kPollMs})), nullptr);
    }
    return false;
}

void ConsulClient::abort() {
    aborted_.store(true, std::memory_order_release);
    curl_multi_wakeup(handles_->multi.get());
}

}  // namespace pgpulse::consul_bridge

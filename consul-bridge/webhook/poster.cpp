#include "consul-bridge/webhook/poster.hpp"

#include "consul-bridge/curl_handles.hpp"
#include "consul-bridge/webhook/event.hpp"

#include <algorithm>
#include <fstream>
#include <new>
#include <string_view>
#include <utility>

namespace pgpulse::consul_bridge::webhook {
namespace {

constexpr long kMostConnections = 8;

/// What an endpoint says beside its status is read by nobody.
std::size_t drop_body(const char*, std::size_t size, std::size_t count, void*) { return size * count; }

bool is_token(std::string_view name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
    });
}

bool is_header(std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
    const std::string_view value = line.substr(colon + 1);
    return value.find_first_not_of(" \t") != std::string_view::npos &&
           std::ranges::none_of(value,
                                [](char c) { return static_cast<unsigned char>(c) < ' ' && c != '\t'; });
}

}  // namespace

tl::expected<std::vector<std::string>, std::string> read_header_file(const std::string& file) {
    std::ifstream in{file};
    std::vector<std::string> lines;
    int number = 0;
    for (std::string line; std::getline(in, line);) {
        ++number;
        if (line.ends_with('\r')) line.pop_back();
        if (line.empty()) continue;
        if (!is_header(line))
            return tl::unexpected(file + ":" + std::to_string(number) + ": expected Name: value");
        lines.push_back(std::move(line));
    }
    if (!in.eof()) return tl::unexpected("cannot read '" + file + "'");
    if (lines.empty())
        return tl::unexpected("'" + file + "' is empty, expected lines of the form Name: value");
    return lines;
}

/// One post, and then another one.
struct Poster::Transfer {
    CurlEasy easy{curl_easy_init()};
    Queue::Post post;
    CurlList headers;
    char error[CURL_ERROR_SIZE] = {};
};

struct Poster::Handles {
    CurlMulti multi{curl_multi_init()};
    std::vector<std::unique_ptr<Transfer>> busy;
    std::vector<std::unique_ptr<Transfer>> idle;

    void end(const Transfer* transfer) {
        const auto it = std::ranges::find(busy, transfer, &std::unique_ptr<Transfer>::get);
        curl_multi_remove_handle(multi.get(), (*it)->easy.get());
        (*it)->post = {};
        idle.push_back(std::move(*it));
        busy.erase(it);
    }
};

Poster::Poster(const Endpoint& endpoint) : endpoint_(endpoint) {
    initialise_curl();
    handles_ = std::make_unique<Handles>();
    if (!handles_->multi) throw std::bad_alloc{};
    curl_multi_setopt(handles_->multi.get(), CURLMOPT_MAX_TOTAL_CONNECTIONS, kMostConnections);
}

Poster::~Poster() { abort(); }

void Poster::start(Queue::Post post) {
    Handles& handles = *handles_;
    if (handles.idle.empty()) handles.idle.push_back(std::make_unique<Transfer>());
    std::unique_ptr<Transfer> transfer = std::move(handles.idle.back());
    handles.idle.pop_back();
    transfer->post = std::move(post);
    transfer->error[0] = '\0';
    transfer->headers.reset();
    append(transfer->headers, std::string{"Content-Type: "} + kContentType);
    append(transfer->headers, "Expect:");
    for (const std::string& line : headers()) append(transfer->headers, line);

    CURL* easy = transfer->easy.get();
    if (easy == nullptr) throw std::bad_alloc{};
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, endpoint_.url.whole.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A name that is being looked up holds nobody up at the end.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kConnectTimeout.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(kTimeout.count()));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "pgpulse-consul-bridge");
    if (!endpoint_.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, endpoint_.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers.get());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer->post.body->size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->post.body->data());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer.get());
    curl_multi_add_handle(handles.multi.get(), easy);
    handles.busy.push_back(std::move(transfer));
}

std::vector<std::string> Poster::headers() {
    if (endpoint_.header_file.empty()) return {};
    auto lines = read_header_file(endpoint_.header_file);
    if (lines) {
        headers_ = std::move(*lines);
        fault_told_ = false;
    } else if (!std::exchange(fault_told_, true)) {
        fault_ = lines.error();
    }
    return headers_;
}

std::vector<Poster::Done> Poster::wait(std::chrono::milliseconds timeout) {
    CURLM* multi = handles_->multi.get();
    std::vector<Done> done;
    int running = 0;
    curl_multi_perform(multi, &running);
    const auto collect = [&] {
        int left = 0;
        while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
            if (message->msg != CURLMSG_DONE) continue;
            CURL* easy = message->easy_handle;
            const CURLcode code = message->data.result;
            Transfer* transfer = nullptr;
            curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
            Done each{transfer->post.id, {}};
            curl_off_t value = 0;
            if (code == CURLE_OK) {
                curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &each.answer.status);
                if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &value) == CURLE_OK)
                    each.answer.retry_after = std::chrono::seconds{value};
            } else {
                // libcurl names hosts and ports in these lines, and no path.
                each.answer.text = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
            }
            // Zero until the host took the connection, or the TLS session upon it.
            curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &value);
            each.answer.reached = value > 0;
            handles_->end(transfer);
            done.push_back(std::move(each));
        }
    };
    collect();
    if (!done.empty()) return done;
    curl_multi_poll(multi, nullptr, 0, static_cast<int>(timeout.count()), nullptr);
    curl_multi_perform(multi, &running);
    collect();
    return done;
}

void Poster::abort() {
    while (!handles_->busy.empty()) handles_->end(handles_->busy.back().get());
}

std::size_t Poster::in_flight() const { return handles_->busy.size(); }

std::optional<std::string> Poster::take_fault() { return std::exchange(fault_, std::nullopt); }

void Poster::wake() { curl_multi_wakeup(handles_->multi.get()); }

}  // namespace pgpulse::consul_bridge::webhook

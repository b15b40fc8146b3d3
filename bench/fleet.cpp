#include "bench/fleet.hpp"

#include "bench/arguments.hpp"
#include "common/contract/state.hpp"

#include <curl/curl.h>

#include <thread>

namespace pgpulse::bench {
namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr std::int64_t kStoredWithinMs = 30'000;
constexpr std::int64_t kMostPending = 65'536;

std::size_t append(const char* bytes, std::size_t size, std::size_t count, void* to) {
    static_cast<std::string*>(to)->append(bytes, size * count);
    return size * count;
}

}  // namespace

std::string target_name(std::size_t index) {
    std::string digits = std::to_string(index);
    if (digits.size() < 4) digits.insert(0, 4 - digits.size(), '0');
    return "bench-" + digits;
}

std::string worker_name(std::size_t index) { return "bench-worker-" + std::to_string(index); }

std::string state_value(const std::string& target, std::uint64_t transition, std::size_t observers) {
    const bool up = transition % 2 == 1;
    contract::State state;
    state.target = target;
    state.state = up ? contract::Health::up : contract::Health::down;
    state.since = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    state.transition = transition;
    if (transition > 1) state.previous = up ? contract::Health::down : contract::Health::up;
    state.reason = up ? contract::Reason::ok : contract::Reason::refused;
    for (std::size_t worker = 0; worker < observers; ++worker) {
        contract::Evidence evidence;
        evidence.worker = worker_name(worker);
        evidence.site = "bench";
        evidence.opinion = up ? contract::Opinion::up : contract::Opinion::down;
        evidence.verdict = up ? contract::Verdict::accepting : contract::Verdict::no_response;
        evidence.reason = state.reason;
        evidence.at = state.since;
        state.evidence.push_back(evidence);
    }
    state.decided_by = "bench";
    state.decided_at = state.since;
    return encode(state);
}

std::unique_ptr<nats::Connection> connect(const std::string& url, const char* program) {
    nats::ConnectOptions options;
    options.url = url;
    options.client_name = program;
    auto connection = nats::Connection::open(options);
    if (!connection) give_up(connection.error().text);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!(*connection)->connected()) {
        if (std::chrono::steady_clock::now() > deadline)
            give_up(std::string{program} + ": NATS is not there");
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return std::move(*connection);
}

BucketFiller::BucketFiller(nats::Connection& connection, std::string_view bucket)
    : prefix_("$KV." + std::string{bucket} + ".") {
    jsOptions options;
    jsOptions_Init(&options);
    options.PublishAsync.MaxPending = kMostPending;
    options.PublishAsync.ErrHandler = [](jsCtx*, jsPubAckErr* error, void*) {
        give_up(std::string{"a value was not stored: "} +
                (error->ErrText != nullptr ? error->ErrText : "no answer"));
    };
    jsCtx* raw = nullptr;
    if (const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), &options); s != NATS_OK)
        give_up(std::string{"JetStream: "} + natsStatus_GetText(s));
    js_.reset(raw);
}

void BucketFiller::put(const std::string& key, std::string_view value) {
    const std::string subject = prefix_ + key;
    const natsStatus s =
        js_PublishAsync(js_.get(), subject.c_str(), value.data(), static_cast<int>(value.size()), nullptr);
    if (s != NATS_OK) give_up("publish on " + subject + ": " + natsStatus_GetText(s));
}

void BucketFiller::finish() {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = kStoredWithinMs;
    if (const natsStatus s = js_PublishAsyncComplete(js_.get(), &options); s != NATS_OK)
        give_up(prefix_ + "*: not stored: " + natsStatus_GetText(s));
}

std::optional<std::string> stored_value(nats::Connection& connection, std::string_view bucket,
                                        const std::string& key) {
    jsCtx* raw_js = nullptr;
    natsStatus s = natsConnection_JetStream(&raw_js, connection.handle(), nullptr);
    const nats::JetStreamHandle js{raw_js};
    kvStore* raw_store = nullptr;
    if (s == NATS_OK) s = js_KeyValue(&raw_store, raw_js, std::string{bucket}.c_str());
    const nats::KeyValueHandle store{raw_store};
    kvEntry* entry = nullptr;
    if (s == NATS_OK) s = kvStore_Get(&entry, raw_store, key.c_str());
    if (s == NATS_NOT_FOUND) return std::nullopt;
    if (s != NATS_OK) give_up("bucket '" + std::string{bucket} + "': " + natsStatus_GetText(s));
    std::string value{static_cast<const char*>(kvEntry_Value(entry)),
                      static_cast<std::size_t>(kvEntry_ValueLen(entry))};
    kvEntry_Destroy(entry);
    return value;
}

MetricsReader::MetricsReader(std::string url) : url_(std::move(url)), curl_(curl_easy_init()) {
    curl_easy_setopt(curl_, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &body_);
    curl_easy_setopt(curl_, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT, 10L);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
}

MetricsReader::~MetricsReader() { curl_easy_cleanup(curl_); }

double MetricsReader::sum(std::string_view metric) {
    body_.clear();
    if (const CURLcode code = curl_easy_perform(curl_); code != CURLE_OK)
        give_up(url_ + ": " + curl_easy_strerror(code));
    double total = 0;
    std::string_view rest = body_;
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (!line.starts_with(metric) || line.size() == metric.size()) continue;
        if (const char next = line[metric.size()]; next != '{' && next != ' ') continue;
        total += std::strtod(std::string{line.substr(line.rfind(' ') + 1)}.c_str(), nullptr);
    }
    return total;
}

}  // namespace pgpulse::bench

#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "common/runtime/mailbox.hpp"

#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

// Takes all definitions away, over and over, and says after how long the bucket has every one of them again as it was.
namespace pgpulse::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{60};
constexpr milliseconds kLook{20};
/// Everybody who looks at the bucket once a second has looked again, and a frozen membership moves again.
constexpr milliseconds kBetweenRounds{5000};
constexpr int kPhaseMs = 1000;
/// After so long the server has removed a deleted stream's files.
constexpr milliseconds kRestOfAName{1000};

/// Hashes of the values.
using Values = std::unordered_map<std::string, std::size_t>;

class Bucket {
  public:
    explicit Bucket(nats::Connection& connection) : connection_(connection) {
        jsCtx* raw = nullptr;
        if (const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), nullptr); s != NATS_OK)
            give_up(std::string{"JetStream: "} + natsStatus_GetText(s));
        js_.reset(raw);
    }

    [[nodiscard]] Values read() const {
        runtime::Mailbox<nats::BucketEvent> mailbox;
        const nats::BucketWatch watch{connection_, std::string{contract::kTargetsBucket},
                                      [&](nats::BucketEvent event) { mailbox.post(std::move(event)); }};
        const auto deadline = Clock::now() + kPatience;
        Values values;
        std::vector<nats::BucketEvent> batch;
        while (Clock::now() < deadline) {
            mailbox.take_until(batch, deadline);
            for (const nats::BucketEvent& event : batch) {
                if (event.kind == nats::BucketEvent::Kind::loaded) return values;
                if (event.kind == nats::BucketEvent::Kind::opened) values.clear();
                if (event.kind == nats::BucketEvent::Kind::value)
                    values[event.key] = std::hash<std::string_view>{}(event.value);
            }
        }
        give_up("the bucket of definitions cannot be read");
    }

    /// How many messages it has, and how many it was written; nothing while there is none.
    struct Size {
        std::uint64_t messages = 0;
        std::uint64_t written = 0;
    };
    [[nodiscard]] Size size() const {
        jsStreamInfo* raw = nullptr;
        if (js_GetStreamInfo(&raw, js_.get(), kStream, nullptr, nullptr) != NATS_OK) return {};
        const nats::StreamInfoHandle info{raw};
        return {info->State.Msgs, info->State.LastSeq};
    }

    void remove() { check("delete", js_DeleteStream(js_.get(), kStream, nullptr, nullptr)); }
    void purge() { check("purge", js_PurgeStream(js_.get(), kStream, nullptr, nullptr)); }
    void recreate() {
        remove();
        std::this_thread::sleep_for(kRestOfAName);
        nats::BucketConfig config;
        config.name = contract::kTargetsBucket;
        config.history = 8;
        if (const auto made = nats::ensure_bucket(connection_, config); !made) give_up(made.error().text);
    }

  private:
    static constexpr const char* kStream = "KV_health_targets";

    nats::Connection& connection_;
    nats::JetStreamHandle js_;

    static void check(const char* what, natsStatus status) {
        if (status != NATS_OK) give_up(std::string{what} + ": " + natsStatus_GetText(status));
    }
};

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 4) usage("definitions_back", "NATS_URL delete|purge|recreate ROUNDS");
    const std::string how = argv[2];
    const long rounds = whole_number("ROUNDS", argv[3], 1, 1000);
    const auto connection = connect(argv[1], "definitions_back");
    Bucket bucket{*connection};
    const std::unordered_map<std::string, std::function<void()>> ways{
        {"delete", [&] { bucket.remove(); }}, {"purge", [&] { bucket.purge(); }}, {"recreate", [&] {
                                                                                       bucket.recreate();
                                                                                   }}};
    const auto take_away = ways.find(how);
    if (take_away == ways.end()) usage("definitions_back", "NATS_URL delete|purge|recreate ROUNDS");

    std::minstd_rand random{std::random_device{}()};
    const Values before = bucket.read();
    for (long round = 0; round < rounds; ++round) {
        // At whatever moment between two looks of those who are to notice it.
        std::this_thread::sleep_for(kBetweenRounds + milliseconds{random() % kPhaseMs});
        const std::uint64_t written_before = how == "purge" ? bucket.size().written : 0;
        const auto began = Clock::now();
        take_away->second();
        while (bucket.size().messages < before.size()) {
            if (Clock::now() - began > kPatience)
                give_up("only " + std::to_string(bucket.size().messages) + " definitions are back");
            std::this_thread::sleep_for(kLook);
        }
        const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
        if (bucket.read() != before) give_up("the definitions came back otherwise than they were");
        std::printf("whole %.2f %llu\n", seconds,
                    static_cast<unsigned long long>(bucket.size().written - written_before));
        std::fflush(stdout);
    }
}

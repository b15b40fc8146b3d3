#include "bench/arguments.hpp"
#include "bench/consul_http.hpp"
#include "bench/measured.hpp"

#include <string>

// What a script would do, at its best: one request after the other over one connection that is kept.
//   kv         puts one key a transition
//   kv+check   puts the key and updates the target's check in the catalog
namespace pgpulse::bench {
namespace {

constexpr int kNodes = 200;

/// Consul says `true` to what it has stored.
void put(ConsulHttp& consul, const std::string& path, const std::string& body) {
    const std::string& answer = consul.put(path, body);
    if (answer != "true" && answer != "true\n") give_up(path + ": " + answer);
}

std::string node_name(int i) { return "sequential-" + std::to_string(i % kNodes); }

/// As long as what the bridge stores for a transition, and another one each time.
std::string value(int i) {
    const std::string up = i / kNodes % 2 == 0 ? "up" : "down";
    return R"({"v":1,"target":")" + node_name(i) + R"(","state":")" + up +
           R"(","reason":"ok","since":"2026-01-02T03:04:05.000006Z","transition":)" + std::to_string(i) +
           R"(,"previous":"down","service":")" + node_name(i) +
           R"(","address":"127.0.0.1","port":5432,"updated_at":"2026-01-02T03:04:05.000006Z",)"
           R"("epoch":"2026-01-02T03:04:05.000006Z","revision":)" +
           std::to_string(i) + "}";
}

std::string check(int i) {
    const std::string status = i / kNodes % 2 == 0 ? "passing" : "critical";
    return R"({"Node":")" + node_name(i) + R"(","SkipNodeUpdate":true,"Check":{"CheckID":")" + node_name(i) +
           R"(-isready","Name":"PG is ready","ServiceID":")" + node_name(i) + R"(","Status":")" + status +
           R"(","Output":"transition )" + std::to_string(i) + R"("}})";
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    const std::string work = argc == 4 ? argv[2] : "";
    if (work != "kv" && work != "kv+check") usage("sequential_puts", "CONSUL_URL kv|kv+check SECONDS");
    const auto seconds = static_cast<double>(whole_number("SECONDS", argv[3], 1, 3600));
    ConsulHttp consul{argv[1]};
    if (work == "kv+check") {
        for (int i = 0; i < kNodes; ++i) {
            put(consul, "/v1/catalog/register",
                R"({"Node":")" + node_name(i) + R"(","Address":"127.0.0.1","Service":{"Service":")" +
                    node_name(i) + R"("}})");
        }
    }
    const Stretch stretch;
    int transitions = 0;
    for (; stretch.seconds() < seconds; ++transitions) {
        put(consul, "/v1/kv/sequential/" + node_name(transitions), value(transitions));
        if (work == "kv+check") put(consul, "/v1/catalog/register", check(transitions));
    }
    stretch.print(static_cast<std::uint64_t>(transitions));
}

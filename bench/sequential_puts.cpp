#include "bench/arguments.hpp"
#include "bench/measured.hpp"

#include <curl/curl.h>

#include <string>

// What a script would do, at its best: one request after the other over one connection that is kept.
//   kv         puts one key a transition
//   kv+check   puts the key and updates the target's check in the catalog
namespace pgpulse::bench {
namespace {

constexpr int kNodes = 200;

std::size_t append(const char* bytes, std::size_t size, std::size_t count, void* to) {
    static_cast<std::string*>(to)->append(bytes, size * count);
    return size * count;
}

class Consul {
  public:
    explicit Consul(std::string url) : url_(std::move(url)), curl_(curl_easy_init()) {
        curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, "PUT");
        curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, append);
        curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer_);
        curl_easy_setopt(curl_, CURLOPT_TIMEOUT, 10L);
        curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    }
    Consul(const Consul&) = delete;
    Consul& operator=(const Consul&) = delete;
    ~Consul() { curl_easy_cleanup(curl_); }

    void put(const std::string& path, const std::string& body) {
        const std::string url = url_ + path;
        answer_.clear();
        curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.c_str());
        if (const CURLcode code = curl_easy_perform(curl_); code != CURLE_OK)
            give_up(url + ": " + curl_easy_strerror(code));
        if (answer_ != "true" && answer_ != "true\n") give_up(url + ": " + answer_);
    }

  private:
    std::string url_;
    CURL* curl_;
    std::string answer_;
};

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
    Consul consul{argv[1]};
    if (work == "kv+check") {
        for (int i = 0; i < kNodes; ++i) {
            consul.put("/v1/catalog/register", R"({"Node":")" + node_name(i) +
                                                   R"(","Address":"127.0.0.1","Service":{"Service":")" +
                                                   node_name(i) + R"("}})");
        }
    }
    const Stretch stretch;
    int transitions = 0;
    for (; stretch.seconds() < seconds; ++transitions) {
        consul.put("/v1/kv/sequential/" + node_name(transitions), value(transitions));
        if (work == "kv+check") consul.put("/v1/catalog/register", check(transitions));
    }
    stretch.print(static_cast<std::uint64_t>(transitions));
}

#include "bench/consul_http.hpp"

#include "bench/arguments.hpp"

#include <curl/curl.h>

namespace pgpulse::bench {
namespace {

constexpr long kOk = 200;
constexpr long kPatienceSeconds = 60;

std::size_t append(const char* bytes, std::size_t size, std::size_t count, void* to) {
    static_cast<std::string*>(to)->append(bytes, size * count);
    return size * count;
}

}  // namespace

ConsulHttp::ConsulHttp(std::string url) : url_(std::move(url)), curl_(curl_easy_init()) {
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer_);
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT, kPatienceSeconds);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
}

ConsulHttp::~ConsulHttp() { curl_easy_cleanup(curl_); }

const std::string& ConsulHttp::put(const std::string& path, const std::string& body) {
    curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.c_str());
    return perform(path);
}

const std::string& ConsulHttp::get(const std::string& path) {
    curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, nullptr);
    curl_easy_setopt(curl_, CURLOPT_HTTPGET, 1L);
    return perform(path);
}

const std::string& ConsulHttp::perform(const std::string& path) {
    const std::string url = url_ + path;
    answer_.clear();
    curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
    if (const CURLcode code = curl_easy_perform(curl_); code != CURLE_OK)
        give_up(url + ": " + curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    if (status != kOk) give_up(url + ": " + std::to_string(status) + " " + answer_.substr(0, 300));
    return answer_;
}

}  // namespace pgpulse::bench

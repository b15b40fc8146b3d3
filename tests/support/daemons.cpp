#include "tests/support/daemons.hpp"

#include "tests/support/folders.hpp"
#include "tests/support/free_port.hpp"

#include <curl/curl.h>

#include <sstream>

namespace pgpulse::support {
namespace {

std::size_t append(char* data, std::size_t size, std::size_t count, void* to) {
    static_cast<std::string*>(to)->append(data, size * count);
    return size * count;
}

}  // namespace

std::string built_program(const std::string& name) { return program_folder() / name; }

HttpAnswer http_get(const std::string& url) {
    HttpAnswer answer;
    CURL* curl = curl_easy_init();
    if (curl == nullptr) return answer;
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 5000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
    if (curl_easy_perform(curl) == CURLE_OK) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_cleanup(curl);
    return answer;
}

Daemon::Daemon(std::string program, std::string id, std::vector<std::string> arguments,
               ProcessOptions options)
    : program_(std::move(program)),
      options_(std::move(options)),
      address_("127.0.0.1:" + std::to_string(free_port())) {
    arguments_ = {built_program(program_), "--id", std::move(id), "--http", address_};
    arguments_.insert(arguments_.end(), arguments.begin(), arguments.end());
    start();
}

void Daemon::start() {
    if (process_ && process_->running()) return;
    if (process_) past_log_ += process_->output();
    process_ = std::make_unique<Process>(arguments_, options_);
}

std::optional<int> Daemon::stop() { return process_->terminate(); }

void Daemon::kill9() { process_->kill9(); }

long Daemon::readiness() const { return http_get("http://" + address_ + "/readyz").status; }

std::optional<double> Daemon::metric(const std::string& sample) const {
    std::istringstream lines{metrics()};
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(sample + " ")) return std::stod(line.substr(sample.size() + 1));
    }
    return std::nullopt;
}

std::string Daemon::metrics() const { return http_get("http://" + address_ + "/metrics").body; }

std::string Daemon::log() const { return past_log_ + process_->output(); }

}  // namespace pgpulse::support

#include "tests/support/consul_agent.hpp"

#include "tests/support/free_port.hpp"

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <stdexcept>

namespace pgpulse::support {
namespace {

struct CurlDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t append_body(const char* data, std::size_t, std::size_t size, void* body) {
    static_cast<std::string*>(body)->append(data, size);
    return size;
}

/// The gRPC port with TLS, open by default from 1.14 on, is a configuration key that older agents refuse.
bool opens_grpc_tls_by_default(const std::string& program) {
    std::istringstream version{run_to_end({program, "version"}).out};
    std::string name;
    char v = 0;
    char dot = 0;
    int major = 0;
    int minor = 0;
    version >> name >> v >> major >> dot >> minor;
    return major > 1 || (major == 1 && minor >= 14);
}

}  // namespace

std::string consul_program() {
    if (const char* named = std::getenv("PGPULSE_CONSUL"); named != nullptr && *named != '\0') {
        return named;
    }
    if (const auto found = find_program("consul")) {
        return found->string();
    }
    throw std::runtime_error("no consul on PATH, and PGPULSE_CONSUL does not name one");
}

ConsulAgent::ConsulAgent(ConsulAgentOptions options) : ConsulAgent(std::move(options), Launch{}) {
    wait_until_ready();
}

std::unique_ptr<ConsulAgent> ConsulAgent::launched(ConsulAgentOptions options) {
    return std::unique_ptr<ConsulAgent>{new ConsulAgent{std::move(options), Launch{}}};
}

ConsulAgent::ConsulAgent(ConsulAgentOptions options, Launch)
    : token_(std::move(options.token)),
      servers_(options.servers),
      server_port_(free_port()),
      serf_port_(free_port()),
      http_port_(free_port()),
      dns_port_(free_port()) {
    nlohmann::json config = {
        {"node_name", options.node_name},
        {"data_dir", (folder_ / "data").string()},
        {"log_level", "info"},
        {"disable_update_check", true},
        {"leave_on_terminate", false},
        {"skip_leave_on_interrupt", true},
        {"performance", {{"raft_multiplier", 1}}},
        {"ports",
         {{"http", http_port_},
          {"dns", dns_port_},
          {"server", server_port_},
          {"serf_lan", serf_port_},
          {"serf_wan", servers_ == 1 ? free_port() : -1},
          {"grpc", -1}}},
    };
    if (opens_grpc_tls_by_default(consul_program())) {
        config["ports"]["grpc_tls"] = -1;
    }
    for (const auto port : options.join) config["retry_join"].push_back("127.0.0.1:" + std::to_string(port));
    if (!options.join.empty()) config["retry_interval"] = "1s";
    std::filesystem::create_directory(folder_ / "config");
    std::ofstream{folder_ / "config/agent.json"} << config;
    if (!options.extra_config.empty()) {
        std::ofstream{folder_ / "config/extra.json"} << options.extra_config;
    }
    launch();
}

void ConsulAgent::start() {
    if (process_) {
        return;
    }
    launch();
    wait_until_ready();
}

void ConsulAgent::launch() {
    std::vector<std::string> command{consul_program(), "agent", "-bind=127.0.0.1", "-client=127.0.0.1",
                                     "-config-dir=" + (folder_ / "config").string()};
    if (servers_ > 0) {
        command.emplace_back("-server");
        command.push_back("-bootstrap-expect=" + std::to_string(servers_));
    }
    process_ = std::make_unique<Process>(
        command, ProcessOptions{.working_directory = folder_.path(), .log_file = folder_ / "consul.log"});
}

void ConsulAgent::wait_until_ready() {
    wait_ready(*process_, "consul", [this] {
        // A client agent may limit how often its server is asked; whom it has joined it knows itself.
        if (servers_ == 0) {
            const auto members = nlohmann::json::parse(get("/v1/agent/members").body, nullptr, false);
            return members.is_array() && members.size() > 1;
        }
        const auto leader = get("/v1/status/leader");
        return leader.status == 200 && leader.body != "\"\"" &&
               get("/v1/catalog/nodes?consistent").status == 200;
    });
}

void ConsulAgent::stop() {
    if (process_ && !process_->terminate()) {
        throw std::runtime_error("consul did not end on SIGTERM; it wrote:\n" + log());
    }
    process_.reset();
}

void ConsulAgent::kill9() {
    process().kill9();
    process_.reset();
}

void ConsulAgent::restart() {
    stop();
    start();
}

void ConsulAgent::wipe() {
    if (process_) {
        throw std::logic_error("consul is running");
    }
    std::filesystem::remove_all(folder_ / "data");
}

std::string ConsulAgent::http_url() const { return "http://127.0.0.1:" + std::to_string(http_port_); }

Process& ConsulAgent::process() {
    if (!process_) {
        throw std::logic_error("consul is down");
    }
    return *process_;
}

std::string ConsulAgent::log() const {
    std::ostringstream text;
    text << std::ifstream{folder_ / "consul.log"}.rdbuf();
    return text.str();
}

HttpResponse ConsulAgent::request(const std::string& token, std::string_view path,
                                  std::optional<std::string_view> body) const {
    static std::once_flag initialised;
    std::call_once(initialised, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    const std::unique_ptr<CURL, CurlDeleter> handle{curl_easy_init()};
    const std::unique_ptr<curl_slist, CurlDeleter> headers{
        token.empty() ? nullptr : curl_slist_append(nullptr, ("X-Consul-Token: " + token).c_str())};
    HttpResponse response{0, {}};
    const std::string upload{body.value_or("")};
    curl_easy_setopt(handle.get(), CURLOPT_URL, (http_url() + std::string{path}).c_str());
    curl_easy_setopt(handle.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(handle.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle.get(), CURLOPT_TIMEOUT_MS, 15'000L);
    curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, append_body);
    curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &response.body);
    if (body) {
        curl_easy_setopt(handle.get(), CURLOPT_CUSTOMREQUEST, "PUT");
        curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDS, upload.data());
        curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(upload.size()));
    }
    if (const CURLcode code = curl_easy_perform(handle.get()); code != CURLE_OK) {
        return {0, curl_easy_strerror(code)};
    }
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &response.status);
    return response;
}

HttpResponse ConsulAgent::get(std::string_view path) const { return request(token_, path, std::nullopt); }

HttpResponse ConsulAgent::put(std::string_view path, std::string_view body) const {
    return request(token_, path, body);
}

HttpResponse ConsulAgent::get_as(const std::string& token, std::string_view path) const {
    return request(token, path, std::nullopt);
}

HttpResponse ConsulAgent::put_as(const std::string& token, std::string_view path,
                                 std::string_view body) const {
    return request(token, path, body);
}

std::optional<std::string> ConsulAgent::kv_get_raw(std::string_view key) const {
    auto response = get("/v1/kv/" + std::string{key} + "?raw");
    if (response.status == 404) {
        return std::nullopt;
    }
    if (response.status != 200) {
        throw std::runtime_error("Consul KV " + std::string{key} + ": " + std::to_string(response.status) +
                                 " " + response.body);
    }
    return std::move(response.body);
}

std::optional<std::string> ConsulAgent::check_status(std::string_view check_id, std::string_view node) const {
    const auto response = get(node.empty() ? "/v1/health/state/any" : "/v1/health/node/" + std::string{node});
    if (response.status != 200) {
        throw std::runtime_error("Consul checks: " + std::to_string(response.status) + " " + response.body);
    }
    for (const auto& check : nlohmann::json::parse(response.body)) {
        if (check.at("CheckID") == check_id) {
            return check.at("Status").get<std::string>();
        }
    }
    return std::nullopt;
}

}  // namespace pgpulse::support

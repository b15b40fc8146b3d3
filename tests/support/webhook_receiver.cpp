#include "tests/support/webhook_receiver.hpp"

#include "tests/support/free_port.hpp"

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

namespace pgpulse::support {
namespace {

/// More than a bridge has on its way, since some of them wait.
constexpr std::size_t kThreads = 32;

WebhookReceiver::Event event_of(const httplib::Request& request) {
    WebhookReceiver::Event event;
    event.path = request.target;
    for (const auto& [name, value] : request.headers) {
        std::string lower = name;
        std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
        event.headers[lower] = value;
    }
    event.body = request.body;
    const auto json = nlohmann::json::parse(request.body, nullptr, false);
    if (!json.is_object()) return event;
    event.id = json.value("id", "");
    event.sequence = json.value("sequence", "");
    event.subject = json.value("subject", "");
    if (json.contains("data")) event.transition = json["data"].value("transition", std::uint64_t{0});
    return event;
}

}  // namespace

struct WebhookReceiver::Impl {
    Tls tls;
    int port = free_port();
    std::unique_ptr<httplib::Server> server;
    std::thread thread;
    mutable std::mutex mutex;
    Decide decide = [](const Event&) { return Answer{}; };
    std::vector<Event> events;
};

WebhookReceiver::WebhookReceiver(Tls tls) : impl_(std::make_unique<Impl>()) {
    impl_->tls = std::move(tls);
    start();
}

WebhookReceiver::~WebhookReceiver() { stop(); }

void WebhookReceiver::start() {
    if (impl_->server) return;
    if (impl_->tls.certificate.empty()) {
        impl_->server = std::make_unique<httplib::Server>();
    } else {
        impl_->server =
            std::make_unique<httplib::SSLServer>(impl_->tls.certificate.c_str(), impl_->tls.key.c_str());
    }
    Impl* self = impl_.get();
    self->server->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    self->server->set_tcp_nodelay(true);
    self->server->set_keep_alive_max_count(1'000'000);
    self->server->Post(".*", [self](const httplib::Request& request, httplib::Response& response) {
        Event event = event_of(request);
        Decide decide;
        {
            const std::lock_guard lock{self->mutex};
            decide = self->decide;
        }
        const Answer answer = decide(event);
        event.status = response.status = answer.status;
        for (const auto& [name, value] : answer.headers) response.set_header(name, value);
        const std::lock_guard lock{self->mutex};
        self->events.push_back(std::move(event));
    });
    if (!self->server->bind_to_port("127.0.0.1", self->port))
        throw std::runtime_error("webhook receiver: cannot listen on port " + std::to_string(self->port));
    self->thread = std::thread{[server = self->server.get()] { server->listen_after_bind(); }};
    // A stop before the loop runs would be lost.
    while (!self->server->is_running()) std::this_thread::yield();
}

void WebhookReceiver::stop() {
    if (!impl_->server) return;
    impl_->server->stop();
    impl_->thread.join();
    impl_->server.reset();
}

void WebhookReceiver::answer_with(Decide decide) {
    const std::lock_guard lock{impl_->mutex};
    impl_->decide = std::move(decide);
}

std::string WebhookReceiver::url() const {
    return (impl_->tls.certificate.empty() ? "http" : "https") + std::string{"://127.0.0.1:"} +
           std::to_string(impl_->port) + "/hook";
}

std::vector<WebhookReceiver::Event> WebhookReceiver::events() const {
    const std::lock_guard lock{impl_->mutex};
    return impl_->events;
}

std::map<std::string, std::vector<std::uint64_t>> WebhookReceiver::stories() const {
    std::map<std::string, std::vector<std::uint64_t>> stories;
    std::map<std::string, std::string> newest;
    const std::lock_guard lock{impl_->mutex};
    for (const Event& event : impl_->events) {
        std::string& before = newest[event.subject];
        if (event.status / 100 != 2 || event.sequence <= before) continue;
        before = event.sequence;
        stories[event.subject].push_back(event.transition);
    }
    return stories;
}

std::size_t WebhookReceiver::count() const {
    const std::lock_guard lock{impl_->mutex};
    return impl_->events.size();
}

}  // namespace pgpulse::support

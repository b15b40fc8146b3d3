#include "common/runtime/http_endpoint.hpp"

#include "common/runtime/clock.hpp"

#include <httplib.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <charconv>
#include <thread>

namespace pgpulse::runtime {

struct HttpEndpoint::Impl {
    httplib::Server server;
    std::shared_ptr<prometheus::Registry> registry;
    Health health;
    int port = 0;
    std::thread thread;
};

tl::expected<HostPort, std::string> parse_host_port(const std::string& text) {
    const auto colon = text.rfind(':');
    const std::string expected = "expected ADDR:PORT, found '" + text + "'";
    if (colon == std::string::npos) return tl::unexpected(expected);
    HostPort result;
    result.host = text.substr(0, colon);
    if (result.host.starts_with('[') && result.host.ends_with(']')) {
        result.host = result.host.substr(1, result.host.size() - 2);
    }
    if (result.host.empty()) result.host = "0.0.0.0";
    const char* first = text.data() + colon + 1;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(first, last, result.port);
    if (error != std::errc{} || end != last || first == last || result.port < 0 || result.port > 65535) {
        return tl::unexpected(expected);
    }
    return result;
}

tl::expected<std::unique_ptr<HttpEndpoint>, std::string> HttpEndpoint::open(
    const std::string& address, std::shared_ptr<prometheus::Registry> registry, Health health,
    const std::string& ready_metric) {
    const auto where = parse_host_port(address);
    if (!where) return tl::unexpected(where.error());
    auto impl = std::make_unique<Impl>();
    impl->registry = std::move(registry);
    impl->health = std::move(health);
    // httplib's default is a thread a core and eight at least; a scrape needs one.
    impl->server.new_task_queue = [] { return new httplib::ThreadPool(2); };
    // Head and body are sent apart: without this the second waits 40 ms for the acknowledgement of the first.
    impl->server.set_tcp_nodelay(true);
    // httplib's default would let two processes share the port.
    impl->server.set_socket_options([](auto socket) {
        const int yes = 1;
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    auto& ready = prometheus::BuildGauge()
                      .Name(ready_metric)
                      .Help("1 while /readyz answers 200")
                      .Register(*impl->registry)
                      .Add({});
    prometheus::BuildGauge()
        .Name("process_start_time_seconds")
        .Help("When this process started, since 1970 in UTC")
        .Register(*impl->registry)
        .Add({})
        .Set(std::chrono::duration<double>(runtime::wall_now().time_since_epoch()).count());
    Impl* self = impl.get();
    impl->server.Get("/metrics", [self, &ready](const httplib::Request&, httplib::Response& response) {
        ready.Set(self->health.not_ready_because().empty() ? 1 : 0);
        const prometheus::TextSerializer serializer;
        response.set_content(serializer.Serialize(self->registry->Collect()), "text/plain; version=0.0.4");
    });
    impl->server.Get("/healthz", [self](const httplib::Request&, httplib::Response& response) {
        const bool healthy = self->health.healthy();
        response.status = healthy ? 200 : 503;
        response.set_content(healthy ? "ok\n" : "the working loop does not turn\n", "text/plain");
    });
    impl->server.Get("/readyz", [self](const httplib::Request&, httplib::Response& response) {
        const std::string because = self->health.not_ready_because();
        response.status = because.empty() ? 200 : 503;
        response.set_content(because.empty() ? "ok\n" : because + "\n", "text/plain");
    });
    if (where->port == 0) {
        impl->port = impl->server.bind_to_any_port(where->host);
    } else {
        impl->port = impl->server.bind_to_port(where->host, where->port) ? where->port : -1;
    }
    if (impl->port < 0)
        return tl::unexpected("cannot listen on " + address + ": address in use or not allowed");
    impl->thread = std::thread{[self] { self->server.listen_after_bind(); }};
    // A stop before the loop runs would be lost.
    while (!impl->server.is_running()) std::this_thread::yield();
    return std::unique_ptr<HttpEndpoint>{new HttpEndpoint{std::move(impl)}};
}

HttpEndpoint::HttpEndpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpEndpoint::~HttpEndpoint() {
    impl_->server.stop();
    impl_->thread.join();
}

int HttpEndpoint::port() const { return impl_->port; }

}  // namespace pgpulse::runtime

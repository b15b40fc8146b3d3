#include "probe/references.hpp"

#include "probe/resolver.hpp"

#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <map>

namespace pgpulse::probe {
namespace {

using asio::ip::tcp;

bool is_there(const std::error_code& error) { return !error || error == asio::error::connection_refused; }

}  // namespace

struct References::Impl : std::enable_shared_from_this<References::Impl> {
    Impl(asio::io_context& io, std::vector<Reference> list, OnAnswer answer)
        : loop(io), references(std::move(list)), on_answer(std::move(answer)), patience(io) {}

    /// To be called once, when it is held by a shared pointer.
    void follow_names() {
        for (const Reference& reference : references) {
            if (is_numeric_address(reference.host)) addresses[reference.host] = {reference.host};
        }
        if (addresses.size() == references.size()) return;
        resolver = std::make_unique<Resolver>(
            [&io = loop, weak = weak_from_this()](const std::string& name, Resolver::Answer answer) {
                if (answer.addresses.empty()) return;  // the last good addresses stay in use
                asio::post(io, [weak, name, found = std::move(answer.addresses)] {
                    if (const auto self = weak.lock()) self->addresses[name] = found;
                });
            });
        for (const Reference& reference : references) {
            if (!is_numeric_address(reference.host)) resolver->follow(reference.host);
        }
    }

    asio::io_context& loop;
    std::vector<Reference> references;
    OnAnswer on_answer;
    asio::steady_timer patience;
    std::map<std::string, std::vector<std::string>> addresses;  // by host
    std::vector<std::unique_ptr<tcp::socket>> tries;
    std::uint64_t question = 0;  // the number of the open one
    std::size_t open = 0;        // tries of it without an outcome
    std::unique_ptr<Resolver> resolver;

    void ask() {
        const std::uint64_t number = ++question;
        open = 0;
        for (const Reference& reference : references) {
            for (const std::string& address : addresses[reference.host])
                try_one(number, address, reference.port);
        }
        patience.expires_after(std::chrono::milliseconds{kPatienceMs});
        patience.async_wait([weak = weak_from_this(), number](const std::error_code& error) {
            const auto self = weak.lock();
            if (self && !error && number == self->question) self->settle(false);
        });
    }

    void try_one(std::uint64_t number, const std::string& address, std::uint16_t port) {
        std::error_code error;
        const auto ip = asio::ip::make_address(address, error);
        if (error) return;
        tries.push_back(std::make_unique<tcp::socket>(loop));
        ++open;
        tries.back()->async_connect({ip, port},
                                    [weak = weak_from_this(), number](const std::error_code& outcome) {
                                        const auto self = weak.lock();
                                        if (!self || number != self->question) return;
                                        if (is_there(outcome)) {
                                            self->settle(true);
                                        } else if (--self->open == 0) {
                                            self->settle(false);
                                        }
                                    });
    }

    void settle(bool any) {
        ++question;
        tries.clear();
        patience.cancel();
        on_answer(any);
    }
};

References::References(asio::io_context& loop, std::vector<Reference> references, OnAnswer on_answer)
    : impl_(std::make_shared<Impl>(loop, std::move(references), std::move(on_answer))) {
    impl_->follow_names();
}

References::~References() = default;

void References::ask() { impl_->ask(); }

}  // namespace pgpulse::probe

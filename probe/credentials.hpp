#pragma once

#include <tl/expected.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace pgpulse::probe {

/// A text that is not to be seen: nothing prints it, and what gives it out is called by a name that shows in
/// a review.
class Secret {
  public:
    Secret() = default;
    explicit Secret(std::string text) : text_(std::move(text)) {}

    [[nodiscard]] bool empty() const { return text_.empty(); }
    [[nodiscard]] const std::string& reveal() const { return text_; }

  private:
    std::string text_;
};

/// What a login brings besides the role's name.
struct Credentials {
    Secret password;       // empty: none
    std::string passfile;  // of libpq; empty: none
    std::string service;   // a section of libpq's connection service file; empty: none
};

/// Reads a definition's `credentials`:
///   empty             a login without a password (trust, peer, cert)
///   FILE              a file that holds the password alone; a line end after it does not count
///   passfile:FILE     a libpq passfile (lines of host:port:database:user:password)
///   service:NAME      a section of the service file that PGSERVICEFILE or PGSYSCONFDIR names: it gives user, database,
///                     password and sslmode
/// A file must belong to nobody but its owner (mode 0600 or less), as libpq asks of its passfile. One in the folder of
/// CREDENTIALS_DIRECTORY (systemd's LoadCredential=) may seem to be its group's: newer systemds give the service its right by an
/// access control list, whose mask stands in the group's place. Error: one line that names the file, and what was
/// expected of it; never its content.
tl::expected<Credentials, std::string> read_credentials(const std::string& reference);

}  // namespace pgpulse::probe

#pragma once

#include <nats/nats.h>
#include <tl/expected.hpp>

#include <string>

namespace pgpulse::nats {

/// A nats.c call that failed. `text` is one line for a log: what was tried and the library's own words.
struct Error {
    natsStatus status = NATS_ERR;
    jsErrCode js_code = static_cast<jsErrCode>(0);
    std::string text;
};

template <typename T>
using Result = tl::expected<T, Error>;

/// Builds the error of a call that returned `status`; reads nats_GetLastError, so call it at once and on the
/// same thread.
Error make_error(std::string what, natsStatus status, jsErrCode js_code = static_cast<jsErrCode>(0));

}  // namespace pgpulse::nats

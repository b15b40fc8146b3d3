#include "common/runtime/logging.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <ctime>
#include <memory>
#include <string>

namespace pgpulse::runtime {
namespace {

/// `%*`: the message with JSON's escapes, so that a line of the json format is always one valid object.
class JsonMessage final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        for (const char c : std::string_view{message.payload.data(), message.payload.size()}) {
            if (c == '"' || c == '\\') {
                out.push_back('\\');
                out.push_back(c);
            } else if (static_cast<unsigned char>(c) < 0x20) {
                static constexpr std::string_view kHex = "0123456789abcdef";
                const std::string_view start = "\\u00";
                out.append(start.data(), start.data() + start.size());
                out.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
                out.push_back(kHex[static_cast<unsigned char>(c) & 15]);
            } else {
                out.push_back(c);
            }
        }
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<JsonMessage>();
    }
};

}  // namespace

void set_up_logging(std::string_view program, std::string_view level, std::string_view format) {
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    auto logger = std::make_shared<spdlog::logger>(std::string{program}, std::move(sink));
    auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    if (format == "json") {
        formatter->add_flag<JsonMessage>('*');
        formatter->set_pattern(
            R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l","program":"%n","message":"%*"})");
    } else {
        formatter->set_pattern("%Y-%m-%dT%H:%M:%S.%fZ %^%l%$ %n: %v");
    }
    logger->set_formatter(std::move(formatter));
    logger->set_level(spdlog::level::from_str(std::string{level}));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
}

std::string kept_back_words(std::uint64_t lines) {
    if (lines == 0) return {};
    return " (" + std::to_string(lines) + " further such " + (lines == 1 ? "line" : "lines") + " kept back)";
}

std::optional<std::uint64_t> LineLimit::allow(std::chrono::steady_clock::time_point now) {
    if (last_ && now - *last_ < interval_) {
        ++kept_back_;
        return std::nullopt;
    }
    last_ = now;
    const std::uint64_t kept_back = kept_back_;
    kept_back_ = 0;
    return kept_back;
}

}  // namespace pgpulse::runtime

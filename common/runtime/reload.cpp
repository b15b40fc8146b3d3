#include "common/runtime/reload.hpp"

#include "common/runtime/config_file.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgpulse::runtime {
namespace {

/// "nats", "nats and http", "nats, http and id".
std::string enumerated(const std::vector<std::string>& words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
        text += words[i];
    }
    return text;
}

}  // namespace

tl::expected<Reload::Changes, std::string> Reload::read() {
    std::map<std::string, ConfigKey> keys;
    for (const auto& [key, setting] : settings_) keys[key] = {setting.is_list};
    auto values = read_config_file(file_, keys);
    if (!values) return tl::unexpected(std::move(values.error()));

    Changes changes;
    for (const auto& [key, setting] : settings_) {
        if (!setting.from_file) continue;
        const auto found = values->find(key);
        const auto& items = found == values->end() ? setting.by_default : found->second.items;
        if (found != values->end() && setting.expected) {
            if (const auto expected = setting.expected(items.front())) {
                return tl::unexpected(found->second.place + ": expected " + *expected + ", found '" +
                                      items.front() + "'");
            }
        }
        if (items == setting.value) continue;
        if (setting.at_once)
            changes.at_once[key] = items.empty() ? std::string{} : items.front();
        else
            changes.at_next_start.push_back(key);
    }
    for (const auto& [key, value] : changes.at_once) settings_[key].value = {value};
    return changes;
}

std::map<std::string, std::string> Reload::carry_out() {
    if (file_.empty()) {
        spdlog::info("SIGHUP: there is no --config file to read again");
        return {};
    }
    auto changes = read();
    if (!changes) {
        spdlog::error("{}; nothing is changed", changes.error());
        return {};
    }
    std::vector<std::string> news;
    for (const auto& [key, value] : changes->at_once)
        news.push_back(fmt::format("{} is '{}' now", key, value));
    if (!changes->at_next_start.empty()) {
        const bool several = changes->at_next_start.size() > 1;
        news.push_back(enumerated(changes->at_next_start) + (several ? " have" : " has") +
                       " changed, which takes a restart");
    }
    auto level = spdlog::get_level();
    if (const auto changed = changes->at_once.find("log-level"); changed != changes->at_once.end())
        level = spdlog::level::from_str(changed->second);
    // A change of the level is to be seen, whichever of the two is the lower.
    spdlog::set_level(std::min(level, spdlog::get_level()));
    spdlog::info("{} is read again: {}", file_, news.empty() ? "nothing has changed" : enumerated(news));
    spdlog::set_level(level);
    return std::move(changes->at_once);
}

}  // namespace pgpulse::runtime

#include "consul-bridge/transaction.hpp"

#include "consul-bridge/entry.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

constexpr std::size_t kShownBytes = 200;

std::string one_line(std::string_view text) {
    std::string line{text.substr(0, kShownBytes)};
    std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

Committed read_results(std::string_view body) {
    Committed committed;
    for_each_result(body, [&committed](std::string_view kind, const Entry& entry) {
        committed.index = std::max(committed.index, entry.number("ModifyIndex"));
        if (kind == "KV") committed.values[entry.text("Key")] = entry.number("ModifyIndex");
        if (kind == "Node") committed.nodes[entry.text("Node")] = entry.number("ModifyIndex");
    });
    return committed;
}

}  // namespace

bool Transaction::add(std::string target, std::vector<Operation> operations) {
    std::string encoded;
    for (const Operation& operation : operations) {
        if (operations_ > 0 || !encoded.empty()) encoded += ',';
        encoded += encode(operation);
    }
    const bool fits = operations_ + operations.size() <= kMaxOperations &&
                      body_.size() + encoded.size() + 1 <= kMaxBodyBytes;
    if (!fits && !parts_.empty()) return false;
    operations_ += operations.size();
    body_ += encoded;
    parts_.push_back({std::move(target), std::move(operations)});
    return true;
}

std::string Transaction::take_body() { return std::move(body_) + "]"; }

std::size_t Transaction::part_of(std::size_t operation) const {
    std::size_t end = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        end += parts_[i].operations.size();
        if (operation < end) return i;
    }
    return parts_.size();
}

TransactionOutcome read_outcome(long http_status, std::string_view body) {
    switch (http_status) {
        case 200:
            return read_results(body);
        case 409: {
            Refused refused{read_faults(body)};
            if (refused.faults.empty()) return Rejected{describe(http_status, body)};
            return refused;
        }
        case 400:
        case 413:
            return Rejected{describe(http_status, body)};
        default:
            return Unreachable{describe(http_status, body)};
    }
}

std::vector<Refused::Fault> read_faults(std::string_view body) {
    std::vector<Refused::Fault> faults;
    const auto json = nlohmann::json::parse(body, nullptr, false);
    if (!json.is_object()) return faults;
    const auto errors = json.find("Errors");
    if (errors == json.end() || !errors->is_array()) return faults;
    for (const auto& error : *errors) {
        if (!error.is_object()) continue;
        const auto index = error.find("OpIndex");
        const auto what = error.find("What");
        if (index == error.end() || !index->is_number_unsigned() || what == error.end()) continue;
        if (!what->is_string()) continue;
        faults.push_back({index->get<std::size_t>(), one_line(what->get_ref<const std::string&>())});
    }
    return faults;
}

std::string describe(long http_status, std::string_view body) {
    std::string text = "HTTP " + std::to_string(http_status);
    const std::string line = one_line(body);
    if (!line.empty()) text += ": " + line;
    return text;
}

}  // namespace pgpulse::consul_bridge

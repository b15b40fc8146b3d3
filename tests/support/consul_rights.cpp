#include "tests/support/consul_rights.hpp"

#include <nlohmann/json.hpp>

#include <stdexcept>

namespace pgpulse::support {
namespace {

using nlohmann::json;

constexpr const char* kMaster = "5ec2e7ab-0000-4000-8000-000000000001";

json put(const ConsulAgent& consul, const std::string& path, const json& body) {
    const auto answer = consul.put(path, body.dump());
    if (answer.status != 200) {
        throw std::runtime_error(path + ": " + std::to_string(answer.status) + " " + answer.body);
    }
    return json::parse(answer.body);
}

}  // namespace

ConsulAgentOptions denying_by_default() {
    ConsulAgentOptions options;
    options.token = kMaster;
    options.extra_config = json{{"acl",
                                 {{"enabled", true},
                                  {"default_policy", "deny"},
                                  {"tokens", {{"master", kMaster}, {"agent", kMaster}}}}}}
                               .dump();
    return options;
}

ConsulToken::ConsulToken(const ConsulAgent& consul, const std::string& rules) : consul_(consul) {
    static int number = 0;
    name_ = "policy-" + std::to_string(++number);
    policy_ = put(consul_, "/v1/acl/policy", {{"Name", name_}, {"Rules", rules}}).at("ID");
    secret_ = put(consul_, "/v1/acl/token", {{"Policies", json::array({{{"ID", policy_}}})}}).at("SecretID");
}

void ConsulToken::allow(const std::string& rules) {
    put(consul_, "/v1/acl/policy/" + policy_, {{"ID", policy_}, {"Name", name_}, {"Rules", rules}});
}

}  // namespace pgpulse::support

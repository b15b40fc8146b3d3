#include "tests/support/folders.hpp"
#include "tests/support/source_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

// Which file may use what (docs/architecture.md).
namespace pgpulse {
namespace {

using support::SourceFile;

/// The pure files: folders end with '/', files stand without their extension.
// clang-format off
const std::vector<std::string> kPure{
    "common/cluster/",
    "common/contract/",
    "common/nats/bucket_continuity",
    "common/nats/message_id",
    "common/nats/missing_right",
    "common/runtime/service_report",
    "aggregator/claims",
    "aggregator/damage",
    "aggregator/alike_texts",
    "aggregator/definition_keeper",
    "aggregator/hearing",
    "aggregator/history_copy",
    "aggregator/history_pace",
    "aggregator/maintenance",
    "aggregator/mass_lines",
    "aggregator/partitions",
    "aggregator/patience",
    "aggregator/rules",
    "aggregator/server_clock",
    "aggregator/server_facts",
    "aggregator/tally",
    "aggregator/voters",
    "aggregator/workers",
    "consul-bridge/base64",
    "consul-bridge/contact",
    "consul-bridge/denials",
    "consul-bridge/desired",
    "consul-bridge/difference",
    "consul-bridge/documents",
    "consul-bridge/drift_alarm",
    "consul-bridge/entry",
    "consul-bridge/http_status",
    "consul-bridge/mirror",
    "consul-bridge/missing_right",
    "consul-bridge/mirror_members",
    "consul-bridge/mirror_reads",
    "consul-bridge/operation",
    "consul-bridge/pipeline_health",
    "consul-bridge/self_service",
    "consul-bridge/root_value",
    "consul-bridge/snapshot",
    "consul-bridge/standing_aside",
    "consul-bridge/transaction",
    "consul-bridge/webhook/answer",
    "consul-bridge/webhook/cursor",
    "consul-bridge/webhook/event",
    "consul-bridge/webhook/queue",
    "consul-bridge/webhook/url",
    "ctl/definition_plan",
    "ctl/diagnosis",
    "ctl/explanation",
    "ctl/state_filter",
    "ctl/replica_copy",
    "probe/address_order",
    "probe/assignment",
    "probe/doubt",
    "probe/open_files",
    "probe/opinion",
    "probe/paced_lines",
    "probe/ping_result",
    "probe/schedule",
    "probe/session_plan",
    "probe/target_set",
    "probe/verdict",
    "probe/worker",
};
// clang-format on

/// What `pgpulse` shows by the daemons' own word: how they ping, rank, decide and tell Consul. No daemon includes another.
const std::vector<std::string> kShownByCtl{"aggregator/partitions", "aggregator/patience", "aggregator/rules",
                                           "consul-bridge/desired", "probe/ping"};

const std::vector<std::string> kPrograms{"aggregator/", "consul-bridge/", "ctl/", "probe/"};

/// Each costs seconds of compile time in every file that sees it.
const std::vector<std::string> kTooHeavyForHeaders{"CLI/CLI.hpp",     "asio.hpp",  "nlohmann/json.hpp",
                                                   "spdlog/spdlog.h", "httplib.h", "regex"};

const std::filesystem::path& root() {
    static const std::filesystem::path path = support::source_folder();
    return path;
}

const std::vector<SourceFile>& sources() {
    static const std::vector<SourceFile> files = support::read_sources(
        root(), {"aggregator", "bench", "common", "consul-bridge", "ctl", "probe", "tests"});
    return files;
}

/// The names that each file includes, by the file's path.
const std::map<std::string, std::set<std::string>>& included_names() {
    static const auto names = [] {
        std::map<std::string, std::set<std::string>> by_path;
        for (const SourceFile& file : sources()) {
            std::set<std::string>& of_file = by_path[file.path];
            for (const auto& include : support::includes_of(file.text)) of_file.insert(include.name);
        }
        return by_path;
    }();
    return names;
}

std::string program_of(std::string_view path) {
    for (const std::string& program : kPrograms) {
        if (path.starts_with(program)) return program;
    }
    return {};
}

/// Includes of another program's folder, and of any program's from common/.
std::vector<std::string> trespasses(const SourceFile& file) {
    std::vector<std::string> faults;
    const std::string own = program_of(file.path);
    if (own.empty() && !file.path.starts_with("common/")) return faults;
    for (const auto& include : support::includes_of(file.text)) {
        const std::string theirs = program_of(include.name);
        const bool shown = own == "ctl/" && support::is_listed(include.name, kShownByCtl);
        if (!theirs.empty() && theirs != own && !shown)
            faults.push_back(file.path + ": includes " + include.name);
    }
    return faults;
}

std::string lines(const std::vector<std::string>& faults) {
    std::string text;
    for (const std::string& fault : faults) text += "\n  " + fault;
    return text;
}

TEST(Layering, ThePureFilesExist) {
    for (const std::string& entry : kPure) {
        EXPECT_TRUE(std::ranges::any_of(sources(), [&](const SourceFile& file) {
            return support::is_listed(file.path, {entry});
        })) << entry;
    }
}

TEST(Layering, PureFilesDoNoIoAndReadNoClock) {
    std::vector<std::string> faults;
    for (const SourceFile& file : sources()) {
        if (!support::is_listed(file.path, kPure)) continue;
        std::ranges::copy(support::impurities(file, kPure), std::back_inserter(faults));
    }
    EXPECT_TRUE(faults.empty()) << lines(faults);
}

TEST(Layering, NoProgramIncludesAnotherAndCommonIncludesNone) {
    std::vector<std::string> faults;
    for (const SourceFile& file : sources()) std::ranges::copy(trespasses(file), std::back_inserter(faults));
    EXPECT_TRUE(faults.empty()) << lines(faults);
}

TEST(Layering, EveryQuotedIncludeStartsAtTheRoot) {
    std::vector<std::string> faults;
    for (const SourceFile& file : sources()) {
        for (const auto& include : support::includes_of(file.text)) {
            const bool upwards = include.name.find("..") != std::string::npos;
            if (include.quoted && (upwards || !std::filesystem::exists(root() / include.name))) {
                faults.push_back(file.path + ": includes \"" + include.name + "\"");
            }
        }
    }
    EXPECT_TRUE(faults.empty()) << lines(faults);
}

TEST(Layering, HeadersGuardThemselvesAndStayLight) {
    std::vector<std::string> faults;
    for (const SourceFile& file : sources()) {
        if (!file.path.ends_with(".hpp")) continue;
        if (!file.text.starts_with("#pragma once\n")) faults.push_back(file.path + ": no #pragma once");
        for (const auto& include : support::includes_of(file.text)) {
            if (std::ranges::find(kTooHeavyForHeaders, include.name) != kTooHeavyForHeaders.end()) {
                faults.push_back(file.path + ": includes <" + include.name + ">");
            }
        }
    }
    EXPECT_TRUE(faults.empty()) << lines(faults);
}

/// The programs that include this header of common/, directly or through other parts of common/.
std::set<std::string> users_of(const std::string& header) {
    std::vector<std::string> wanted{header};
    std::set<std::string> users;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        for (const auto& [path, names] : included_names()) {
            if (!names.contains(wanted[i])) continue;
            if (const std::string program = program_of(path); !program.empty()) users.insert(program);
            if (!path.starts_with("common/")) continue;
            // Whoever uses a part of common/ uses what that part is made of.
            const std::string part = path.substr(0, path.rfind('.')) + ".hpp";
            if (std::ranges::find(wanted, part) == wanted.end()) wanted.push_back(part);
        }
    }
    return users;
}

TEST(Layering, CommonHoldsWhatTwoProgramsUse) {
    for (const SourceFile& file : sources()) {
        if (!file.path.starts_with("common/") || !file.path.ends_with(".hpp")) continue;
        const std::set<std::string> users = users_of(file.path);
        EXPECT_GE(users.size(), 2U) << file.path << " is used by "
                                    << (users.empty() ? "no program" : *users.begin() + " alone");
    }
}

/// Calls of nats.c that make a consumer and its subscription at once. Where the server does not answer in time they free
/// the subscription, while the connection's thread may be reading the first of its messages (nats.c #637): StreamReader
/// is there for that.
std::vector<std::string> unsafe_consumers(const SourceFile& file) {
    std::vector<std::string> faults;
    if (program_of(file.path).empty() && !file.path.starts_with("common/")) return faults;
    const std::string code = support::without_comments_and_strings(file.text);
    for (const std::string call : {"js_Subscribe", "js_PullSubscribe", "kvStore_Watch", "kvStore_Keys",
                                   "kvStore_History", "kvStore_PurgeDeletes"}) {
        if (code.find(call) != std::string::npos) faults.push_back(file.path + ": calls " + call);
    }
    return faults;
}

TEST(Layering, NoProgramHasNatsCMakeAConsumer) {
    std::vector<std::string> faults;
    for (const SourceFile& file : sources())
        std::ranges::copy(unsafe_consumers(file), std::back_inserter(faults));
    EXPECT_TRUE(faults.empty()) << lines(faults);
}

// The checks themselves: each must find what it is there for.

std::size_t faults_in(const std::string& text) {
    return support::impurities({"probe/opinion.cpp", text}, kPure).size();
}

TEST(LayeringChecks, FindImpureIncludes) {
    for (const char* header :
         {"nats/nats.h", "nats.h", "libpq-fe.h", "curl/curl.h", "asio.hpp", "asio/io_context.hpp",
          "spdlog/spdlog.h", "thread", "mutex", "fstream", "random", "unistd.h", "sys/socket.h"}) {
        EXPECT_EQ(faults_in(std::string{"#include <"} + header + ">\n"), 1U) << header;
    }
    for (const char* header :
         {"common/nats/connection.hpp", "common/runtime/clock.hpp", "probe/pinger.hpp"}) {
        EXPECT_EQ(faults_in(std::string{"#include \""} + header + "\"\n"), 1U) << header;
    }
    EXPECT_EQ(faults_in("  #  include   <thread>\n"), 1U);
    EXPECT_EQ(
        faults_in(
            "#include \"common/contract/ping.hpp\"\n#include \"probe/opinion.hpp\"\n#include <vector>\n"),
        0U);
    EXPECT_EQ(faults_in("#include \"probe/opinion_io.hpp\"\n"), 1U);
}

TEST(LayeringChecks, FindCallsThatReadAClock) {
    for (const char* line :
         {"auto t = std::chrono::steady_clock::now();", "x = Clock::now ();", "time(nullptr);",
          "return std::time(0);", "auto t = ::time(&x);", "clock();", "gettimeofday(&tv, nullptr);",
          "clock_gettime(CLOCK_MONOTONIC, &ts);", "std::random_device random;", "std::mt19937 engine;",
          "int x = rand();", "std::getenv(\"HOME\");", "std::this_thread::sleep_for(1s);",
          "std::cout << x;"}) {
        EXPECT_EQ(faults_in(std::string{line} + "\n"), 1U) << line;
    }
}

TEST(LayeringChecks, LetPureCodePass) {
    for (const char* line :
         {"hearing_.now()", "const Time now = clock.now();", "void step(Mono now);", "hear_time(now);",
          "std::chrono::steady_clock::time_point at;", "// std::chrono::steady_clock::now()",
          "/* time(nullptr) */ int x;", "text = \"steady_clock::now()\";", "worker.time(3);",
          "char c = '\"'; int y;", "std::int64_t day = 86'400'000;", "R\"(time(nullptr))\"", "brand(x);",
          "uptime(0);"}) {
        EXPECT_EQ(faults_in(std::string{line} + "\n"), 0U) << line;
    }
    EXPECT_EQ(faults_in("/* many\n lines time(nullptr)\n*/\nint x = time(nullptr);\n"), 1U);
    EXPECT_EQ(faults_in("const char* s = \"\\\"\"; auto t = Clock::now();\n"), 1U);
    EXPECT_EQ(faults_in("int n = 1'000; auto t = Clock::now();\n"), 1U);
}

TEST(LayeringChecks, FindTrespasses) {
    EXPECT_EQ(trespasses({"probe/a.cpp", "#include \"aggregator/tally.hpp\"\n"}).size(), 1U);
    EXPECT_EQ(trespasses({"common/nats/a.cpp", "#include \"probe/worker.hpp\"\n"}).size(), 1U);
    EXPECT_EQ(trespasses({"ctl/a.cpp", "#include \"consul-bridge/mirror.hpp\"\n"}).size(), 1U);
    EXPECT_EQ(
        trespasses({"probe/a.cpp", "#include \"probe/b.hpp\"\n#include \"common/nats/error.hpp\"\n"}).size(),
        0U);
    EXPECT_EQ(trespasses({"tests/a.cpp", "#include \"probe/b.hpp\"\n"}).size(), 0U);
}

TEST(LayeringChecks, FindConsumersThatNatsCMakes) {
    EXPECT_EQ(unsafe_consumers({"common/nats/a.cpp", "s = js_SubscribeSync(&raw);\n"}).size(), 1U);
    EXPECT_EQ(unsafe_consumers({"ctl/a.cpp", "kvStore_WatchAll(&watcher, bucket, nullptr);\n"}).size(), 1U);
    EXPECT_EQ(unsafe_consumers({"ctl/a.cpp", "// not js_SubscribeSync\n"}).size(), 0U);
    EXPECT_EQ(unsafe_consumers({"bench/a.cpp", "js_SubscribeSync(&raw);\n"}).size(), 0U);
}

}  // namespace
}  // namespace pgpulse

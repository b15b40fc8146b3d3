#include "tests/support/consul_watch.hpp"

#include "tests/support/consul_agent.hpp"

#include <fstream>

namespace pgpulse::support {
namespace {

std::vector<std::string> command(const TempDir& folder, const std::string& http_url,
                                 const std::vector<std::string>& arguments) {
    const auto handler = (folder / "handler.sh").string();
    std::ofstream{handler} << "body=$(cat)\n"
                              "printf '%s %s\\n' \"$(date +%s%N)\" \"$body\" >> "
                           << folder / "entries" << '\n';
    std::vector<std::string> argv{consul_program(), "watch", "-http-addr=" + http_url};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.push_back("sh " + handler);
    return argv;
}

}  // namespace

ConsulWatch::ConsulWatch(const std::string& http_url, const std::vector<std::string>& arguments)
    : process_(command(folder_, http_url, arguments)) {}

std::vector<WatchEntry> ConsulWatch::entries() const {
    std::vector<WatchEntry> entries;
    std::ifstream file{folder_ / "entries"};
    // A last line without its line feed is still being written.
    for (std::string line; std::getline(file, line) && !file.eof();) {
        const auto space = line.find(' ');
        entries.push_back({std::chrono::sys_time<std::chrono::nanoseconds>{
                               std::chrono::nanoseconds{std::stoll(line.substr(0, space))}},
                           line.substr(space + 1)});
    }
    return entries;
}

}  // namespace pgpulse::support

#include "probe/options.hpp"

#include "common/runtime/http_endpoint.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace pgpulse::probe {
namespace {

constexpr int kFastPerSecond = 2000;

/// Raises the limit of open files to the hard limit and returns it.
rlim_t raise_open_files() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

}  // namespace

std::variant<Options, int> read_options(int argc, char** argv) {
    Options options;
    int in_flight = 0;
    int fast = kFastPerSecond;
    runtime::CommandLine line{"pgpulse-probe",
                              "Pings Postgres servers as pg_isready does and publishes each result on NATS."};
    runtime::add_common_options(line, options.common);
    line.text("--targets", options.targets_file, "FILE",
              "Bring this file's targets into the bucket health_targets (JSON, comments allowed)");
    line.takes_effect_at_once("targets");
    line.integer("--max-in-flight", in_flight, 0, 1'000'000, "N",
                 "Pings under way at most; 0: half of what the limit of open files allows, up to 16384. Held "
                 "sessions have the rest");
    line.integer("--fast-per-second", fast, 1, 1'000'000, "N",
                 "Pings a second at most that confirm a change at the fast interval");
    std::vector<std::string> references;
    line.list("--reference", references, "HOST:PORT",
              "A place to reach by TCP while the network is well: while none of them answers, silence of the "
              "targets is "
              "taken for this worker's own fault");
    bool trusts_itself = false;
    line.hidden_flag("--trust-itself", trusts_itself);
    if (const auto code = line.parse(argc, argv)) return *code;
    if (trusts_itself) options.self_doubt = SelfDoubt::off;
    for (const std::string& text : references) {
        const auto where = runtime::parse_host_port(text);
        // An address to listen at may leave the host out: 0.0.0.0, which would be this machine.
        const bool no_host = text.starts_with(':') || text.starts_with("[]:");
        if (!where || no_host || where->port == 0) {
            return line.fault("--reference: expected HOST:PORT with a port from 1 to 65535, found '" + text +
                              "'");
        }
        options.references.push_back({where->host, static_cast<std::uint16_t>(where->port)});
    }
    const std::size_t limit = raise_open_files();
    const auto files = share_out(limit, static_cast<std::size_t>(in_flight));
    if (!files) {
        return line.fault("--max-in-flight: expected at most " + std::to_string(files_to_share(limit)) +
                          ", because this process may open " + std::to_string(limit) + " files; found '" +
                          std::to_string(in_flight) + "'");
    }
    if (const auto code = runtime::finish_common_options(line, options.common, "pgpulse-probe")) return *code;
    options.files = *files;
    options.limits.in_flight = static_cast<std::uint32_t>(files->pings);
    options.limits.fast_in_flight = std::max(1U, options.limits.in_flight / 4);
    options.limits.fast_per_second = static_cast<std::uint32_t>(fast);
    return options;
}

}  // namespace pgpulse::probe

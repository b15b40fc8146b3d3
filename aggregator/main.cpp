#include "aggregator/aggregator.hpp"

int main(int argc, char** argv) {
    pgpulse::aggregator::Options options;
    pgpulse::runtime::CommandLine line{"pgpulse-aggregator",
                                       "Folds the pings of all probe workers into one state a target and "
                                       "writes every transition into the JetStream "
                                       "bucket `health`."};
    pgpulse::runtime::add_common_options(line, options.common);
    line.integer("--history-days", options.history_days, 1, 3650, "N",
                 "How long the stream HEALTH_TRANSITIONS keeps a transition where this program creates it");
    if (const auto code = line.parse(argc, argv)) return *code;
    if (const auto code = finish_common_options(line, options.common, "pgpulse-aggregator")) return *code;
    return pgpulse::aggregator::run(options);
}

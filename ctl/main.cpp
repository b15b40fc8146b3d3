#include "common/runtime/logging.hpp"
#include "ctl/definitions.hpp"
#include "ctl/doctor.hpp"
#include "ctl/explain.hpp"
#include "ctl/history.hpp"
#include "ctl/members.hpp"
#include "ctl/one_ping.hpp"
#include "ctl/options.hpp"
#include "ctl/replicate.hpp"
#include "ctl/status.hpp"
#include "ctl/target_names.hpp"
#include "ctl/watch.hpp"

int main(int argc, char** argv) {
    using namespace pgpulse;
    const auto options = ctl::read_options(argc, argv);
    if (!options) return options.error();
    // Standard output belongs to the answer; standard error to what an operator must know.
    runtime::set_up_logging("pgpulse", options->command == ctl::Command::replicate ? "info" : "warn", "text");
    switch (options->command) {
        case ctl::Command::status:
            return ctl::run_status(*options);
        case ctl::Command::watch:
            return ctl::run_watch(*options);
        case ctl::Command::members:
            return ctl::run_members(*options);
        case ctl::Command::apply:
            return ctl::run_apply(*options);
        case ctl::Command::get:
            return ctl::run_get(*options);
        case ctl::Command::remove:
            return ctl::run_delete(*options);
        case ctl::Command::validate:
            return ctl::run_validate(*options);
        case ctl::Command::maintenance:
            return ctl::run_maintenance(*options);
        case ctl::Command::history:
            return ctl::run_history(*options);
        case ctl::Command::explain:
            return ctl::run_explain(*options);
        case ctl::Command::check:
            return ctl::run_check(*options);
        case ctl::Command::ping:
            return ctl::run_ping(*options);
        case ctl::Command::doctor:
            return ctl::run_doctor(*options);
        case ctl::Command::replicate:
            return ctl::run_replicate(*options);
        case ctl::Command::complete:
            return ctl::run_complete(*options);
    }
}

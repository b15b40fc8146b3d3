#pragma once

// What `pgpulse COMMAND --help` says below the options; its man pages say the same.
namespace pgpulse::ctl {

inline constexpr const char* kStatusHelp =
    "Columns: OBSERVERS is how many of the voters held this opinion when it was decided, RTT the median that "
    "they "
    "measured\n"
    "then; SINCE and all times are UTC.\n"
    "Exit code: 0 all that is shown is up, 1 some is not, or no aggregator serves; 2 wrong usage, 3 NATS or "
    "the "
    "bucket\n"
    "cannot be reached.\n"
    "Examples:\n"
    "  pgpulse status\n"
    "  pgpulse status --json db1 | jq .state.reason\n"
    "  pgpulse status --state down --state unknown --service orders\n"
    "  pgpulse status orders-db > /dev/null || echo 'orders-db is not up'";

inline constexpr const char* kWatchHelp =
    "On a terminal the table of all targets as it changes, those that are not up first; q ends it, the "
    "arrows and "
    "the\n"
    "page keys scroll. Into a pipe, or with --lines or --json, a line for each transition, until SIGINT or "
    "SIGTERM; "
    "what\n"
    "happens while NATS cannot be reached is not shown there.\n"
    "Examples:\n"
    "  pgpulse watch\n"
    "  pgpulse watch --json | jq -c '[.subject, .state.state, .state.reason]'";

inline constexpr const char* kMembersHelp =
    "TARGETS is how many targets a probe worker observes. A program that was killed is shown for two seconds "
    "more.\n"
    "Exit code: 0 printed, 2 wrong usage, 3 NATS or a bucket cannot be reached.\n"
    "Examples:\n"
    "  pgpulse members\n"
    "  pgpulse members --json | jq -r 'select(.kind == \"probe\").id'";

inline constexpr const char* kApplyHelp =
    "Each change is a line: '+' created, '~' changed, '-' removed. What an operator applied no --targets "
    "file of a\n"
    "probe overrules. Every file is read before anything is written. A maintenance that a file says nothing "
    "of "
    "goes on.\n"
    "Exit code: 0 done, 2 wrong usage or file, 3 NATS or the bucket cannot be reached, or something was not "
    "written.\n"
    "Examples:\n"
    "  pgpulse apply -f targets.json --dry-run\n"
    "  pgpulse apply -f eu.json -f us.json --prune\n"
    "  make-targets | pgpulse apply -f -";

inline constexpr const char* kGetHelp =
    "Without --json it is a targets file, which `pgpulse apply` takes.\n"
    "Exit code: 0 printed, 1 a target has no definition, 2 wrong usage, 3 NATS or the bucket cannot be "
    "reached.\n"
    "Examples:\n"
    "  pgpulse get > targets.json\n"
    "  pgpulse get orders-db --json | jq .address";

inline constexpr const char* kDeleteHelp =
    "The targets' states and what Consul has of them go with them. All of them or none.\n"
    "Exit code: 0 done, 1 a target has no definition, 2 wrong usage, 3 NATS or the bucket cannot be "
    "reached.\n"
    "Examples:\n"
    "  pgpulse delete orders-db";

inline constexpr const char* kValidateHelp =
    "Needs no NATS.\n"
    "Exit code: 0 all are good, 2 otherwise.\n"
    "Examples:\n"
    "  pgpulse validate targets.json";

inline constexpr const char* kMaintenanceHelp =
    "A target under maintenance is pinged and told of as before; its state says so, and Consul keeps it out "
    "of DNS.\n"
    "It ends by itself.\n"
    "Exit code: 0 done, 1 a target has no definition, 2 wrong usage, 3 NATS or the bucket "
    "cannot be\n"
    "reached.\n"
    "Examples:\n"
    "  pgpulse maintenance on orders-db --for 2h --reason 'kernel update'\n"
    "  pgpulse maintenance on orders-db --until 2026-01-02T06:00:00Z\n"
    "  pgpulse maintenance off orders-db";

inline constexpr const char* kHistoryHelp =
    "From the stream HEALTH_TRANSITIONS, which keeps every transition for 90 days (the aggregators' "
    "--history-days).\n"
    "The last line counts the time in which the target was observed.\n"
    "Exit code: 0 printed, 1 the target has no history, 2 wrong usage, 3 NATS or the stream cannot be "
    "reached.\n"
    "Examples:\n"
    "  pgpulse history orders-db --since 7d\n"
    "  pgpulse history orders-db --json | jq -c '[.stored_at, .state.state, .state.reason]'";

inline constexpr const char* kExplainHelp =
    "Calls the target's observers and shows what each finds, the rule that decides on it, and what would "
    "change "
    "the state.\n"
    "Exit code: 0 printed, 1 the target has no definition, 2 wrong usage, 3 NATS or a bucket cannot be "
    "reached.\n"
    "Examples:\n"
    "  pgpulse explain orders-db\n"
    "  pgpulse explain orders-db --json | jq .rule";

inline constexpr const char* kCheckHelp =
    "Its observers ping it at once, by connections of their own; --timeout is for their answers too.\n"
    "Exit code: 0 all found it accepting, 1 some did not or there are none, 2 wrong usage, 3 NATS or a "
    "bucket "
    "cannot be\n"
    "reached.\n"
    "Examples:\n"
    "  pgpulse check orders-db\n"
    "  pgpulse check orders-db --json | jq -r '.[] | [.worker, .ping.reason] | @tsv'";

inline constexpr const char* kPingHelp =
    "Needs no NATS and no password. CONNINFO is libpq's connection string; what it does not say comes from "
    "PGHOST, "
    "PGPORT\n"
    "and the others, as for pg_isready.\n"
    "Exit code, as pg_isready's: 0 accepting, 1 rejecting, 2 no response, 3 no attempt was made or wrong "
    "usage.\n"
    "Examples:\n"
    "  pgpulse ping 'host=10.0.0.5 port=5432 sslmode=require'\n"
    "  pgpulse ping postgresql://db.example.com/orders --json";

inline constexpr const char* kDoctorHelp =
    "Looks at NATS, JetStream, the buckets, the members, their pings and clocks, for three seconds, and says "
    "what to "
    "do.\n"
    "Exit code: 0 nothing is broken, 1 something is, 2 wrong usage, 3 NATS cannot be reached.\n"
    "Examples:\n"
    "  pgpulse doctor\n"
    "  pgpulse doctor --json | jq 'select(.grade != \"ok\")'";

inline constexpr const char* kReplicateHelp =
    "Runs until SIGINT or SIGTERM. --nats is the site's own server, a leaf node of the hub's with JetStream "
    "in "
    "a domain of\n"
    "its own: applications at the site read the bucket `health` there, also while the link is down. Two at "
    "once are\n"
    "harmless. /metrics: pgpulse_replicate_copied_total, pgpulse_replicate_behind. /readyz: 200 while the "
    "copy "
    "is up to date.\n"
    "Exit code: 0 told to end, 2 wrong usage, 3 the server refuses.\n"
    "Examples:\n"
    "  pgpulse replicate --nats tls://localhost:4222 --from-domain hub --http 127.0.0.1:9190";

inline constexpr const char* kCompletionHelp =
    "It completes commands, options, states and, where NATS answers within a second, the names of targets.\n"
    "Examples:\n"
    "  source <(pgpulse completion bash)\n"
    "  pgpulse completion zsh > \"${fpath[1]}/_pgpulse\"\n"
    "  pgpulse completion fish > ~/.config/fish/completions/pgpulse.fish";

inline constexpr const char* kManHelp =
    "The installed pages are these.\n"
    "Examples:\n"
    "  pgpulse man status | man -l -";

inline constexpr const char* kHelp =
    "Examples:\n"
    "  pgpulse status                               the state of every target\n"
    "  pgpulse watch                                the table as it changes, or a line for each transition\n"
    "  pgpulse members                              which programs run, and who observes how much\n"
    "  pgpulse explain orders-db                    why its state is what it is\n"
    "  pgpulse history orders-db                    how it went\n"
    "  pgpulse doctor                               what is wrong with the pipeline\n"
    "  pgpulse apply -f targets.json                these targets are to be observed\n"
    "  pgpulse maintenance on orders-db --for 1h    it may be away for an hour\n"
    "  NATS_URL=nats://10.0.0.5:4222 pgpulse status --json\n"
    "Environment: NATS_URL, NATS_USER, NATS_PASSWORD, NATS_PASSWORD_FILE, NATS_TOKEN, "
    "NATS_TOKEN_FILE, NATS_CREDS, NATS_NKEY, NATS_CERT, "
    "NATS_KEY, NATS_CA, NATS_INBOX_PREFIX, NO_COLOR.";

}  // namespace pgpulse::ctl

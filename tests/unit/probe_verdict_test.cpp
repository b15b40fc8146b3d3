#include "probe/verdict.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgpulse::probe {
namespace {

using contract::Reason;
using contract::Verdict;

const std::string kAt = R"(connection to server at "127.0.0.1", port 5432 failed: )";

struct VerdictCase {
    std::string name;
    std::string message;
    bool authentication_requested;
    Verdict verdict;
    Reason reason;
    std::string sqlstate;
};

class FailedAttemptIs : public testing::TestWithParam<VerdictCase> {};

TEST_P(FailedAttemptIs, Judged) {
    const VerdictCase& c = GetParam();
    const PingResult result = judge({c.message, c.authentication_requested});
    EXPECT_EQ(result.verdict, c.verdict);
    EXPECT_EQ(result.reason, c.reason) << contract::to_string(result.reason);
    EXPECT_EQ(result.sqlstate_text(), c.sqlstate);
}

INSTANTIATE_TEST_SUITE_P(
    Table, FailedAttemptIs,
    testing::Values(
        VerdictCase{"starting_up", kAt + "FATAL:  57P03: the database system is starting up\n", false,
                    Verdict::rejecting, Reason::starting_up, "57P03"},
        VerdictCase{"shutting_down", kAt + "FATAL:  57P03: the database system is shutting down\n", false,
                    Verdict::rejecting, Reason::shutting_down, "57P03"},
        VerdictCase{"in_recovery_mode", kAt + "FATAL:  57P03: the database system is in recovery mode\n",
                    false, Verdict::rejecting, Reason::in_recovery, "57P03"},
        VerdictCase{"not_yet_consistent",
                    kAt + "FATAL:  57P03: the database system is not yet accepting connections\n"
                          "DETAIL:  Consistent recovery state has not been yet reached.\n",
                    false, Verdict::rejecting, Reason::in_recovery, "57P03"},
        VerdictCase{"hot_standby_off",
                    kAt + "FATAL:  57P03: the database system is not accepting connections\n"
                          "DETAIL:  Hot standby mode is disabled.\n",
                    false, Verdict::rejecting, Reason::in_recovery, "57P03"},
        VerdictCase{"another_language", kAt + "FATAL:  57P03: das Datenbanksystem fährt herunter\n", false,
                    Verdict::rejecting, Reason::not_accepting, "57P03"},
        VerdictCase{"severity_in_another_language",
                    kAt + "SCHWERWIEGEND:  57P03: das Datenbanksystem startet\n", false, Verdict::rejecting,
                    Reason::not_accepting, "57P03"},
        VerdictCase{"too_many_connections", kAt + "FATAL:  53300: sorry, too many clients already\n", false,
                    Verdict::accepting, Reason::too_many_connections, "53300"},
        VerdictCase{"no_such_role", kAt + "FATAL:  28000: role \"nobody\" does not exist\n", false,
                    Verdict::accepting, Reason::ok, "28000"},
        VerdictCase{"no_such_database", kAt + "FATAL:  3D000: database \"none\" does not exist\n", false,
                    Verdict::accepting, Reason::ok, "3D000"},
        VerdictCase{"password_asked", kAt + "fe_sendauth: no password supplied\n", true, Verdict::accepting,
                    Reason::ok, ""},
        VerdictCase{"hung_up_after_authentication_request",
                    kAt + "server closed the connection unexpectedly\n", true, Verdict::accepting, Reason::ok,
                    ""},
        VerdictCase{"refused", kAt + "Connection refused\n\tIs the server running on that host?\n", false,
                    Verdict::no_response, Reason::refused, ""},
        VerdictCase{"reset", kAt + "Connection reset by peer\n", false, Verdict::no_response, Reason::reset,
                    ""},
        VerdictCase{"end_of_file", kAt + "server closed the connection unexpectedly\n", false,
                    Verdict::no_response, Reason::reset, ""},
        VerdictCase{"no_route", kAt + "No route to host\n", false, Verdict::no_response, Reason::unreachable,
                    ""},
        VerdictCase{"network_unreachable", kAt + "Network is unreachable\n", false, Verdict::no_response,
                    Reason::unreachable, ""},
        VerdictCase{"kernel_gave_up", kAt + "Connection timed out\n", false, Verdict::no_response,
                    Reason::timeout, ""},
        VerdictCase{"tls_not_there", kAt + "server does not support SSL, but SSL was required\n", false,
                    Verdict::no_response, Reason::tls, ""},
        VerdictCase{"tls_certificate", kAt + "SSL error: certificate verify failed\n", false,
                    Verdict::no_response, Reason::tls, ""},
        VerdictCase{"not_postgres", kAt + "expected authentication request from server, but received H\n",
                    false, Verdict::no_response, Reason::protocol, ""},
        VerdictCase{"no_sqlstate_in_the_text", kAt + "could not fork new process for connection\n", false,
                    Verdict::no_response, Reason::protocol, ""},
        VerdictCase{
            "last_address_counts",
            kAt + "FATAL:  57P03: the database system is starting up\n" + kAt + "Connection refused\n", false,
            Verdict::no_response, Reason::refused, ""},
        VerdictCase{"last_address_counts_also_when_better",
                    kAt + "Connection refused\n" + kAt + "FATAL:  53300: sorry, too many clients already\n",
                    false, Verdict::accepting, Reason::too_many_connections, "53300"},
        VerdictCase{"code_is_libpqs_not_the_texts",
                    kAt + "FATAL:  28000: the text says:  57P03: the database system is starting up\n", false,
                    Verdict::accepting, Reason::ok, "28000"}),
    [](const testing::TestParamInfo<VerdictCase>& info) { return info.param.name; });

TEST(Attempted, IsFalseOnlyWhereLibpqRefusedItsParameters) {
    EXPECT_FALSE(attempted("invalid sslmode value: \"x\"\n"));
    EXPECT_FALSE(attempted("could not match 2 host names to 1 hostaddr values\n"));
    EXPECT_TRUE(attempted(kAt + "Network is unreachable\n"));
}

TEST(ObserverExhausted, IsAboutThisProcessNotTheServer) {
    EXPECT_TRUE(observer_exhausted(kAt + "could not create socket: Too many open files\n"));
    EXPECT_FALSE(observer_exhausted(kAt + "FATAL:  53300: sorry, too many clients already\n"));
}

TEST(SqlstateOf, NeedsFiveCharactersOfTheRightKind) {
    EXPECT_EQ(sqlstate_of(kAt + "FATAL:  0A000: unsupported\n"), "0A000");
    EXPECT_EQ(sqlstate_of(kAt + "FATAL:  the database system is starting up\n"), "");
    EXPECT_EQ(sqlstate_of(kAt + "FATAL:  57p03: lower case\n"), "");
    EXPECT_EQ(sqlstate_of(kAt + "FATAL:  57P0"), "");
    EXPECT_EQ(sqlstate_of(""), "");
}

}  // namespace
}  // namespace pgpulse::probe

#include "common/nats/message_id.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgpulse::nats {
namespace {

TEST(MessageId, NamesKeyAndExpectedRevision) {
    EXPECT_EQ(message_id("orders-db", 7), "orders-db@7");
    EXPECT_EQ(message_id("a", 18446744073709551615U), "a@18446744073709551615");
}

TEST(MessageId, OfACreateIsNone) { EXPECT_EQ(message_id("orders-db", 0), ""); }

TEST(ConditionalWrite, IsKnownByItsHeaders) {
    struct Case {
        std::string expected;
        std::string id;
        bool conditional;
    };
    for (const Case& c : {
             Case{"0", "", true},
             Case{"7", "db@7", true},
             Case{"", "", false},
             Case{"", "db@7", false},
             Case{"7", "", false},
             Case{"7", "db@8", false},
             Case{"7", "other@7", false},
             Case{"0", "db@0", false},
             Case{"-7", "db@-7", false},
             Case{"7x", "db@7", false},
             Case{"99999999999999999999", "db@99999999999999999999", false},
         }) {
        EXPECT_EQ(is_conditional_write("db", c.expected, c.id), c.conditional)
            << "expected '" << c.expected << "', id '" << c.id << "'";
    }
}

}  // namespace
}  // namespace pgpulse::nats

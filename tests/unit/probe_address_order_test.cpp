#include "probe/address_order.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

namespace pgpulse::probe {
namespace {

using testing::ElementsAre;

class AddressOrderTest : public testing::Test {
  protected:
    AddressOrder order;

    void SetUp() override { EXPECT_TRUE(order.renew({"a", "b", "c"})); }
};

TEST_F(AddressOrderTest, IsThatOfTheNameAtFirst) {
    EXPECT_THAT(order.addresses(), ElementsAre("a", "b", "c"));
}

TEST_F(AddressOrderTest, SilentGoesLast) {
    EXPECT_TRUE(order.silent(order.number()));
    EXPECT_THAT(order.addresses(), ElementsAre("b", "c", "a"));
    EXPECT_TRUE(order.silent(order.number()));
    EXPECT_THAT(order.addresses(), ElementsAre("c", "a", "b"));
}

TEST_F(AddressOrderTest, SilentGoesLastOnceForAllPingsThatBeganSo) {
    const std::uint32_t number = order.number();
    EXPECT_TRUE(order.silent(number));
    EXPECT_FALSE(order.silent(number));
    EXPECT_THAT(order.addresses(), ElementsAre("b", "c", "a"));
}

TEST_F(AddressOrderTest, ALoneOneStays) {
    EXPECT_TRUE(order.renew({"a"}));
    EXPECT_FALSE(order.silent(order.number()));
    EXPECT_THAT(order.addresses(), ElementsAre("a"));
}

TEST_F(AddressOrderTest, FirstStaysFirst) {
    order.silent(order.number());
    const std::uint32_t number = order.number();
    EXPECT_FALSE(order.renew({"c", "a", "b"}));
    EXPECT_EQ(order.number(), number);
    EXPECT_THAT(order.addresses(), ElementsAre("b", "c", "a"));
    EXPECT_TRUE(order.renew({"d", "b"}));
    EXPECT_THAT(order.addresses(), ElementsAre("b", "d"));
}

TEST_F(AddressOrderTest, AFirstThatIsGoneIsGone) {
    EXPECT_TRUE(order.renew({"d", "b"}));
    EXPECT_THAT(order.addresses(), ElementsAre("d", "b"));
}

TEST_F(AddressOrderTest, AnOrderThatIsNoMoreSaysNothing) {
    const std::uint32_t number = order.number();
    order.renew({"d", "e"});
    EXPECT_FALSE(order.silent(number));
    EXPECT_THAT(order.addresses(), ElementsAre("d", "e"));
}

}  // namespace
}  // namespace pgpulse::probe

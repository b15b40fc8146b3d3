#include "ctl/state_filter.hpp"

#include <gtest/gtest.h>

namespace pgpulse::ctl {
namespace {

TEST(StateFilter, TakesWhatMeetsEachCondition) {
    contract::State state;
    state.target = "db1";
    state.state = contract::Health::down;
    contract::TargetDefinition definition;
    definition.service = "orders";
    definition.tags = {"eu", "blue"};
    const auto takes = [&](const StateFilter& filter) { return filter.takes(state, &definition); };
    EXPECT_TRUE(takes({}));
    EXPECT_TRUE(takes({{"db1", "db2"}, {}, {}, {}}));
    EXPECT_FALSE(takes({{"db2"}, {}, {}, {}}));
    EXPECT_TRUE(takes({{}, {contract::Health::down, contract::Health::unknown}, {}, {}}));
    EXPECT_FALSE(takes({{}, {contract::Health::up}, {}, {}}));
    EXPECT_TRUE(takes({{}, {}, {"billing", "orders"}, {}}));
    EXPECT_FALSE(takes({{}, {}, {"billing"}, {}}));
    EXPECT_TRUE(takes({{}, {}, {}, {"blue", "eu"}}));
    EXPECT_FALSE(takes({{}, {}, {}, {"blue", "us"}}));
    EXPECT_FALSE((StateFilter{{}, {}, {"orders"}, {}}).takes(state, nullptr)) << "no definition, no service";
    EXPECT_TRUE((StateFilter{}).takes(state, nullptr));
}

}  // namespace
}  // namespace pgpulse::ctl

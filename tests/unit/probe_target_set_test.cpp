#include "probe/target_set.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

// The rules of probe/target_set.hpp under their names.
namespace pgpulse::probe {
namespace {

using contract::StoredDefinition;
using contract::TargetDefinition;
using contract::WrittenBy;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Written = TargetSet::Written;

TargetDefinition listed_definition(const std::string& name, std::uint16_t port = 5432) {
    TargetDefinition target;
    target.name = name;
    target.address = "10.0.0.1";
    target.service = name;
    target.port = port;
    return target;
}

std::string by_file(const TargetDefinition& target) {
    return encode(StoredDefinition{target, WrittenBy::file});
}
std::string by_operator(const TargetDefinition& target) {
    return encode(StoredDefinition{target, WrittenBy::operator_});
}

/// A set that has read a bucket with no key.
TargetSet loaded_set() {
    TargetSet set;
    set.opened();
    set.loaded();
    return set;
}

const TargetDefinition& put_in(const std::optional<TargetChange>& change) {
    return std::get<TargetPut>(change.value()).definition;
}

TEST(TargetSetRule, ValueSets) {
    TargetSet set = loaded_set();
    EXPECT_EQ(put_in(set.value("db1", by_operator(listed_definition("db1")), 1)), listed_definition("db1"));
    EXPECT_EQ(put_in(set.value("db1", by_operator(listed_definition("db1", 6000)), 2)).port, 6000);
    EXPECT_EQ(set.value("db1", by_operator(listed_definition("db1", 6000)), 3), std::nullopt)
        << "nothing new";
}

TEST(TargetSetRule, InvalidKeptOut) {
    TargetSet set = loaded_set();
    (void)set.value("db1", by_operator(listed_definition("db1")), 1);
    const auto refused = set.value("db1", R"({"name":"db1","address":"a","port":0})", 2);
    EXPECT_THAT(std::get<DefinitionRefused>(refused.value()).fault, HasSubstr("db1.port: expected"));
    const auto elsewhere = set.value("db2", "no json", 3);
    EXPECT_THAT(std::get<DefinitionRefused>(elsewhere.value()).fault, HasSubstr("db2: not a JSON object"));
    const auto key = set.value("DB.3", by_operator(listed_definition("db3")), 4);
    EXPECT_THAT(std::get<DefinitionRefused>(key.value()).fault, HasSubstr("DB.3: expected a DNS label"));
    EXPECT_EQ(set.value("db1", by_operator(listed_definition("db1")), 5), std::nullopt)
        << "the last good one was in force all the time";
}

TEST(TargetSetRule, MarkerRemoves) {
    TargetSet set = loaded_set();
    (void)set.value("db1", by_operator(listed_definition("db1")), 1);
    EXPECT_EQ(std::get<TargetRemoved>(set.removed("db1", 2).value()).name, "db1");
    EXPECT_EQ(set.removed("db1", 2), std::nullopt);
    EXPECT_EQ(put_in(set.value("db1", by_operator(listed_definition("db1")), 3)), listed_definition("db1"));
}

TEST(TargetSetRule, AbsenceKeeps) {
    TargetSet set = loaded_set();
    (void)set.value("db1", by_operator(listed_definition("db1")), 1);
    set.opened();
    set.loaded();
    EXPECT_EQ(set.value("db1", by_operator(listed_definition("db1")), 1), std::nullopt)
        << "it was never gone";
}

TEST(TargetSetRule, AbsentCreated) {
    TargetSet set;
    set.set_file({listed_definition("db1")});
    EXPECT_THAT(set.take_writes(), IsEmpty()) << "the bucket is not read yet";
    set.opened();
    EXPECT_THAT(set.take_writes(), IsEmpty());
    set.loaded();
    EXPECT_FALSE(set.file_done());
    const auto writes = set.take_writes();
    ASSERT_THAT(writes, SizeIs(1));
    EXPECT_EQ(writes[0].key, "db1");
    EXPECT_EQ(writes[0].expected, 0U);
    EXPECT_EQ(contract::decode_definition("db1", writes[0].value),
              (StoredDefinition{listed_definition("db1"), WrittenBy::file}));
    EXPECT_THAT(set.take_writes(), IsEmpty()) << "it is under way";
    set.written("db1", 0, Written::stored);
    EXPECT_TRUE(set.file_done());
    EXPECT_EQ(set.tally().created, 1U);
}

TEST(TargetSetRule, OwnUpdated) {
    TargetSet set = loaded_set();
    (void)set.value("db1", by_file(listed_definition("db1", 6000)), 7);
    set.set_file({listed_definition("db1")});
    const auto writes = set.take_writes();
    ASSERT_THAT(writes, SizeIs(1));
    EXPECT_EQ(writes[0].expected, 7U);
    set.written("db1", 7, Written::stored);
    EXPECT_EQ(set.tally().updated, 1U);
    (void)set.value("db1", by_file(listed_definition("db1")), 8);
    EXPECT_THAT(set.take_writes(), IsEmpty());
}

TEST(TargetSetRule, UnchangedUntouched) {
    TargetSet set = loaded_set();
    (void)set.value("db1", by_file(listed_definition("db1")), 7);
    set.set_file({listed_definition("db1")});
    EXPECT_THAT(set.take_writes(), IsEmpty());
    EXPECT_TRUE(set.file_done());
    EXPECT_EQ(set.tally().unchanged, 1U);
}

TEST(TargetSetRule, OperatorStands) {
    TargetSet set = loaded_set();
    (void)set.value("applied", by_operator(listed_definition("applied", 6000)), 1);
    (void)set.value("put-by-hand", R"({"name":"put-by-hand","address":"a"})", 2);
    (void)set.value("removed", by_file(listed_definition("removed")), 3);
    (void)set.removed("removed", 4);
    (void)set.value("invalid", "{}", 5);
    set.set_file({listed_definition("applied"), listed_definition("put-by-hand"),
                  listed_definition("removed"), listed_definition("invalid")});
    EXPECT_THAT(set.take_writes(), IsEmpty());
    EXPECT_TRUE(set.file_done());
    EXPECT_EQ(set.tally().left_to_operator, 4U);
}

TEST(TargetSetRule, OperatorStandsWhenTheBucketWasLost) {
    TargetSet set = loaded_set();
    set.set_file({listed_definition("db1")});
    (void)set.take_writes();
    (void)set.value("db1", by_operator(listed_definition("db1", 6000)), 1);
    set.written("db1", 0, Written::overtaken);
    (void)set.take_writes();
    set.opened();
    set.loaded();
    EXPECT_THAT(set.take_writes(), IsEmpty());
}

TEST(TargetSetRule, NeverRemoves) {
    TargetSet set = loaded_set();
    (void)set.value("other", by_file(listed_definition("other")), 1);
    set.set_file({});
    EXPECT_THAT(set.take_writes(), IsEmpty());
    EXPECT_EQ(set.value("other", by_file(listed_definition("other")), 1), std::nullopt);
}

TEST(TargetSetRule, WipedPutBack) {
    TargetSet set = loaded_set();
    set.set_file({listed_definition("db1")});
    ASSERT_THAT(set.take_writes(), SizeIs(1));
    set.written("db1", 0, Written::stored);
    (void)set.value("db1", by_file(listed_definition("db1")), 1);
    set.opened();
    set.loaded();
    const auto writes = set.take_writes();
    ASSERT_THAT(writes, SizeIs(1));
    EXPECT_EQ(writes[0].expected, 0U);
}

TEST(TargetSetRule, TheSameBucketReadAnewWritesNothing) {
    TargetSet set = loaded_set();
    set.set_file({listed_definition("db1")});
    (void)set.take_writes();
    set.written("db1", 0, Written::stored);
    (void)set.value("db1", by_file(listed_definition("db1")), 1);
    set.opened();
    (void)set.value("db1", by_file(listed_definition("db1")), 1);
    set.loaded();
    EXPECT_THAT(set.take_writes(), IsEmpty());
}

TEST(TargetSetDefinition, IsTheOneInForce) {
    TargetSet set = loaded_set();
    EXPECT_EQ(set.definition("db1"), nullptr);
    (void)set.value("db1", by_operator(listed_definition("db1", 6000)), 1);
    ASSERT_NE(set.definition("db1"), nullptr);
    EXPECT_EQ(*set.definition("db1"), listed_definition("db1", 6000));
    (void)set.value("db1", "no json", 2);
    ASSERT_NE(set.definition("db1"), nullptr) << "an invalid value leaves the last good one in force";
    EXPECT_EQ(set.definition("db1")->port, 6000);
    set.opened();
    set.loaded();
    EXPECT_NE(set.definition("db1"), nullptr) << "absence keeps";
    (void)set.removed("db1", 3);
    EXPECT_EQ(set.definition("db1"), nullptr);
}

TEST(TargetSetDefinition, IsNoneOfATargetThatWasOnlyEverInvalidOrIsOnlyInTheFile) {
    TargetSet set = loaded_set();
    (void)set.value("db1", "{}", 1);
    set.set_file({listed_definition("db2")});
    (void)set.take_writes();
    EXPECT_EQ(set.definition("db1"), nullptr);
    EXPECT_EQ(set.definition("db2"), nullptr) << "the bucket says which targets there are";
}

TEST(TargetSetWrite, OvertakenWaitsForTheWatchAndIsJudgedAgain) {
    TargetSet set = loaded_set();
    set.set_file({listed_definition("db1")});
    ASSERT_THAT(set.take_writes(), SizeIs(1));
    set.written("db1", 0, Written::overtaken);
    EXPECT_THAT(set.take_writes(), IsEmpty()) << "nobody has told what was written";
    (void)set.value("db1", by_file(listed_definition("db1", 6000)), 4);
    const auto writes = set.take_writes();
    ASSERT_THAT(writes, SizeIs(1));
    EXPECT_EQ(writes[0].expected, 4U);
}

TEST(TargetSetWrite, OvertakenAfterTheWatchToldIt) {
    TargetSet set = loaded_set();
    set.set_file({listed_definition("db1")});
    ASSERT_THAT(set.take_writes(), SizeIs(1));
    (void)set.value("db1", by_file(listed_definition("db1")), 4);
    set.written("db1", 0, Written::overtaken);
    EXPECT_THAT(set.take_writes(), IsEmpty());
    EXPECT_TRUE(set.file_done()) << "another probe with the same file was first";
}

TEST(TargetSetWrite, UnknownIsTriedAgain) {
    TargetSet set = loaded_set();
    set.set_file({listed_definition("db1")});
    ASSERT_THAT(set.take_writes(), SizeIs(1));
    set.written("db1", 0, Written::unknown);
    EXPECT_THAT(set.take_writes(), SizeIs(1));
}

TEST(TargetSetWrite, AnOldOutcomeAfterAReloadIsIgnored) {
    TargetSet set = loaded_set();
    (void)set.value("db1", by_file(listed_definition("db1", 6000)), 1);
    set.set_file({listed_definition("db1", 6001)});
    ASSERT_THAT(set.take_writes(), SizeIs(1));
    set.set_file({listed_definition("db1", 6002)});
    set.written("db1", 1, Written::stored);
    EXPECT_FALSE(set.file_done());
}

}  // namespace
}  // namespace pgpulse::probe

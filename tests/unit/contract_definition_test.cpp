#include "common/contract/plain_definition.hpp"
#include "common/contract/target.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <set>
#include <string>

namespace pgpulse::contract {
namespace {

using nlohmann::json;

/// What only the bucket's documents have.
const std::set<std::string> kStoredOnly{"v", "written_by"};

/// A row of the table of keys: `| key | type | default | range | meaning |`.
struct DocumentedKey {
    std::string name;
    std::string type;
    std::string standard;
    std::string range;
};

std::vector<DocumentedKey> documented_keys() {
    std::vector<DocumentedKey> keys;
    for (const auto& row : support::documented_table("Target definition")) {
        keys.push_back({support::without_backquotes(row.at(0)), row.at(1), row.at(2), row.at(3)});
    }
    return keys;
}

json minimal() { return json::parse(support::golden("definition_minimal")); }

/// Every key with a value that is not the default, as an entry of a file.
json full_definition() {
    json object = json::parse(support::golden("definition_full"));
    for (const std::string& key : kStoredOnly) object.erase(key);
    return object;
}

tl::expected<TargetDefinition, std::string> read(const json& object) {
    return read_definition(object, "targets[0]", UnknownKeys::refuse);
}

std::string fault_of(const json& object) {
    const auto definition = read(object);
    if (definition) {
        ADD_FAILURE() << "was not refused: " << object.dump();
        return {};
    }
    EXPECT_EQ(definition.error().find('\n'), std::string::npos);
    return definition.error();
}

TEST(Definition, HasTheDocumentedKeysAndNoOthers) {
    // A field more or less in the struct does not compile here: the document and the golden file want it too.
    [[maybe_unused]] const auto& [name, address, port, service, user, database, mode, sslmode, sslrootcert,
                                  sslcert, sslkey, credentials, interval, timeout, fast_interval, rise, fall,
                                  observers, quorum, listener_interval, expect_role, tags, meta,
                                  maintenance_until] = TargetDefinition{};
    std::set<std::string> documented;
    for (const DocumentedKey& key : documented_keys()) documented.insert(key.name);
    EXPECT_EQ(documented.size(), 24U);
    std::set<std::string> written;
    const auto stored = decode_definition("orders-db", support::golden("definition_full"));
    ASSERT_TRUE(stored) << stored.error();
    const auto document = json::parse(encode(*stored));
    for (const auto& [key, value] : document.items()) {
        if (!kStoredOnly.contains(key)) written.insert(key);
    }
    EXPECT_EQ(written, documented);
}

TEST(Definition, ReadsEveryDocumentedKey) {
    const auto complete = read(full_definition());
    ASSERT_TRUE(complete) << complete.error();
    for (const DocumentedKey& key : documented_keys()) {
        json object = full_definition();
        ASSERT_TRUE(object.contains(key.name)) << key.name << " is missing in definition_full.json";
        object.erase(key.name);
        const auto without = read(object);
        if (key.standard == "required") {
            EXPECT_FALSE(without) << key.name;
        } else {
            ASSERT_TRUE(without) << without.error();
            EXPECT_NE(*without, *complete) << key.name << " is not read";
        }
    }
}

TEST(Definition, HasTheDocumentedDefaults) {
    const auto definition = read(minimal());
    ASSERT_TRUE(definition) << definition.error();
    const auto document = json::parse(encode(StoredDefinition{*definition, WrittenBy::operator_}));
    for (const DocumentedKey& key : documented_keys()) {
        if (key.standard == "required") continue;
        if (key.standard == "the name") {
            EXPECT_EQ(document.at(key.name), "db1");
        } else if (key.standard == "none" || key.standard == "a majority of the voters") {
            EXPECT_FALSE(document.contains(key.name)) << key.name;
        } else {
            const auto end = key.standard.find('`', 1);
            EXPECT_EQ(document.at(key.name), json::parse(key.standard.substr(1, end - 1))) << key.name;
        }
    }
}

TEST(Definition, InModeSessionPrefersTls) {
    json object = minimal();
    object["mode"] = "session";
    EXPECT_EQ(read(object)->sslmode, SslMode::prefer);
    object["sslmode"] = "disable";
    EXPECT_EQ(read(object)->sslmode, SslMode::disable);
}

TEST(Definition, HasTheDocumentedRanges) {
    int ranges = 0;
    for (const DocumentedKey& key : documented_keys()) {
        if (key.type != "integer") continue;
        ++ranges;
        const auto to = key.range.find(" to ");
        ASSERT_NE(to, std::string::npos) << key.name << ": " << key.range;
        const auto low = std::stoll(key.range);
        const auto high = std::stoll(key.range.substr(to + 4));
        json object = minimal();
        // Leaves room for a quorum.
        if (key.name != "observers") object["observers"] = 63;
        for (const auto value : {low, high}) {
            object[key.name] = value;
            const auto definition = read(object);
            ASSERT_TRUE(definition) << definition.error();
            EXPECT_EQ(json::parse(encode(StoredDefinition{*definition}))[key.name], value) << key.name;
        }
        for (const auto value : {low - 1, high + 1}) {
            object[key.name] = value;
            EXPECT_EQ(fault_of(object), "targets[0]." + key.name + ": expected an integer from " +
                                            std::to_string(low) + " to " + std::to_string(high) + ", found " +
                                            std::to_string(value));
        }
    }
    EXPECT_EQ(ranges, 9);
}

TEST(Definition, WithAMistypedKeyIsRefused) {
    for (const DocumentedKey& key : documented_keys()) {
        for (const json& value : support::mistyped_values(key.type)) {
            json object = full_definition();
            object[key.name] = value;
            const std::string fault = fault_of(object);
            EXPECT_EQ(fault.find("targets[0]." + key.name + ": expected "), 0U) << fault;
            EXPECT_NE(fault.find(", found "), std::string::npos) << fault;
        }
    }
}

TEST(Definition, TakesTheDocumentedWords) {
    for (const DocumentedKey& key : documented_keys()) {
        if (key.type != "word") continue;
        std::size_t words = 0;
        for (std::size_t at = key.range.find('`'); at != std::string::npos; at = key.range.find('`', at)) {
            const auto end = key.range.find('`', at + 1);
            json object = minimal();
            object[key.name] = key.range.substr(at + 1, end - at - 1);
            const auto definition = read(object);
            ASSERT_TRUE(definition) << definition.error();
            EXPECT_EQ(json::parse(encode(StoredDefinition{*definition}))[key.name], object[key.name]);
            at = end + 1;
            ++words;
        }
        EXPECT_GE(words, 2U) << key.name;
    }
}

TEST(Definition, SaysWhatIsMissing) {
    EXPECT_EQ(
        fault_of(json::object()),
        "targets[0]: key 'name' is missing: expected a DNS label in lower case (a-z, 0-9, inner '-', 1 to "
        "63 characters)");
    EXPECT_EQ(
        fault_of({{"name", "db1"}}),
        "targets[0]: key 'address' is missing: expected a host name or an IP address, not 0.0.0.0 or ::");
    EXPECT_EQ(fault_of(json::array()), "targets[0]: expected an object, found an array");
}

TEST(Definition, RefusesBadNamesAndAddresses) {
    for (const char* name : {"", "DB1", "db_1", "-db", "a.b"}) {
        json object = minimal();
        object["name"] = name;
        EXPECT_EQ(fault_of(object).find("targets[0].name: expected a DNS label"), 0U) << name;
        object = minimal();
        object["service"] = name;
        EXPECT_EQ(fault_of(object).find("targets[0].service: expected a DNS label"), 0U) << name;
    }
    for (const char* address : {"", "a b", "host/path", "a,b", "pg://host", "host\n", "'x'", "0.0.0.0",
                                "::", "0:0:0:0:0:0:0:0", "0"}) {
        json object = minimal();
        object["address"] = address;
        EXPECT_EQ(fault_of(object).find(
                      "targets[0].address: expected a host name or an IP address, not 0.0.0.0 or ::, found"),
                  0U)
            << address;
    }
    json object = minimal();
    object["address"] = std::string(254, 'a');
    EXPECT_FALSE(read(object));
    for (const char* address : {"::1", "1::", "fe80::1%eth0", "10.0.0.1", "db.example.com", "db_1"}) {
        object["address"] = address;
        EXPECT_TRUE(read(object)) << address;
    }
}

TEST(Definition, RefusesControlCharactersAndLongTexts) {
    for (const char* key : {"user", "database", "sslrootcert", "sslcert", "sslkey", "credentials"}) {
        json object = minimal();
        object[key] = std::string(1024, 'x');
        EXPECT_TRUE(read(object)) << key;
        object[key] = std::string(1025, 'x');
        EXPECT_FALSE(read(object)) << key;
        object[key] = "a\nb";
        EXPECT_FALSE(read(object)) << key;
    }
}

TEST(Definition, RefusesWhatConsulWouldRefuse) {
    const std::string keys =
        "targets[0].meta: expected keys of 1 to 128 letters, digits, '-' and '_' that do not begin with "
        "'consul-', found ";
    const std::pair<json, std::string> cases[] = {
        {{{"te am", "x"}}, keys + "\"te am\""},
        {{{"t\u00e9am", "x"}}, keys + "\"t\u00e9am\""},
        {{{"", "x"}}, keys + "\"\""},
        {{{"consul-version", "x"}}, keys + "\"consul-version\""},
        {{{std::string(129, 'k'), "x"}}, keys + "\"" + std::string(56, 'k') + "..."},
        {{{"team", std::string(513, 'v')}},
         "targets[0].meta: expected values of at most 512 bytes, found 513 under \"team\""},
    };
    for (const auto& [meta, fault] : cases) {
        json object = minimal();
        object["meta"] = meta;
        EXPECT_EQ(fault_of(object), fault);
    }
    json object = minimal();
    for (int i = 0; i < 64; ++i) object["meta"]["k" + std::to_string(i)] = std::string(512, 'v');
    object["meta"][std::string(128, 'k')] = "";
    EXPECT_EQ(fault_of(object), "targets[0].meta: expected at most 64 pairs, found 65");
    object["meta"].erase("k0");
    EXPECT_TRUE(read(object));
    object["service"] = "consul";
    EXPECT_EQ(fault_of(object),
              "targets[0].service: expected another name than 'consul', which Consul's servers have");
}

TEST(Definition, RefusesAQuorumOverItsObservers) {
    json object = minimal();
    object["observers"] = 2;
    object["quorum"] = 3;
    EXPECT_EQ(fault_of(object), "targets[0].quorum: expected at most observers (2), found 3");
    object["quorum"] = 2;
    EXPECT_EQ(read(object)->quorum, 2U);
}

TEST(Definition, RefusesAnUnknownKeyInAFileOnly) {
    json object = minimal();
    object["prot"] = 5433;
    EXPECT_EQ(fault_of(object).find("targets[0].prot: unknown key; expected one of name, address, port"), 0U);
    const auto lenient = read_definition(object, "db1", UnknownKeys::ignore);
    ASSERT_TRUE(lenient) << lenient.error();
    EXPECT_EQ(*lenient, *read(minimal()));
}

TEST(Definition, KeepsAMessageToOneShortLine) {
    json object = minimal();
    object["port"] = std::string(5000, 'x');
    EXPECT_LT(fault_of(object).size(), 200U);
    object["port"] = "a\nb";
    fault_of(object);
}

TEST(StoredDefinition, NamesItsWriter) {
    json object = minimal();
    EXPECT_EQ(decode_definition("db1", object.dump())->written_by, WrittenBy::operator_);
    object["written_by"] = "operator";
    EXPECT_EQ(decode_definition("db1", object.dump())->written_by, WrittenBy::operator_);
    object["written_by"] = "file";
    EXPECT_EQ(decode_definition("db1", object.dump())->written_by, WrittenBy::file);
}

TEST(StoredDefinition, RoundTripsBothWriters) {
    for (const WrittenBy writer : {WrittenBy::operator_, WrittenBy::file}) {
        const StoredDefinition stored{*read(full_definition()), writer};
        EXPECT_EQ(decode_definition("orders-db", encode(stored)), stored);
    }
}

TEST(StoredDefinition, IsRefusedUnderAnotherKeyOrVersion) {
    EXPECT_EQ(decode_definition("db2", minimal().dump()).error(),
              "db2.name: expected the key it is stored under");
    json object = minimal();
    for (const json& version : std::vector<json>{2, 0, "1", nullptr}) {
        object["v"] = version;
        EXPECT_EQ(decode_definition("db1", object.dump()).error(),
                  "db1.v: expected 1, found " + version.dump());
    }
}

TEST(StoredDefinition, ThatIsNotAJsonObjectIsRefused) {
    for (const std::string value : {"", "null", "[]", "1", "{", "{}{}"}) {
        EXPECT_EQ(decode_definition("db1", value).error(), "db1: not a JSON object") << value;
    }
    EXPECT_EQ(decode_definition("db1", std::string(kMaxPayloadBytes + 1, ' ')).error(),
              "db1: value over 64 KiB");
    EXPECT_EQ(decode_definition("db1", std::string(60'000, '[')).error(), "db1: not a JSON object");
}

/// The same document with one more field, unknown and escaped, which makes it one that is not plain.
std::string escaped(std::string document) {
    const auto end = document.rfind('}');
    return document.replace(end, 1, R"(,"other":"\u0041"})");
}

TEST(StoredDefinition, IsTheSameByEitherReader) {
    const json full = json::parse(support::golden("definition_full"));
    const std::string name = full.at("name");
    EXPECT_TRUE(decode_plain_definition(name, full.dump()));
    EXPECT_FALSE(decode_plain_definition(name, escaped(full.dump())));
    std::vector<std::string> documents{full.dump(), full.dump(2)};
    const std::vector<json> values{nullptr,
                                   true,
                                   0,
                                   1,
                                   2,
                                   64,
                                   70'000,
                                   0.5,
                                   -1,
                                   "",
                                   "file",
                                   "db1",
                                   {},
                                   {{1, 2}},
                                   {"a", "b"},
                                   json::array({"a", 1}),
                                   json::object(),
                                   {{"k", "v"}},
                                   {{"consul-k", "v"}},
                                   {{"k", 1}},
                                   {{"k", {{"k", "v"}}}},
                                   "2026-01-02T03:04:05Z",
                                   "primary",
                                   std::string(1025, 'x')};
    std::set<std::string> keys{"future"};
    for (const auto& [key, value] : full.items()) keys.insert(key);
    for (const std::string& key : keys) {
        json without = full;
        without.erase(key);
        documents.push_back(without.dump());
        for (const json& value : values) {
            json with = full;
            with[key] = value;
            documents.push_back(with.dump());
            // Of two values the later counts.
            const std::string after = "\"" + key + "\":" + value.dump();
            documents.push_back("{" + after + "," + full.dump().substr(1));
            documents.push_back(full.dump().substr(0, full.dump().size() - 1) + "," + after + "}");
        }
    }
    std::size_t read = 0;
    for (const std::string& document : documents) {
        const auto one = decode_definition(name, document);
        EXPECT_EQ(one, decode_definition(name, escaped(document))) << document;
        if (one) ++read;
    }
    EXPECT_GT(read, documents.size() / 4);
    EXPECT_LT(read, documents.size());
}

TEST(StoredDefinition, IgnoresUnknownFields) {
    json object = minimal();
    object["future"] = {{"name", "db9"}};
    EXPECT_EQ(decode_definition("db1", object.dump()), decode_definition("db1", minimal().dump()));
}

}  // namespace
}  // namespace pgpulse::contract

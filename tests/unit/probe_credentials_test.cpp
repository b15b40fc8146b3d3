#include "probe/credentials.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <type_traits>

namespace pgpulse::probe {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What no message may hold.
const std::string kSecret = "correct-horse-battery";

template <typename Stream>
concept PrintsSecrets = requires(Stream& stream, const Secret& secret) { stream << secret; };
static_assert(!PrintsSecrets<std::ostream>, "a secret that could be printed would be");
static_assert(!std::is_convertible_v<Secret, std::string> &&
              !std::is_convertible_v<Secret, std::string_view>);

class CredentialsTest : public testing::Test {
  protected:
    support::TempDir folder;

    std::string file_of(const std::string& text, mode_t mode = 0600) {
        const std::string file = folder / "secret";
        std::ofstream{file, std::ios::binary} << text;
        EXPECT_EQ(::chmod(file.c_str(), mode), 0);
        return file;
    }

    /// The one line about what cannot be used.
    static std::string fault_of(const std::string& reference) {
        const auto credentials = read_credentials(reference);
        if (credentials) {
            ADD_FAILURE() << reference << " was taken";
            return {};
        }
        EXPECT_THAT(credentials.error(), Not(HasSubstr(kSecret)));
        EXPECT_THAT(credentials.error(), Not(HasSubstr("\n")));
        return credentials.error();
    }

    static std::string password_in(const std::string& reference) {
        const auto credentials = read_credentials(reference);
        if (!credentials) {
            ADD_FAILURE() << credentials.error();
            return {};
        }
        EXPECT_EQ(credentials->passfile, "");
        EXPECT_EQ(credentials->service, "");
        return credentials->password.reveal();
    }
};

TEST_F(CredentialsTest, WithoutAReferenceThereAreNone) {
    const auto none = read_credentials("");
    ASSERT_TRUE(none) << none.error();
    EXPECT_TRUE(none->password.empty());
    EXPECT_EQ(none->passfile, "");
    EXPECT_EQ(none->service, "");
}

TEST_F(CredentialsTest, AFileHoldsThePasswordWithOrWithoutALineEnd) {
    for (const std::string end : {"", "\n", "\r\n"}) EXPECT_EQ(password_in(file_of(kSecret + end)), kSecret);
    EXPECT_EQ(password_in(file_of(" spaces, 'quotes' and \\ \n")), " spaces, 'quotes' and \\ ")
        << "what is no line end is the password's";
    EXPECT_EQ(password_in(file_of(kSecret, 0400)), kSecret);
}

TEST_F(CredentialsTest, AMissingFileIsNamed) {
    const std::string file = folder / "none";
    EXPECT_EQ(fault_of(file), "credentials file '" + file + "': No such file or directory");
    EXPECT_EQ(fault_of("passfile:" + file), "credentials file '" + file + "': No such file or directory");
}

TEST_F(CredentialsTest, AFileThatOthersMayUseIsNamed) {
    for (const mode_t mode : {0640, 0604, 0620, 0602, 0610, 0644}) {
        const std::string file = file_of(kSecret + "\n", mode);
        const std::string fault =
            "credentials file '" + file + "': others may read it; expected mode 0600 or less";
        EXPECT_EQ(fault_of(file), fault);
        EXPECT_EQ(fault_of("passfile:" + file), fault) << "libpq would pass over it in silence";
    }
}

TEST_F(CredentialsTest, AFileOfSystemdsMayHaveAnAccessControlList) {
    // What LoadCredential= makes on a tmpfs: the list's mask stands in the group's place.
    const std::string file = file_of(kSecret + "\n", 0440);
    const std::string others =
        "credentials file '" + file + "': others may read it; expected mode 0600 or less";
    EXPECT_EQ(fault_of(file), others);
    ::setenv("CREDENTIALS_DIRECTORY", folder.path().c_str(), 1);
    EXPECT_EQ(password_in(file), kSecret);
    EXPECT_THAT(fault_of("passfile:" + file),
                HasSubstr("libpq takes no passfile with an access control list"));
    EXPECT_EQ(::chmod(file.c_str(), 0444), 0);
    EXPECT_EQ(fault_of(file), others);
    ::unsetenv("CREDENTIALS_DIRECTORY");
}

TEST_F(CredentialsTest, AFolderIsNoFile) {
    const std::string path = folder / "folder";
    std::filesystem::create_directory(path);
    EXPECT_EQ(fault_of(path), "credentials file '" + path + "': expected a regular file");
    EXPECT_EQ(fault_of("passfile:" + path), "credentials file '" + path + "': expected a regular file");
}

TEST_F(CredentialsTest, AFileWithoutExactlyOneLineIsNoPassword) {
    for (const std::string& text : {std::string{}, std::string{"\n"}, kSecret + "\nsecond", "\n" + kSecret,
                                    kSecret + std::string{"\0more", 5}}) {
        const std::string file = file_of(text);
        EXPECT_EQ(fault_of(file), "credentials file '" + file + "': expected one line, the password");
    }
}

TEST_F(CredentialsTest, AFileThatIsTooLongIsNoPassword) {
    std::string longest;
    longest.resize(8191, 'x');
    EXPECT_EQ(password_in(file_of(longest + "\n")), longest);
    const std::string file = file_of(kSecret + longest + "x");
    EXPECT_EQ(fault_of(file), "credentials file '" + file + "': expected 8192 bytes at most");
}

TEST_F(CredentialsTest, APassfileIsLibpqsToRead) {
    const std::string file = file_of("*:*:*:*:" + kSecret + "\n# and more\n");
    const auto credentials = read_credentials("passfile:" + file);
    ASSERT_TRUE(credentials) << credentials.error();
    EXPECT_EQ(credentials->passfile, file);
    EXPECT_TRUE(credentials->password.empty());
    EXPECT_EQ(credentials->service, "");
}

TEST_F(CredentialsTest, AServiceIsLibpqsToRead) {
    const auto credentials = read_credentials("service:billing");
    ASSERT_TRUE(credentials) << credentials.error();
    EXPECT_EQ(credentials->service, "billing");
    EXPECT_TRUE(credentials->password.empty());
    EXPECT_EQ(credentials->passfile, "");
    EXPECT_EQ(fault_of("service:"), "credentials: expected service:NAME");
}

}  // namespace
}  // namespace pgpulse::probe

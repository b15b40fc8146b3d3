#include "tests/support/new_cluster.hpp"

#include "tests/support/folders.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <stdexcept>
#include <vector>

namespace pgpulse::support {
namespace {

namespace fs = std::filesystem;

void run(const std::vector<std::string>& command, const std::string& user = {}) {
    const auto result = run_to_end(command, {.working_directory = "/", .user = user});
    if (result.exit_code != 0)
        throw std::runtime_error(command.front() + " failed:\n" + result.out + result.err);
}

void give_to(const std::string& user, const fs::path& path) {
    if (!user.empty()) run({"chown", user, path.string()});
}

/// Held by one process at a time; another waits.
class FileLock {
  public:
    explicit FileLock(const fs::path& file)
        : descriptor_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX) != 0)
            throw std::runtime_error("cannot lock " + file.string());
    }
    ~FileLock() { ::close(descriptor_); }
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

  private:
    int descriptor_;
};

void init(const NewCluster& cluster, const fs::path& data) {
    const TempDir folder;
    give_to(cluster.user, folder.path());
    const auto password_file = folder / "password";
    std::ofstream{password_file} << cluster.password << '\n';
    give_to(cluster.user, password_file);
    const fs::path made = folder / "data";
    run({(cluster.programs / "initdb").string(), "--pgdata=" + made.string(), "--username=postgres",
         "--no-sync", "--locale=C", "--encoding=UTF8", "--pwfile=" + password_file.string(),
         "--auth=" + cluster.auth},
        cluster.user);
    run({"cp", "-a", made.string(), data.string()});
}

/// Another version or user has another one. The password is known to its hash alone.
std::string name_of(const NewCluster& cluster) {
    const auto version = run_to_end({(cluster.programs / "postgres").string(), "--version"}).out;
    const auto kind =
        std::hash<std::string>{}(version + cluster.auth + "\n" + cluster.password + "\n" + cluster.user);
    return "postgres-" + std::to_string(kind);
}

}  // namespace

void make_cluster(const NewCluster& cluster, const fs::path& data) {
    const fs::path kept = program_folder().parent_path() / "clusters";
    fs::create_directories(kept);
    const fs::path model = kept / name_of(cluster);
    {
        const FileLock lock{model.string() + ".lock"};
        if (!fs::exists(model)) {
            // Under its name it is whole.
            const fs::path part = model.string() + ".part";
            fs::remove_all(part);
            init(cluster, part);
            fs::rename(part, model);
        }
    }
    run({"cp", "-a", model.string() + "/.", data.string()});
}

}  // namespace pgpulse::support

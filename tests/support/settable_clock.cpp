#include "tests/support/settable_clock.hpp"

#include "tests/support/file_descriptor.hpp"
#include "tests/support/folders.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <system_error>

namespace pgpulse::support {
namespace {

using Shared = std::atomic<std::int64_t>;
constexpr const char* kFile = "clock";

}  // namespace

SettableClock::SettableClock() {
    const std::string path = folder_ / kFile;
    const FileDescriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!file || ::ftruncate(file.get(), sizeof(Shared)) != 0)
        throw std::system_error{errno, std::generic_category(), path};
    void* const mapped = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) throw std::system_error{errno, std::generic_category(), path};
    ahead_us_ = static_cast<Shared*>(mapped);
}

SettableClock::~SettableClock() { ::munmap(ahead_us_, sizeof(Shared)); }

std::vector<std::pair<std::string, std::string>> SettableClock::environment() const {
    return {{"LD_PRELOAD", program_folder() / "libpgpulse_set_clock.so"},
            {"PGPULSE_TEST_CLOCK", folder_ / kFile}};
}

void SettableClock::set_ahead(std::chrono::microseconds ahead) { ahead_us_->store(ahead.count()); }

}  // namespace pgpulse::support

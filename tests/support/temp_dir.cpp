#include "tests/support/temp_dir.hpp"

#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <iostream>
#include <string>
#include <system_error>

namespace pgpulse::support {

TempDir::TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "pgpulse-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
    }
    path_ = name;
    if (::chmod(name.c_str(), 0755) != 0) {
        throw std::system_error(errno, std::generic_category(), "chmod " + name);
    }
}

TempDir::~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
    if (error) {
        std::cerr << "cannot remove " << path_ << ": " << error.message() << '\n';
    }
}

}  // namespace pgpulse::support

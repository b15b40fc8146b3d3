#pragma once

#include <tl/expected.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::runtime {

/// One option, as a program's configuration file may change it.
struct Setting {
    bool is_list = false;
    bool at_once = false;   // a new value takes effect while the program runs
    bool from_file = true;  // false: a flag or the environment says it, which goes before the file
    std::vector<std::string> by_default;
    std::vector<std::string> value;  // what the program was started with, or took over since
    /// What was expected, where a value is at fault. Empty: any will do.
    std::function<std::optional<std::string>(const std::string&)> expected;
};

/// What SIGHUP means for a program's configuration file: the file is read again, what can change takes effect, and
/// what cannot is said.
class Reload {
  public:
    /// `file` is empty where the program has none. The settings' keys are those of the file.
    explicit Reload(std::string file = {}, std::map<std::string, Setting> settings = {})
        : file_(std::move(file)), settings_(std::move(settings)) {}

    [[nodiscard]] const std::string& file() const { return file_; }

    struct Changes {
        std::map<std::string, std::string> at_once;  // the new value of each key
        std::vector<std::string> at_next_start;      // keys
    };

    /// Reads the file again. What takes effect at once counts as taken over. The fault is that of `read_config_file`, or
    /// names the key and what was expected of its value; nothing is taken over then.
    tl::expected<Changes, std::string> read();

    /// Does so, logs what comes of it, and puts a new `log-level` into force. The new values that the program takes over.
    std::map<std::string, std::string> carry_out();

  private:
    std::string file_;
    std::map<std::string, Setting> settings_;
};

}  // namespace pgpulse::runtime

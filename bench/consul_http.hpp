#pragma once

#include <string>

namespace pgpulse::bench {

/// One HTTP connection to Consul that is kept, and nothing but libcurl. Ends the program with one line where Consul does
/// not answer with 200.
class ConsulHttp {
  public:
    /// `url`: "http://127.0.0.1:8500".
    explicit ConsulHttp(std::string url);
    ConsulHttp(const ConsulHttp&) = delete;
    ConsulHttp& operator=(const ConsulHttp&) = delete;
    ~ConsulHttp();

    /// The answer's body, which lives until the next request. `path` begins with "/v1/".
    const std::string& put(const std::string& path, const std::string& body);
    const std::string& get(const std::string& path);

  private:
    std::string url_;
    void* curl_;
    std::string answer_;

    const std::string& perform(const std::string& path);
};

}  // namespace pgpulse::bench

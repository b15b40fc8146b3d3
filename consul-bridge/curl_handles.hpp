#pragma once

#include <curl/curl.h>

#include <memory>
#include <mutex>
#include <new>
#include <string>

// libcurl's handles, each owned.
namespace pgpulse::consul_bridge {

struct CurlDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct CurlMultiDeleter {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
using CurlEasy = std::unique_ptr<CURL, CurlDeleter>;
using CurlMulti = std::unique_ptr<CURLM, CurlMultiDeleter>;
using CurlList = std::unique_ptr<curl_slist, CurlDeleter>;

/// Throws std::bad_alloc.
inline void append(CurlList& list, const std::string& line) {
    curl_slist* head = curl_slist_append(list.get(), line.c_str());
    if (head == nullptr) throw std::bad_alloc{};
    // Appending to a list does not move its head.
    if (!list) list.reset(head);
}

/// curl_global_init(3), once in the program.
inline void initialise_curl() {
    static std::once_flag initialised;
    std::call_once(initialised, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace pgpulse::consul_bridge

# Every library comes from a Debian package; scripts/packages.sh names them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(spdlog REQUIRED)

# find_package(cnats) is fatal on Debian: its config names a static library that is not shipped.
pkg_check_modules(nats REQUIRED IMPORTED_TARGET libnats>=3.4)
pkg_check_modules(libpq REQUIRED IMPORTED_TARGET libpq>=14)
pkg_check_modules(libssl REQUIRED IMPORTED_TARGET libssl)
pkg_check_modules(libcurl REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET cpp-httplib)
# Since Debian 13 its header calls OpenSSL inline, which its pkg-config file does not say.
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto)
target_link_libraries(PkgConfig::httplib INTERFACE PkgConfig::libcrypto)
pkg_check_modules(prometheus REQUIRED IMPORTED_TARGET prometheus-cpp-core)

# Standalone Asio and tl::expected are headers alone.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
add_library(asio_standalone INTERFACE)
target_include_directories(asio_standalone SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
target_compile_definitions(asio_standalone INTERFACE ASIO_STANDALONE)
target_link_libraries(asio_standalone INTERFACE Threads::Threads)
find_path(TL_EXPECTED_INCLUDE_DIR tl/expected.hpp REQUIRED)

if(PGPULSE_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
endif()
if(PGPULSE_BENCH)
  find_package(benchmark REQUIRED)
  pkg_check_modules(openssl REQUIRED IMPORTED_TARGET openssl)
endif()

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    // The programs have their logger before their threads. A thread that made it here would race with the next
    // one in ThreadSanitizer's eyes, which do not see the guard of a static in Debian's library.
    static_cast<void>(spdlog::default_logger());
    return RUN_ALL_TESTS();
}

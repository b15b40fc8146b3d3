add_compile_options(-Wall -Wextra -Wpedantic -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # At -O2 GCC 12 takes a moved std::variant for uninitialised; clang-tidy's analyzer looks for real cases.
  add_compile_options(-Wno-maybe-uninitialized)
endif()
if(CMAKE_UNITY_BUILD)
  # It takes every file but the unity's own for a header.
  add_compile_options(-Wno-subobject-linkage)
endif()
include_directories(${PROJECT_SOURCE_DIR})

if(PGPULSE_SANITIZE)
  add_compile_options(-fsanitize=${PGPULSE_SANITIZE})
  add_link_options(-fsanitize=${PGPULSE_SANITIZE})
  if(PGPULSE_SANITIZE MATCHES "undefined")
    # These four checks triple compile time and find little that ASan does not.
    add_compile_options(-fno-sanitize-recover=undefined -fno-sanitize=null,alignment,object-size,vptr)
  endif()
  if(PGPULSE_SANITIZE MATCHES "thread")
    # Asio uses atomic_thread_fence, which TSan does not model.
    add_compile_options(-Wno-tsan)
  endif()
endif()

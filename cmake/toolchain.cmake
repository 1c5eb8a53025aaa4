# SPDX-License-Identifier: Apache-2.0
#
# Flags and include paths that every file of this project is compiled with, gathered in the target coppice_private.
# What users of the library get stands in cmake/rooms.cmake.
find_package(Threads REQUIRED)

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(COPPICE_CCACHE ccache)
  mark_as_advanced(COPPICE_CCACHE)
  if(COPPICE_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${COPPICE_CCACHE})
  endif()
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)

# Variants are folders, chosen here, and never #if in a function body.
set(coppice_sanitizer_variant none)
if(COPPICE_SANITIZE)
  set(coppice_sanitizer_variant ${COPPICE_SANITIZE})
endif()
set(coppice_public_include ${PROJECT_SOURCE_DIR}/include)
if(COPPICE_SIM)
  # In front: coppice/base/detail/sync.hpp is then the simulated one.
  list(PREPEND coppice_public_include ${PROJECT_SOURCE_DIR}/src/sim/include)
endif()

add_library(coppice_private INTERFACE)
target_compile_features(coppice_private INTERFACE cxx_std_23)
target_link_libraries(coppice_private INTERFACE Threads::Threads)
target_include_directories(coppice_private INTERFACE
  ${coppice_public_include}
  ${PROJECT_SOURCE_DIR}/src
  ${PROJECT_SOURCE_DIR}/src/runtime/switch_${COPPICE_SWITCH}
  ${PROJECT_SOURCE_DIR}/src/runtime/sanitizer/${coppice_sanitizer_variant})
target_compile_options(coppice_private INTERFACE -Wall -Wextra -Wpedantic -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A pid comes in two registers. Told to vectorize straight-line code, g++ 12 copies it by two narrow stores and a wide load, which
  # waits until the stores have left the store buffer: a quarter of the time of a send.
  target_compile_options(coppice_private INTERFACE -fno-tree-slp-vectorize)
endif()
if(COPPICE_WERROR)
  target_compile_options(coppice_private INTERFACE -Werror)
endif()
if(COPPICE_ASSERTS)
  target_compile_definitions(coppice_private INTERFACE COPPICE_ASSERTS=1)
endif()

if(COPPICE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(COPPICE_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(COPPICE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)  # it warns at each thread fence, which TSan does not model
  endif()
endif()

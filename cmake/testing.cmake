# SPDX-License-Identifier: Apache-2.0
#
# How tests, compile-fail cases and examples are declared. Each executable is one entry in ctest.
find_package(doctest REQUIRED)
find_package(Python3 COMPONENTS Interpreter REQUIRED)

# What a test links: doctest with the shared main, the library, its private headers and tests/ as include path.
add_library(coppice_test_main OBJECT ${PROJECT_SOURCE_DIR}/tests/support/main.cpp)
target_link_libraries(coppice_test_main PRIVATE coppice_private doctest::doctest)
target_include_directories(coppice_test_main PRIVATE ${PROJECT_SOURCE_DIR}/tests)

# coppice_test(<name> [SERIAL] [LABELS <label>…] [LINKS <target>…] SOURCES <file>…)
# SERIAL: no other test runs beside it.
function(coppice_test name)
  cmake_parse_arguments(arg "SERIAL" "" "LABELS;LINKS;SOURCES" ${ARGN})
  add_executable(${name} ${arg_SOURCES} $<TARGET_OBJECTS:coppice_test_main>)
  target_link_libraries(${name} PRIVATE coppice_private ${arg_LINKS} coppice doctest::doctest)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  coppice_test_properties(${name} "${arg_SERIAL}" "${arg_LABELS}")
endfunction()

# The time limit is the test preset's (15 min; sanitizers 30), in `./test --long` two hours. It ends what hangs, not what runs on a slow
# machine.
function(coppice_test_properties name serial labels)
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" RUN_SERIAL "${serial}")
  if(COPPICE_SANITIZE STREQUAL "address")
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
      "ASAN_OPTIONS=detect_stack_use_after_return=0" "UBSAN_OPTIONS=print_stacktrace=1")
  elseif(COPPICE_SANITIZE STREQUAL "thread")
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
      "TSAN_OPTIONS=halt_on_error=1 die_after_fork=0 second_deadlock_stack=1 suppressions=${PROJECT_SOURCE_DIR}/tests/support/tsan.supp")
  endif()
endfunction()

# coppice_compile_fail(<file>): the file must not compile, and each line `// expect: text` in it must stand within the
# first five lines of each compiler's diagnostics. One error only (g++). The sanitizer builds do not repeat this.
function(coppice_compile_fail file)
  if(COPPICE_SANITIZE OR COPPICE_SIM)
    return()
  endif()
  get_filename_component(name ${file} NAME_WE)
  add_test(NAME compile_fail.${name} COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tests/compile_fail/check.py
    ${CMAKE_CURRENT_SOURCE_DIR}/${file} --include ${PROJECT_SOURCE_DIR}/include)
  coppice_test_properties(compile_fail.${name} OFF "compile_fail")
endfunction()

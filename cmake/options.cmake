# SPDX-License-Identifier: Apache-2.0
#
# Every option of the build. A new one needs a page in docs/decisions/.
option(COPPICE_APP "Build the room app: HTTP front, switchboard (needs Boost headers and OpenSSL)" ON)
option(COPPICE_METRICS "Build the component that shows metrics in Prometheus' format (needs prometheus-cpp-core)" ON)
option(COPPICE_SPDLOG "Build the log sink on top of spdlog (needs spdlog)" ON)
option(COPPICE_CONFIG "Read TOML and JSON configuration files (needs toml++ and nlohmann-json headers; nothing is linked)" ON)
option(COPPICE_THROW_TRACE "Build the component that records where exceptions are thrown (needs libdw)" ON)
option(COPPICE_TESTS "Build the tests (needs doctest)" ${PROJECT_IS_TOP_LEVEL})
option(COPPICE_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(COPPICE_BENCHMARKS "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(COPPICE_ASSERTS "Check COPPICE_ASSERT" OFF)
option(COPPICE_WERROR "Warnings are errors" OFF)
option(COPPICE_SIM "Replace atomics, clock and futex by the seeded simulation" OFF)
option(COPPICE_FUZZ "Build the fuzz targets with libFuzzer, and no other tests (needs clang)" OFF)

# The fiber switch: `own` is written for x86-64, `boost` works wherever Boost.Context does.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(COPPICE_SWITCH own CACHE STRING "Fiber switch: own or boost")
else()
  set(COPPICE_SWITCH boost CACHE STRING "Fiber switch: own or boost")
endif()
set_property(CACHE COPPICE_SWITCH PROPERTY STRINGS own boost)
if(NOT COPPICE_SWITCH MATCHES "^(own|boost)$")
  message(FATAL_ERROR "COPPICE_SWITCH is '${COPPICE_SWITCH}'; expected own or boost")
endif()

set(COPPICE_SANITIZE "" CACHE STRING "Sanitizer: empty, address (with undefined) or thread")
set_property(CACHE COPPICE_SANITIZE PROPERTY STRINGS "" address thread)
if(NOT COPPICE_SANITIZE MATCHES "^(address|thread|)$")
  message(FATAL_ERROR "COPPICE_SANITIZE is '${COPPICE_SANITIZE}'; expected nothing, address or thread")
endif()

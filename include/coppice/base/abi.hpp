// SPDX-License-Identifier: Apache-2.0
//
// abi: whether two parts of a program, compiled apart, may share objects: a stamp of what their layouts depend on. Whoever
// loads code at run time, or talks to a child process of the same program, compares stamps first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace coppice {

/// What the layout of shared objects depends on. A value, comparable and printable.   Spec: C10
struct abi_stamp {
  std::uint32_t core = 0;             ///< raised whenever a layout of the core changes
  std::string_view compiler{};        ///< "g++", "clang"
  std::uint32_t compiler_major = 0;
  std::uint32_t library = 0;          ///< the major version of libstdc++
  bool library_assertions = false;    ///< its containers check
  bool debug_containers = false;      ///< and are laid out for that
  bool old_strings = false;           ///< libstdc++ with the strings of before C++11
  std::string_view sanitizer{};       ///< "address", "thread" or empty
  bool simulated = false;             ///< atomics and clocks are the simulation's

  friend constexpr bool operator==(const abi_stamp&, const abi_stamp&) = default;
};

/// The stamp of the translation unit that calls it.
/// Cost: compile time.   Spec: C10
static consteval abi_stamp abi_here() {
  abi_stamp s{.core = 1};
#if defined(__clang__)
  s.compiler = "clang";
  s.compiler_major = __clang_major__;
#else
  s.compiler = "g++";
  s.compiler_major = __GNUC__;
#endif
#if defined(__GLIBCXX__)
  s.library = _GLIBCXX_RELEASE;
#if defined(_GLIBCXX_ASSERTIONS)
  s.library_assertions = true;
#endif
#if defined(_GLIBCXX_DEBUG)
  s.debug_containers = true;
#endif
  s.old_strings = _GLIBCXX_USE_CXX11_ABI == 0;
#endif
#if defined(__SANITIZE_ADDRESS__)
  s.sanitizer = "address";
#elif defined(__SANITIZE_THREAD__)
  s.sanitizer = "thread";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  s.sanitizer = "address";
#elif __has_feature(thread_sanitizer)
  s.sanitizer = "thread";
#endif
#endif
#if defined(COPPICE_SIM)
  s.simulated = true;
#endif
  return s;
}

/// The stamp of the compiled core.
/// Thread: any.   Cost: none.   Spec: C10
const abi_stamp& abi_of_core() noexcept;

/// In what `other` differs from `expected`, for a person: "compiler: clang 19, expected g++ 12"; several parts are joined by "; ".
/// Returns: an empty text if they fit.
/// Thread: any.   Spec: C10
std::string abi_difference(const abi_stamp& expected, const abi_stamp& other);

}  // namespace coppice

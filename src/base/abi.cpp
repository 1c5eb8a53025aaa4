// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/abi.hpp>

namespace coppice {

namespace {

class difference {
 public:
  void note(std::string_view what, bool differs, const std::string& is, const std::string& expected) {
    if (!differs) return;
    if (!text_.empty()) text_ += "; ";
    text_.append(what).append(": ").append(is).append(", expected ").append(expected);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string yes_or_no(bool b) { return b ? "yes" : "no"; }
std::string compiler_of(const abi_stamp& s) { return std::string(s.compiler) + ' ' + std::to_string(s.compiler_major); }
std::string sanitizer_of(const abi_stamp& s) { return s.sanitizer.empty() ? "none" : std::string(s.sanitizer); }

}  // namespace

const abi_stamp& abi_of_core() noexcept {
  static constexpr abi_stamp stamp = abi_here();
  return stamp;
}

std::string abi_difference(const abi_stamp& expected, const abi_stamp& other) {
  difference d;
  d.note("core", other.core != expected.core, std::to_string(other.core), std::to_string(expected.core));
  d.note("compiler", compiler_of(other) != compiler_of(expected), compiler_of(other), compiler_of(expected));
  d.note("standard library", other.library != expected.library, std::to_string(other.library), std::to_string(expected.library));
  d.note("assertions of the standard library", other.library_assertions != expected.library_assertions,
         yes_or_no(other.library_assertions), yes_or_no(expected.library_assertions));
  d.note("debug containers", other.debug_containers != expected.debug_containers, yes_or_no(other.debug_containers),
         yes_or_no(expected.debug_containers));
  d.note("strings of before C++11", other.old_strings != expected.old_strings, yes_or_no(other.old_strings), yes_or_no(expected.old_strings));
  d.note("sanitizer", other.sanitizer != expected.sanitizer, sanitizer_of(other), sanitizer_of(expected));
  d.note("simulated", other.simulated != expected.simulated, yes_or_no(other.simulated), yes_or_no(expected.simulated));
  return d.take();
}

}  // namespace coppice

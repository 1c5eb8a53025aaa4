// SPDX-License-Identifier: Apache-2.0
//
// exit_reason: why a process ended. A closed sum, comparable, copyable, printable, owned: an exception becomes text, type
// name and trace where the handler was compiled, so a reason stays valid when the code that threw is gone.
//
//   normal | shutdown | shutdown(payload) | kill | killed | noproc | noconnection | timeout | calling_self
//   | error(type, text, trace) | custom(text) | code_fault(signal, address) | cell_died | cell_corrupt | cell_overrun
//
// `normal`, `shutdown` and `shutdown(payload)` are quiet: they are reported nowhere (PR-14).
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace coppice {

namespace detail {
struct reason_detail;
}

/// Why a process ended.
/// Thread: any; copies share an immutable, counted detail.   Cost: 8 bytes; a code without words copies for nothing.
/// Spec: PR vocabulary, PR-10..PR-29.
class [[nodiscard]] exit_reason {
 public:
  enum code : std::uint8_t {
    normal, shutdown, kill, killed, noproc, noconnection, timeout, calling_self, no_reply, bad_request, system_limit,
    error, custom, bad_return_value, blocking_in_leaf, code_fault, cell_died, cell_corrupt, cell_overrun
  };

  constexpr exit_reason() noexcept = default;
  constexpr exit_reason(code c) noexcept : word_(c) {}  // implicit: `exit(exit_reason::shutdown)`
  /// A reason in the program's own words.
  explicit exit_reason(std::string_view text);
  exit_reason(const exit_reason& other) noexcept : word_(other.word_) {
    if (has_words()) retain();
  }
  exit_reason(exit_reason&& other) noexcept : word_(std::exchange(other.word_, normal)) {}
  exit_reason& operator=(exit_reason other) noexcept {
    std::swap(word_, other.word_);
    return *this;
  }
  ~exit_reason() {
    if (has_words()) [[unlikely]] release();
  }

  /// `shutdown` with something to say: still quiet.
  static exit_reason shutdown_because(std::string_view payload);
  /// From an exception: its type name and text; `where` is what the process was doing.
  static exit_reason from_exception(std::string_view type, std::string_view what, std::string_view trace = {});
  /// From the exception being handled. Call inside `catch`.
  static exit_reason from_current_exception() noexcept;
  static exit_reason fault(int signal, std::uintptr_t address);
  static exit_reason with_text(code c, std::string_view text);

  code what() const noexcept { return has_words() ? code_of_words() : static_cast<code>(word_); }
  bool is(code c) const noexcept { return what() == c; }
  /// normal, shutdown, shutdown(payload).
  bool is_quiet() const noexcept { return is(normal) || is(shutdown); }
  /// The program's own words, an exception's text, a payload; empty if there are none.
  std::string_view text() const noexcept;
  /// The exception's type, for `error`.
  std::string_view type() const noexcept;
  /// Where the exception was thrown, one frame a line, if it was recorded. Slow at the first reading of recorded frames.
  std::string_view trace() const noexcept;

  /// Equal code, type and text. The trace does not count.
  friend bool operator==(const exit_reason& a, const exit_reason& b) noexcept;

 private:
  explicit exit_reason(detail::reason_detail* words) noexcept : word_(reinterpret_cast<std::uintptr_t>(words)) {}
  static exit_reason words_of_current_exception() noexcept;
  bool has_words() const noexcept { return word_ > 0xff; }
  detail::reason_detail* words() const noexcept {
    return has_words() ? reinterpret_cast<detail::reason_detail*>(word_) : nullptr;
  }
  code code_of_words() const noexcept;
  void retain() const noexcept;
  void release() noexcept;

  // A code, or the address of words, which know their code: the reasons of a call's frames are written with each call.
  std::uintptr_t word_ = normal;
};

/// `normal`, `killed`, `std::out_of_range: no channel 7`, `no channel left`, `shutdown: node leaves`.
std::string to_text(const exit_reason& reason);
std::string_view to_text(exit_reason::code c) noexcept;

/// A process operation that could not be done: thrown by link to the dead, by process-only calls in a plain thread, …
class exit_error : public std::exception {
 public:
  explicit exit_error(exit_reason reason, std::string_view what = {});
  const exit_reason& reason() const noexcept { return reason_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  exit_reason reason_;
  std::string what_;
};

}  // namespace coppice

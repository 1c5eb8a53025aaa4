// SPDX-License-Identifier: Apache-2.0
//
// log_sink: structured reports (crash, progress, supervisor, stuck worker…) and the hook that takes them.
//
// A report is a value; whoever raises it fills in words, the sink decides on the form. The default sink writes reports to
// stderr, each by one write(2), or hands them to spdlog where a program links coppice::spdlog; set_log_defaults says in which form
// and from which level on. Any thread may write a report.
//
// Invariants:
// 1. Writing a report neither throws nor waits for long: a sink's exceptions are swallowed, a stuck stderr loses reports
//    (the next one that gets through says how many) rather than holding up a dying server.
// 2. A sink must outlive every report written to it: in practice, the program.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

enum class log_level : std::uint8_t { debug, info, notice, warning, error };

/// The level's name: "debug" … "error".
std::string_view to_text(log_level level) noexcept;

/// One named line of a report: `why`, `asked by`, `state`, `queue`.
struct report_field {
  std::string name;
  std::string value;
};

/// Something worth telling whoever runs the program.
struct report {
  log_level level = log_level::info;
  std::string_view kind{};  ///< one word: crash, progress, shutdown. Must outlive the report: a literal.
  std::string headline{};   ///< who and where: "ch3 <0.41>  in handle_call(want{})"
  std::vector<report_field> fields{};
  std::int64_t time = 0;  ///< wall clock, nanoseconds since 1970 in UTC; 0 is unknown
  std::string who{};      ///< for machines: the process, "<0.41>"
  std::string name{};     ///< for machines: its name, else its class
  std::string doing{};    ///< for machines: "handle_call(want{})"

  /// For people: the headline and one indented line for each field; ends in a newline. Times are UTC.
  std::string text() const;
  /// For line-based logs: the same in one line, without a newline.
  std::string single_line() const;
  /// For machines: one JSON object in one line, without a newline: time (RFC 3339), level, kind, headline, then who, name and
  /// doing where they are known, then `fields`, in their order. All values are strings; a field that stands there several
  /// times is an array of strings. Field names have `_` for spaces.
  std::string json() const;
};

/// How a report is written into one log message.
enum class report_form : std::uint8_t { text, single_line, json };
/// `r` in that form; none of them ends in a newline.
std::string formatted(const report& r, report_form form);

/// Takes reports. `write` is called from any thread, also from several at once.
struct log_sink {
  void (*write)(void* context, const report& r) = nullptr;
  void* context = nullptr;
  log_level least = log_level::info;  ///< reports below this level are not offered
};

/// Installs `sink` for the whole program; null brings the default back.
/// Returns:  the sink that was there, or null if it was the default one.
/// Late:     a report that is being written goes to the old sink to its end.
/// Thread:   any.
const log_sink* set_log_sink(const log_sink* sink) noexcept;

/// How the default sink writes.
struct log_defaults {
  report_form form = report_form::text;
  log_level least = log_level::notice;
};
/// Says it for the whole program. A sink that was installed by set_log_sink has its own ways.   Thread: any.
void set_log_defaults(const log_defaults& how) noexcept;
log_defaults current_log_defaults() noexcept;
/// What stands behind the default sink instead of stderr: for libraries of logs. Null brings stderr back. `least` is not looked at.
/// Thread: any.
void set_default_log_sink(const log_sink* sink) noexcept;

/// For such libraries: `text` to stderr, by one write(2) if it is short. Does not wait for long: a stuck stderr loses it, and the
/// next text that gets through says how many were lost. Leaves errno alone.   Thread: any.
void put_on_stderr(std::string text) noexcept;

/// True if a report of this level would reach the sink: ask before forming a costly one.
bool would_log(log_level level) noexcept;

/// Hands `r` to the sink.
/// Fails:    never; what the sink throws is dropped.
/// Thread:   any.
void write_report(const report& r) noexcept;

}  // namespace coppice

// SPDX-License-Identifier: Apache-2.0
//
// log_sink: structured reports (crash, progress, supervisor, stuck worker…) and the hook that takes them.
//
// A report is a value; whoever raises it fills in words, the sink decides on the form. The default sink writes the text of
// reports of level notice and above to stderr, each by one write(2). Any thread may write a report.
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

  /// For people: the headline and one indented line for each field; ends in a newline. Times are UTC.
  std::string text() const;
  /// For line-based logs: the same in one line, without a newline.
  std::string single_line() const;
  /// For machines: one JSON object with level, kind, headline, time (RFC 3339) and the fields in their order.
  std::string json() const;
};

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

/// True if a report of this level would reach the sink: ask before forming a costly one.
bool would_log(log_level level) noexcept;

/// Hands `r` to the sink.
/// Fails:    never; what the sink throws is dropped.
/// Thread:   any.
void write_report(const report& r) noexcept;

}  // namespace coppice

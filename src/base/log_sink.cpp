// SPDX-License-Identifier: Apache-2.0
//
// log_sink, the out-of-line part: the three forms of a report, the installed sink, and the default one (stderr).
#include <coppice/base/log_sink.hpp>

#include "base/pipe_signal.hpp"

#include <poll.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <climits>
#include <coppice/base/detail/sync.hpp>
#include <cstdio>

namespace coppice {

namespace sync = detail::sync;

namespace {

constexpr std::size_t report_width = 100;    // the time of day ends here
constexpr std::size_t least_name_width = 8;  // "asked by"

/// How many columns `text` takes: bytes that begin a UTF-8 character.
std::size_t columns_of(std::string_view text) noexcept {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

struct calendar_time {
  int year, month, day, hour, minute, second, millisecond;
};

/// The Gregorian date in UTC. Of one's own: the C library's may take a lock and read files.
calendar_time calendar_of(std::int64_t nanoseconds) noexcept {
  std::int64_t milliseconds = nanoseconds / 1'000'000 - (nanoseconds % 1'000'000 < 0);
  std::int64_t days = milliseconds / 86'400'000 - (milliseconds % 86'400'000 < 0);
  const int of_day = static_cast<int>(milliseconds - days * 86'400'000);
  // Years begin in March, so that the leap day comes last; 400 of them have 146,097 days.
  const std::int64_t since = days + 719'468;
  const std::int64_t era = (since >= 0 ? since : since - 146'096) / 146'097;
  const int day_of_era = static_cast<int>(since - era * 146'097);
  const int year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int march_month = (5 * day_of_year + 2) / 153;
  const int month = march_month < 10 ? march_month + 3 : march_month - 9;
  return {.year = static_cast<int>(era * 400) + year_of_era + (month <= 2),
          .month = month,
          .day = day_of_year - (153 * march_month + 2) / 5 + 1,
          .hour = of_day / 3'600'000,
          .minute = of_day / 60'000 % 60,
          .second = of_day / 1'000 % 60,
          .millisecond = of_day % 1'000};
}

std::string time_of_day(std::int64_t time) {
  const calendar_time t = calendar_of(time);
  char text[64];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", t.hour, t.minute, t.second, t.millisecond);
  return text;
}

std::string date_and_time(std::int64_t time) {
  const calendar_time t = calendar_of(time);
  char text[96];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.year, t.month, t.day, t.hour, t.minute,
                t.second, t.millisecond);
  return text;
}

void append_indented(std::string& out, std::string_view text, std::size_t indent) {
  for (char c : text) {
    out += c;
    if (c == '\n') out.append(indent, ' ');
  }
}

void append_in_one_line(std::string& out, std::string_view text) {
  for (char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else
      out += c;
  }
}

/// The size of the UTF-8 character that begins `text`; 0 if none does.
std::size_t utf8_character(std::string_view text) noexcept {
  auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto continues = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool too_long = first == 0xE0 && second < 0xA0, surrogate = first == 0xED && second > 0x9F;
    return continues(1) && continues(2) && !too_long && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool too_long = first == 0xF0 && second < 0x90, too_large = first == 0xF4 && second > 0x8F;
    return continues(1) && continues(2) && continues(3) && !too_long && !too_large ? 4 : 0;
  }
  return 0;
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto code = static_cast<unsigned char>(c);
    if (const std::size_t size = utf8_character(text.substr(i));
        size != 1) {  // JSON must be UTF-8, values may be anything
      out += size == 0 ? "\uFFFD" : text.substr(i, size);
      i += size == 0 ? 0 : size - 1;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (code < 0x20 || code == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", code);
      out += escape;
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json_name(std::string& out, std::string_view name) {
  if (!out.ends_with('{')) out += ',';
  append_json(out, name);
  out += ':';
}

void append_json_member(std::string& out, std::string_view name, std::string_view value) {
  append_json_name(out, name);
  append_json(out, value);
}

/// An object has each name once: what stands there several times is an array, at its first place.
void append_json_fields(std::string& out, const std::vector<report_field>& fields) {
  const auto same = [](const report_field& a) { return [&a](const report_field& b) { return a.name == b.name; }; };
  for (auto f = fields.begin(); f != fields.end(); ++f) {
    if (std::any_of(fields.begin(), f, same(*f))) continue;
    std::string name = f->name;
    std::replace(name.begin(), name.end(), ' ', '_');
    append_json_name(out, name);
    const bool several = std::any_of(f + 1, fields.end(), same(*f));
    if (several) out += '[';
    append_json(out, f->value);
    for (auto g = f + 1; g != fields.end(); ++g)
      if (same(*f)(*g)) {
        out += ',';
        append_json(out, g->value);
      }
    if (several) out += ']';
  }
}

// --- The default sink ------------------------------------------------------------------------------------------------

sync::atomic<std::uint32_t> lost_reports;

/// Waits a moment for stderr: a terminal that scrolls is waited for, one that is stopped holds nobody up.
bool stderr_takes_bytes() noexcept {
  pollfd end{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  return poll(&end, 1, 50) == 1;
}

/// Writes `text` in pieces that a pipe with room takes at once: most reports are one.
bool all_on_stderr(std::string_view text) noexcept {
  while (!text.empty()) {
    if (!stderr_takes_bytes()) return false;
    const ssize_t written = internal::write_without_signal(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written < 0 && errno != EINTR) return false;
    text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
  return true;
}

constexpr std::uint32_t packed(const log_defaults& d) noexcept {
  return static_cast<std::uint32_t>(d.form) << 8 | static_cast<std::uint32_t>(d.least);
}
constexpr log_defaults unpacked(std::uint32_t word) noexcept {
  return {static_cast<report_form>(word >> 8), static_cast<log_level>(word & 0xFF)};
}
constinit sync::atomic<std::uint32_t> default_ways{packed({})};

void write_to_stderr(void*, const report& r) { put_on_stderr(formatted(r, current_log_defaults().form) + '\n'); }

constexpr log_sink stderr_sink{.write = &write_to_stderr, .context = nullptr};

// Release and acquire pair the setters with current_sink: the new sink's members and context are there.
constinit sync::atomic<const log_sink*> installed_sink;
constinit sync::atomic<const log_sink*> default_sink;

struct chosen_sink {
  const log_sink& sink;
  log_level least;
};

chosen_sink current_sink() noexcept {
  if (const log_sink* sink = installed_sink.load(sync::acquire)) return {*sink, sink->least};
  const log_sink* sink = default_sink.load(sync::acquire);
  return {sink != nullptr ? *sink : stderr_sink, current_log_defaults().least};
}

}  // namespace

std::string_view to_text(log_level level) noexcept {
  switch (level) {
    case log_level::debug:
      return "debug";
    case log_level::info:
      return "info";
    case log_level::notice:
      return "notice";
    case log_level::warning:
      return "warning";
    case log_level::error:
      return "error";
  }
  return "unknown level";
}

std::string report::text() const {
  std::string out(kind);
  out += "  ";
  append_indented(out, headline, 2);
  if (time != 0) {
    const std::string at = time_of_day(time);
    const std::size_t used = columns_of(out) + at.size();
    out.append(used + 2 < report_width ? report_width - used : 2, ' ');
    out += at;
  }
  out += '\n';
  std::size_t width = least_name_width;
  for (const report_field& field : fields) width = std::max(width, columns_of(field.name));
  for (const report_field& field : fields) {
    out += "  ";
    out += field.name;
    out.append(width + 1 - columns_of(field.name), ' ');
    append_indented(out, field.value, width + 3);
    out += '\n';
  }
  return out;
}

std::string report::single_line() const {
  std::string out;
  if (time != 0) out = date_and_time(time) + ' ';
  out += '[';
  out += to_text(level);
  out += "] ";
  out += kind;
  out += ' ';
  append_in_one_line(out, headline);
  for (const report_field& field : fields) {
    out += "; ";
    append_in_one_line(out, field.name);
    out += ": ";
    append_in_one_line(out, field.value);
  }
  return out;
}

std::string report::json() const {
  std::string out = "{";
  if (time != 0) append_json_member(out, "time", date_and_time(time));
  append_json_member(out, "level", to_text(level));
  append_json_member(out, "kind", kind);
  append_json_member(out, "headline", headline);
  if (!who.empty()) append_json_member(out, "who", who);
  if (!name.empty()) append_json_member(out, "name", name);
  if (!doing.empty()) append_json_member(out, "doing", doing);
  out += ",\"fields\":{";
  append_json_fields(out, fields);
  return out + "}}";
}

void put_on_stderr(std::string text) noexcept {
  const int errno_of_caller = errno;
  const std::uint32_t lost = lost_reports.exchange(0, sync::relaxed);
  try {
    if (lost > 0) text.insert(0, "(lost because stderr took no more: " + std::to_string(lost) + ")\n");
  } catch (...) {                                             // no memory to say so
  }
  if (!all_on_stderr(text)) lost_reports.fetch_add(lost + 1, sync::relaxed);
  errno = errno_of_caller;
}

std::string formatted(const report& r, report_form form) {
  if (form == report_form::json) return r.json();
  if (form == report_form::single_line) return r.single_line();
  std::string text = r.text();
  text.pop_back();
  return text;
}

const log_sink* set_log_sink(const log_sink* sink) noexcept { return installed_sink.exchange(sink, sync::acq_rel); }

void set_log_defaults(const log_defaults& how) noexcept {
  default_ways.store(packed(how), sync::relaxed);
}

log_defaults current_log_defaults() noexcept { return unpacked(default_ways.load(sync::relaxed)); }

void set_default_log_sink(const log_sink* sink) noexcept { default_sink.store(sink, sync::release); }

bool would_log(log_level level) noexcept { return level >= current_sink().least; }

void write_report(const report& r) noexcept {
  const auto [sink, least] = current_sink();
  if (r.level < least || sink.write == nullptr) return;
  try {
    sink.write(sink.context, r);
  } catch (...) {  // a report that cannot be written must not take down whoever raised it
  }
}

}  // namespace coppice

// SPDX-License-Identifier: Apache-2.0
#include "app/http_date.hpp"

#include <time.h>

#include <algorithm>
#include <iterator>

namespace coppice::internal {

namespace {

constexpr std::string_view days = "SunMonTueWedThuFriSat";
constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// Whether `text` is like `pattern`, in which an x is a letter, a 0 a digit and an underscore one of these or a space.
bool has_form(std::string_view text, std::string_view pattern) noexcept {
  if (text.size() != pattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_digit = c >= '0' && c <= '9';
    const bool fits = pattern[i] == '0'   ? is_digit
                      : pattern[i] == '_' ? is_digit || c == ' '
                      : pattern[i] == 'x' ? (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
                                          : c == pattern[i];
    if (!fits) return false;
  }
  return true;
}

int number(std::string_view digits) noexcept {
  int n = 0;
  for (const char c : digits) n = n * 10 + (c - '0');
  return n;
}

bool is_day(std::string_view name) noexcept {
  static constexpr std::string_view all[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  return std::ranges::find(all, name) != std::end(all);
}

/// Which year, since 1900, two digits stand for: none that is more than fifty years ahead.
int year_near_now(int two_digits) noexcept {
  const time_t now = ::time(nullptr);
  tm today{};
  ::gmtime_r(&now, &today);
  const int year = today.tm_year - today.tm_year % 100 + two_digits;
  return year > today.tm_year + 50 ? year - 100 : year;
}

struct date_parts {
  std::string_view day, month, year, time;
};

/// Of a date in any of the three forms (RFC 9110, 5.6.7).
std::optional<date_parts> parts_of(std::string_view text) noexcept {
  if (has_form(text, "xxx, 00 xxx 0000 00:00:00 GMT")) return date_parts{text.substr(5, 2), text.substr(8, 3), text.substr(12, 4), text.substr(17, 8)};
  if (has_form(text, "xxx xxx _0 00:00:00 0000")) {
    const std::size_t space = text[8] == ' ' ? 1 : 0;
    return date_parts{text.substr(8 + space, 2 - space), text.substr(4, 3), text.substr(20, 4), text.substr(11, 8)};
  }
  const std::string_view name = text.substr(0, text.find(','));
  const std::string_view rest = text.substr(name.size());
  if (is_day(name) && has_form(rest, ", 00-xxx-00 00:00:00 GMT")) return date_parts{rest.substr(2, 2), rest.substr(5, 3), rest.substr(9, 2), rest.substr(12, 8)};
  return std::nullopt;
}

}  // namespace

/// strftime would speak the program's language.
std::size_t write_http_date(char* text, std::int64_t second) noexcept {
  const time_t when = static_cast<time_t>(second);
  tm t{};
  ::gmtime_r(&when, &t);
  const std::size_t n = ::strftime(text, http_date_room, "???, %d ??? %Y %H:%M:%S GMT", &t);
  for (std::size_t i = 0; i < 3; ++i) {
    text[i] = days[static_cast<std::size_t>(t.tm_wday) * 3 + i];
    text[8 + i] = months[static_cast<std::size_t>(t.tm_mon) * 3 + i];
  }
  return n;
}

void append_http_date(std::string& out, std::int64_t second) {
  char text[http_date_room];
  out.append(text, write_http_date(text, second));
}

std::optional<std::int64_t> parse_http_date(std::string_view text) noexcept {
  const std::optional<date_parts> parts = parts_of(text);
  if (!parts) return std::nullopt;
  const auto& [day, month, year, time] = *parts;
  const std::size_t which = months.find(month);
  tm t{};
  t.tm_mday = number(day);
  t.tm_year = year.size() == 2 ? year_near_now(number(year)) : number(year) - 1900;
  t.tm_hour = number(time.substr(0, 2));
  t.tm_min = number(time.substr(3, 2));
  t.tm_sec = number(time.substr(6, 2));
  if (which == std::string_view::npos || which % 3 != 0 || t.tm_mday < 1 || t.tm_mday > 31 || t.tm_hour > 23 || t.tm_min > 59 ||
      t.tm_sec > 60 || t.tm_year < 0)
    return std::nullopt;
  t.tm_mon = static_cast<int>(which / 3);
  return ::timegm(&t);
}

}  // namespace coppice::internal

// SPDX-License-Identifier: Apache-2.0
#include "app/http_date.hpp"

#include <time.h>

namespace coppice::internal {

namespace {

constexpr std::string_view days = "SunMonTueWedThuFriSat";
constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr std::string_view pattern = "Xxx, 00 Xxx 0000 00:00:00 GMT";

bool has_form(std::string_view text) noexcept {
  if (text.size() != pattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool fits = pattern[i] == '0'                        ? c >= '0' && c <= '9'
                      : pattern[i] == 'X' || pattern[i] == 'x' ? (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
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
  if (!has_form(text)) return std::nullopt;
  const std::size_t month = months.find(text.substr(8, 3));
  tm t{};
  t.tm_mday = number(text.substr(5, 2));
  t.tm_year = number(text.substr(12, 4)) - 1900;
  t.tm_hour = number(text.substr(17, 2));
  t.tm_min = number(text.substr(20, 2));
  t.tm_sec = number(text.substr(23, 2));
  if (month == std::string_view::npos || month % 3 != 0 || t.tm_mday < 1 || t.tm_mday > 31 || t.tm_hour > 23 ||
      t.tm_min > 59 || t.tm_sec > 60 || t.tm_year < 0)
    return std::nullopt;
  t.tm_mon = static_cast<int>(month / 3);
  return ::timegm(&t);
}

}  // namespace coppice::internal

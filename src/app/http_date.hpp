// SPDX-License-Identifier: Apache-2.0
//
// http_date: dates as HTTP writes them, `Sun, 06 Nov 1994 08:49:37 GMT`, whatever language the program speaks.
//
// Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coppice::internal {

inline constexpr std::size_t http_date_room = 40;
/// `second`: since 1970.   Returns: how many of the `http_date_room` characters at `out` it has written.
std::size_t write_http_date(char* out, std::int64_t second) noexcept;
void append_http_date(std::string& out, std::int64_t second);
/// Empty: it is none, or is written in one of the obsolete ways.
std::optional<std::int64_t> parse_http_date(std::string_view text) noexcept;

}  // namespace coppice::internal

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
/// The two obsolete forms are read, too (RFC 9110, 5.6.7).   Empty: it is none.
std::optional<std::int64_t> parse_http_date(std::string_view text) noexcept;

}  // namespace coppice::internal

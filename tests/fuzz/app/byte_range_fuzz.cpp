// SPDX-License-Identifier: Apache-2.0
//
// A Range line of a stranger, for a file whose size the first byte tells: whatever part it is, it lies within the file.
#include "app/byte_range.hpp"

#include "app/http_date.hpp"

#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"

using namespace coppice::internal;
using coppice::testing::require;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::uint64_t file = data[0] < 200 ? data[0] : ~std::uint64_t{0} >> (data[0] - 200);
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const byte_range r = parse_byte_range(text, file);
  if (r.kind == byte_range::part) require(r.first <= r.last && r.last < file, "a part lies within the file");
  if (r.kind == byte_range::unsatisfiable) require(text.find('=') != std::string::npos, "what is no range is ignored");
  if (const auto when = parse_http_date(text)) {
    std::string again;
    append_http_date(again, *when);
    require(parse_http_date(again) == when, "a date is read as it is written");
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A Range line of a stranger, for a file whose size the first byte tells: whatever parts it names, they lie within the file,
// and apart.
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
  const std::uint64_t gap = text.size();
  const byte_ranges r = parse_byte_ranges(text, file, gap);
  require((r.kind == byte_ranges::parts) == !r.all.empty() && r.all.size() <= most_ranges, "parts are few");
  std::uint64_t left_out = file;
  for (std::size_t i = 0; i < r.all.size(); ++i) {
    const byte_range& a = r.all[i];
    require(a.first <= a.last && a.last < file, "a part lies within the file");
    left_out -= a.size();
    for (std::size_t k = 0; k < i; ++k) {
      const byte_range& b = r.all[k];
      require(a.first > b.last ? a.first - b.last > gap : b.first > a.last && b.first - a.last > gap, "parts lie apart");
    }
  }
  if (r.all.size() > 1) require(left_out > gap, "parts save something");
  if (r.kind == byte_ranges::unsatisfiable) require(text.find('=') != std::string::npos, "what is no range is ignored");
  if (const auto when = parse_http_date(text)) {
    std::string again;
    append_http_date(again, *when);
    require(parse_http_date(again) == when, "a date is read as it is written");
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "app/ws_handover.hpp"

#include <charconv>

namespace coppice::internal {

static_assert(ws_restart_frame.size() == 2u + static_cast<unsigned char>(ws_restart_frame[1]));
static_assert(ws_stop_frame.size() == 2u + static_cast<unsigned char>(ws_stop_frame[1]));

std::string packed(const ws_handover& h) { return std::to_string(h.passed_on.size()) + ' ' + h.passed_on; }

std::unique_ptr<ws_handover> unpack_handover(std::string_view& bytes) {
  std::size_t size = 0;
  const char* const end = bytes.data() + bytes.size();
  const auto [stopped, error] = std::from_chars(bytes.data(), end, size);
  if (error != std::errc{} || stopped == end || *stopped != ' ' || size > ws_handover::most_passed_on) return nullptr;
  const std::string_view rest(stopped + 1, static_cast<std::size_t>(end - stopped - 1));
  if (rest.size() < size) return nullptr;
  bytes = rest.substr(size);
  return std::make_unique<ws_handover>(ws_handover{std::string(rest.substr(0, size))});
}

}  // namespace coppice::internal

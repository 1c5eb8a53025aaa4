// SPDX-License-Identifier: Apache-2.0
#include "app/body_reader.hpp"

#include <cerrno>

namespace coppice::internal {

namespace {

constexpr refusal gone{-1, {}};
constexpr std::int64_t second_in_ns = 1'000'000'000;
constexpr std::uint64_t slowest_rate = 1024;  // bytes a second

}  // namespace

refusal body_reader::parse() {
  read_buffer& b = *buffer_;
  if (b.is_empty()) return {};
  invited_ = true;  // it has begun to send without waiting
  std::size_t taken = 0;
  if (const refusal why = parser_.take_body(b.rest(), taken)) return why;
  b.begin += static_cast<std::uint32_t>(taken);
  return {};
}

refusal body_reader::read(bool in_pieces) {
  read_buffer& b = *buffer_;
  if (b.end == b.capacity || b.is_empty()) b.move_rest_to(start_);
  if (b.room().empty()) return {413, "a chunk's head is too large"};
  if (ended_) return {400, "the body ends too early"};
  if (!invited_) {
    invited_ = true;
    const std::int64_t limit = options_.write_timeout == infinity ? sync::never : options_.write_timeout.count();
    if (sock_.write_all("HTTP/1.1 100 Continue\r\n\r\n", limit).error != 0) return gone;
  }
  const std::int64_t left = time_left(in_pieces);
  const std::int64_t before = sync::now();
  const io_result got = left <= 0 ? io_result{0, ETIMEDOUT} : sock_.read_some(b.room(), left);
  waited_ += sync::now() - before;
  if (got.error == ETIMEDOUT) return {408, "the body took too long"};
  if (got.error != 0) return gone;
  ended_ = got.ended();
  received_ += got.bytes;
  b.end += static_cast<std::uint32_t>(got.bytes);
  return {};
}

std::int64_t body_reader::time_left(bool in_pieces) const noexcept {
  if (options_.body_timeout == infinity) return sync::never;
  const std::int64_t granted = in_pieces ? static_cast<std::int64_t>(received_ / slowest_rate) * second_in_ns : 0;
  return options_.body_timeout.count() + granted - waited_;
}

}  // namespace coppice::internal

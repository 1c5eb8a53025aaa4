// SPDX-License-Identifier: Apache-2.0
#include "app/ws_stream.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

namespace coppice::internal {

namespace {

constexpr std::int64_t longest_unrest = 1'000'000'000;  // ns of silence: reading and handling a message goes deep

std::int64_t ns(duration d) noexcept { return d == infinity ? sync::never : d.count(); }
std::int64_t after(std::int64_t when, std::int64_t wait) noexcept {
  return when == sync::never || wait == sync::never ? sync::never : when + wait;
}

boost::beast::error_code system_error(int number) { return {number, boost::system::system_category()}; }

/// Beast's streams have an executor. Nothing is ever run on this one.
boost::asio::io_context& unused_context() {
  static boost::asio::io_context& context =
      *new boost::asio::io_context(1);  // never destroyed: streams may outlive main
  return context;
}

}  // namespace

ws_stream::ws_stream(http_loan& loan, const websocket_options& o) noexcept
    : loan_(loan),
      half_idle_(o.idle_timeout == infinity ? sync::never : o.idle_timeout.count() / 2),
      write_limit_(ns(loan.core.options.write_timeout)),
      heard_(sync::now()) {}

ws_stream::executor_type ws_stream::get_executor() noexcept { return unused_context().get_executor(); }

ws_close_code ws_stream::goodbye() const noexcept {
  const http_core& core = loan_.core;
  if (core.phase.load(sync::seq_cst) == http_core::closing && core.taken_over.load(sync::seq_cst) == 0) return ws_close_code::going_away;
  if (core.taken_over.load(sync::seq_cst) != 0) return ws_close_code::service_restart;
  return loan_.is_cut_off() ? ws_close_code::service_restart : ws_close_code::none;
}

void ws_stream::begin_closing(std::int64_t limit) noexcept {
  closing_ = true;
  deadline_ = after(sync::now(), limit);
  mail_ = nullptr;
}

ws_stream::error_code ws_stream::wait_for_peer() {
  for (;;) {
    if (has_come_to_successor()) throw interruption{interruption::successor};
    if (!closing_ && goodbye() != ws_close_code::none) throw interruption{interruption::server_stops};
    const std::int64_t now = sync::now();
    const bool may = !closing_ && (may_ == nullptr || may_(context_));
    if (closing_ && now >= deadline_) return boost::asio::error::timed_out;
    const std::int64_t idle = after(pinged_ != sync::never ? pinged_ : heard_, half_idle_);
    if (now >= idle) {
      if (pinged_ != sync::never) return boost::asio::error::timed_out;
      pinged_ = now;
      const io_result put = loan_.sock.write_all(std::string_view("\x89\0", 2), write_limit_);
      if (put.error != 0) return system_error(put.error);
      continue;
    }
    const std::int64_t rest = is_resting_ ? sync::never : heard_ + std::min(longest_unrest, half_idle_ / 2);
    if (now >= rest) {
      give_back_deep_stack();
      is_resting_ = true;
      continue;
    }
    const std::int64_t until = std::min(rest, may || closing_ ? std::min(idle, deadline_) : idle);
    switch (loan_.sock.wait_readable(until == sync::never ? sync::never : until - now, may ? mail_ : nullptr)) {
      case transport::woken::readable:
        return {};
      case transport::woken::mail:
        throw interruption{interruption::mail};
      case transport::woken::time_up:
        if (may && sync::now() >= deadline_) throw interruption{interruption::time_up};
    }
  }
}

std::size_t frame_tracker::head_size() const noexcept {
  if (have_ < 2) return 2;
  const unsigned size = head_[1] & 0x7f;
  return 2u + (size == 126 ? 2u : size == 127 ? 8u : 0u) + ((head_[1] & 0x80) != 0 ? 4u : 0u);
}

void frame_tracker::feed(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    if (payload_left_ > 0) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, bytes.size()));
      payload_left_ -= n;
      bytes.remove_prefix(n);
      if (payload_left_ == 0) end_frame();
      continue;
    }
    head_[have_++] = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    if (have_ < head_size()) continue;
    in_control_ = (head_[0] & 0x08) != 0;
    is_final_ = (head_[0] & 0x80) != 0;
    payload_left_ = head_[1] & 0x7f;
    const unsigned long_size = payload_left_ == 126 ? 2 : payload_left_ == 127 ? 8 : 0;
    if (long_size > 0) payload_left_ = 0;
    for (unsigned i = 0; i < long_size; ++i) payload_left_ = payload_left_ << 8 | head_[2 + i];
    have_ = 0;
    if (payload_left_ == 0) end_frame();
  }
}

void frame_tracker::end_frame() noexcept {
  control_behind_ = in_control_;
  if (!in_control_) in_message_ = !is_final_;
  if (!in_control_ && is_final_) ++messages_;
}

std::size_t ws_stream::read(std::span<char> into, error_code& ec) {
  const std::size_t n = receive(into, ec);
  frames_.feed({into.data(), n});
  return n;
}

std::size_t ws_stream::receive(std::span<char> into, error_code& ec) {
  ec = {};
  if (is_leaving()) into = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), frames_.missing())));
  if (read_buffer* b = loan_.buffer; b != nullptr) {  // what came behind the request
    const std::string_view rest = b->rest();
    const std::size_t n = std::min(rest.size(), into.size());
    std::memcpy(into.data(), rest.data(), n);
    b->begin += static_cast<std::uint32_t>(n);
    if (b->is_empty()) drop_buffer(std::exchange(loan_.buffer, nullptr));
    if (n > 0) return n;
  }
  for (;;) {
    if (has_come_to_successor()) throw interruption{interruption::successor};
    if (!closing_ && goodbye() != ws_close_code::none) throw interruption{interruption::server_stops};
    const io_result got = loan_.sock.try_read(into);
    if (got.bytes > 0) {
      heard_ = sync::now();
      is_resting_ = false;
      pinged_ = sync::never;
      return got.bytes;
    }
    if (got.error == 0) {
      ec = boost::asio::error::eof;
      return 0;
    }
    ec = got.error == EAGAIN ? wait_for_peer() : system_error(got.error);
    if (ec) return 0;
  }
}

std::size_t ws_stream::write(std::span<const std::string_view> pieces, error_code& ec) {
  if (is_mute_) {
    ec = {};
    return std::accumulate(pieces.begin(), pieces.end(), std::size_t{0}, [](std::size_t n, std::string_view p) { return n + p.size(); });
  }
  const io_result put = loan_.sock.write_all(pieces, write_limit_);
  ec = put.error != 0 ? system_error(put.error) : error_code{};
  return put.bytes;
}

}  // namespace coppice::internal

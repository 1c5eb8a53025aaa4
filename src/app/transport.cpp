// SPDX-License-Identifier: Apache-2.0
#include "app/transport.hpp"

#include "app/read_buffer.hpp"
#include "process/mailbox.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <unistd.h>

namespace coppice::internal {

namespace {

constexpr std::int64_t own_records_time = 5'000'000'000;  // ns, for the client to take what TLS itself has to say
constexpr int reductions_a_record = 50;                   // of 16 KiB

/// A buffer for plain bytes on their way.
struct scratch {
  scratch() : buffer(make_buffer(read_buffer::large)) {}
  ~scratch() { drop_buffer(buffer); }
  scratch(const scratch&) = delete;
  std::span<char> room() noexcept { return buffer->room(); }
  std::string_view filled() noexcept { return buffer->rest(); }
  void add(std::size_t bytes) noexcept { buffer->end += static_cast<std::uint32_t>(bytes); }
  void clear() noexcept { buffer->begin = buffer->end = 0; }
  read_buffer* buffer;
};

}  // namespace

transport& transport::operator=(transport&& other) noexcept {
  if (this == &other) return *this;
  close();
  stream_socket::operator=(std::move(other));
  tls_ = std::move(other.tls_);
  last_was_full_ = std::exchange(other.last_was_full_, false);
  return *this;
}

void transport::close() noexcept {
  if (tls_ != nullptr) tls_->say_goodbye();
  tls_.reset();
  stream_socket::close();
}

void transport::end_writing() noexcept {
  if (tls_ != nullptr) tls_->say_goodbye();
  stream_socket::end_writing();
}

void transport::reset_at_close() noexcept {
  stream_socket::reset_at_close();
  if (tls_ != nullptr) tls_->keep_silent();  // a goodbye would say that all is well
}

// --- under TLS -------------------------------------------------------------------------------------------------------

void transport::begin_tls(std::shared_ptr<const tls_context> context) {
  tls_ = std::make_unique<tls_session>(std::move(context), fd());
}

bool transport::wait_for(const tls_step& step) {
  if (step.what == tls_step::wants_write) return wait_writable(own_records_time);
  if (step.what != tls_step::wants_turn) return false;
  notify();  // whichever way it waits
  poke_reader();
  return false;
}

transport::handshake transport::shake_hands() {
  for (;;) {
    const tls_step went = tls_->shake_hands();
    if (went.what == tls_step::done) return handshake::done;
    if (went.what == tls_step::broken && went.error == EPROTO) return tls_->met_text() ? handshake::met_text : handshake::failed;
    if (went.what == tls_step::broken || went.what == tls_step::ended) return handshake::gone;
    if (!wait_for(went)) return went.what == tls_step::wants_write ? handshake::gone : handshake::waits;
  }
}

io_result transport::read_secure(std::span<char> into) {
  for (;;) {
    const tls_step went = tls_->read(into);
    if (went.what == tls_step::done) return {went.bytes, 0};
    if (went.what == tls_step::ended) return {0, 0};
    if (went.what == tls_step::broken) return {0, went.error};
    if (!wait_for(went)) return {0, went.what == tls_step::wants_write ? ETIMEDOUT : EAGAIN};
  }
}

io_result transport::write_secure(std::string_view bytes, std::int64_t timeout) {
  io_result all;
  while (all.bytes < bytes.size()) {
    const tls_step went = tls_->write(bytes.substr(all.bytes));
    all.bytes += went.bytes;
    if (went.what == tls_step::done) continue;
    if (went.what != tls_step::wants_write) return {all.bytes, went.error != 0 ? went.error : EPIPE};
    if (timeout == 0) return {all.bytes, EAGAIN};
    if (!wait_writable(timeout)) return {all.bytes, ETIMEDOUT};
  }
  return all;
}

// --- both ------------------------------------------------------------------------------------------------------------

io_result transport::try_read(std::span<char> into) {
  if (tls_ != nullptr) return read_secure(into);
  const io_result got = stream_socket::try_read(into);
  last_was_full_ = got.bytes == into.size();
  return got;
}

io_result transport::try_write(std::string_view bytes) {
  return tls_ == nullptr ? stream_socket::try_write(bytes) : write_secure(bytes, 0);
}

io_result transport::write_all(std::string_view bytes, std::int64_t timeout) {
  return tls_ == nullptr ? stream_socket::write_all(bytes, timeout) : write_secure(bytes, timeout);
}

io_result transport::read_some(std::span<char> into, std::int64_t timeout) {
  for (;;) {
    const io_result got = try_read(into);
    if (got.error != EAGAIN) return got;
    if (wait_readable(timeout) == woken::time_up) return {0, ETIMEDOUT};
  }
}

transport::woken transport::wait_readable(std::int64_t timeout, const mail_mark* seen) {
  const bool may_have_more_now = tls_ == nullptr ? std::exchange(last_was_full_, false) : tls_->may_have_more();
  // Who read less than there was room for may wait without having met the end, whose event came with the bytes and comes once.
  return may_have_more_now || hung_up() ? woken::readable : stream_socket::wait_readable(timeout, seen);
}

/// Small pieces share a record.
io_result transport::write_all(std::span<const std::string_view> pieces, std::int64_t timeout) {
  if (tls_ == nullptr) return stream_socket::write_all(pieces, timeout);
  scratch together;
  io_result all;
  const auto send = [&](std::string_view bytes) {
    const io_result put = write_secure(bytes, timeout);
    all = {all.bytes + put.bytes, put.error};
    return put.error == 0;
  };
  for (std::string_view piece : pieces)
    while (!piece.empty()) {
      const std::size_t n = std::min(piece.size(), together.room().size());
      std::memcpy(together.room().data(), piece.data(), n);
      together.add(n);
      piece.remove_prefix(n);
      if (!together.room().empty()) continue;
      if (!send(together.filled())) return all;
      together.clear();
    }
  send(together.filled());
  return all;
}

io_result transport::send_file(int file, std::uint64_t first, std::uint64_t bytes, std::int64_t timeout) {
  if (tls_ == nullptr) return stream_socket::send_file(file, first, bytes, timeout);
  scratch piece;
  io_result all;
  while (all.bytes < bytes) {
    const std::span<char> room = piece.room();
    const std::size_t most = std::min<std::uint64_t>(room.size(), bytes - all.bytes);
    const ssize_t n = ::pread(file, room.data(), most, static_cast<off_t>(first + all.bytes));
    if (n == 0) return all;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return {all.bytes, errno};
    const io_result put = write_secure({room.data(), static_cast<std::size_t>(n)}, timeout);
    all.bytes += put.bytes;
    if (put.error != 0) return {all.bytes, put.error};
    here().budget -= reductions_a_record;
    yield_if_spent();
  }
  return all;
}

}  // namespace coppice::internal

// SPDX-License-Identifier: Apache-2.0
//
// transport: a client's socket, plain or under TLS: what connections, loans, senders and WebSockets read and write. What it has in common
// with a stream_socket is that one's; a plain one costs a branch more than that.
//
// A secure one begins plain: `begin_tls`, then `shake_hands` until that is done.
//
// Thread: as stream_socket, but under TLS one at a time for both directions.
#pragma once

#include "app/tls_session.hpp"
#include "process/stream_socket.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace coppice::internal {

class transport : private stream_socket {
 public:
  transport() noexcept = default;
  explicit transport(stream_socket&& s) noexcept : stream_socket(std::move(s)) {}
  transport(transport&&) noexcept = default;
  transport& operator=(transport&& other) noexcept;
  ~transport() { close(); }

  using stream_socket::clear_notice;
  using stream_socket::fd;
  using stream_socket::hung_up;
  using stream_socket::is_gone;
  using stream_socket::may_have_hung_up;
  using stream_socket::notify;
  using stream_socket::poke_reader;
  using stream_socket::release;
  using stream_socket::has_early;
  using stream_socket::has_posted;
  using stream_socket::set_deadline;
  using stream_socket::write_posted;
  using woken = stream_socket::woken;

  bool is_secure() const noexcept { return tls_ != nullptr; }
  /// Throws: std::bad_alloc.
  void begin_tls(std::shared_ptr<const tls_context> context);
  enum class handshake : std::uint8_t { done, waits, failed, met_text, gone };
  /// The client speaks no TLS: so do we.
  void speak_plainly() noexcept { tls_.reset(); }
  /// As far as it goes without the client. Failed: the client has been told. Met text: it has not, and does not speak TLS.
  /// Throws: detail::unwind.
  handshake shake_hands();

  /// As stream_socket.   Throws: detail::unwind.
  io_result try_read(std::span<char> into);
  io_result try_write(std::string_view bytes);
  io_result read_some(std::span<char> into, std::int64_t timeout);
  io_result write_all(std::string_view bytes, std::int64_t timeout);
  io_result write_all(std::span<const std::string_view> pieces, std::int64_t timeout);
  io_result send_file(int fd, std::uint64_t first, std::uint64_t bytes, std::int64_t timeout);
  woken wait_readable(std::int64_t timeout, const mail_mark* seen = nullptr);

  /// Whether a read may bring more at once.
  bool may_have_more() const noexcept {
    return may_have_hung_up() || (tls_ == nullptr ? last_was_full_ : tls_->may_have_more());
  }
  /// Bytes that nobody wants to understand.
  io_result read_to_drop(std::span<char> into) noexcept { return stream_socket::try_read(into); }

  /// Writes `bytes` soon, as stream_socket::post. Never under TLS.
  bool post(std::string_view bytes) noexcept { return tls_ == nullptr && stream_socket::post(bytes); }
  /// The connection goes away until it is told to look, as stream_socket::invite. Under TLS only OpenSSL reads.
  void invite() noexcept {
    if (tls_ == nullptr) stream_socket::invite();
  }

  /// No more will be written, and the client is told so.
  void end_writing() noexcept;
  void reset_at_close() noexcept;
  void close() noexcept;

 private:
  io_result read_secure(std::span<char> into);
  io_result write_secure(std::string_view bytes, std::int64_t timeout);
  /// After a step that could not go on: whether to try again.   Throws: detail::unwind.
  bool wait_for(const tls_step& step);

  std::unique_ptr<tls_session> tls_;
  bool last_was_full_ = false;  // of a plain one: the last read filled what it was given
};

}  // namespace coppice::internal

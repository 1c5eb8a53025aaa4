// SPDX-License-Identifier: Apache-2.0
//
// ws_stream: the lent socket as the stream that Beast's WebSocket stands on. A read that finds nothing suspends the fiber; it is
// cut short by an exception, `interruption`, when something else is due: a message in the mailbox, a deadline, the server's stop, a
// successor. An
// error would end Beast's stream; an exception leaves it as it was, to be read on later. There are two places where Beast 1.81 would
// not go on as if nothing had happened: inside of the head of a frame that continues a message (and in a control frame there), and in
// the middle of a compressed message. A client that stays there is given up like any that says nothing.
//
// After a second of silence a handler's stack gives back the pages below the place where it waits.
//
// When another handler is to go on, no more is read than up to the end of a frame, so that nothing of the client's is left in Beast.
//
// Clients that say nothing are pinged after half of the idle time, and given up after the other half.
//
// Thread: the borrower of the loan.
#pragma once

#include <coppice/app/websocket.hpp>

#include "app/http_loan.hpp"
#include "process/mailbox.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/teardown.hpp>

#include <cstdint>
#include <span>
#include <string_view>

namespace coppice::internal {

/// Why a read did not wait for the client any longer.
struct interruption {
  enum kind : std::uint8_t { mail, time_up, server_stops, successor } why;
};

/// Where in a client's frames the last byte stood.
class frame_tracker {
 public:
  void feed(std::string_view bytes) noexcept;
  /// At the end of a frame, or in the payload of one that is no control frame.
  bool is_at_rest() const noexcept { return have_ == 0 && !(in_control_ && payload_left_ > 0); }
  /// Behind the last frame of a message, or a control frame there.
  bool is_between_messages() const noexcept { return have_ == 0 && payload_left_ == 0 && !in_message_; }
  /// How many bytes are missing, at least, to the end of the frame or of its head.
  std::uint64_t missing() const noexcept { return payload_left_ > 0 ? payload_left_ : head_size() - have_; }
  /// Whether the last byte was that of the `n`th message: who has read so many has read everything.
  bool ends_with_message(std::uint64_t n) const noexcept {
    return have_ == 0 && payload_left_ == 0 && messages_ == n && !control_behind_;
  }

 private:
  std::size_t head_size() const noexcept;
  void end_frame() noexcept;
  unsigned char head_[14];
  std::size_t have_ = 0;  // bytes of a head that is not complete
  std::uint64_t payload_left_ = 0;
  std::uint64_t messages_ = 0;  // complete ones
  bool in_control_ = false;
  bool in_message_ = false;  // one has begun whose last frame is still to come
  bool is_final_ = false;
  bool control_behind_ = false;  // a control frame came behind the last message
};

class ws_stream {
 public:
  using error_code = boost::beast::error_code;
  using executor_type = boost::asio::io_context::executor_type;

  ws_stream(http_loan& loan, const websocket_options& o) noexcept;
  ws_stream(const ws_stream&) = delete;

  /// What may cut reads short from now on. `mail`: the mailbox as it was looked through; null: it does not matter.
  void allow(std::int64_t deadline, const mail_mark* mail) noexcept {
    deadline_ = deadline;
    mail_ = mail;
  }
  /// Reads are cut short only where `may(context)` says so.
  void ask_before_interrupting(bool (*may)(void*), void* context) noexcept {
    may_ = may;
    context_ = context;
  }
  const frame_tracker& frames() const noexcept { return frames_; }
  /// From now on reads end with an error after `limit` ns, and are cut short by nothing.
  void begin_closing(std::int64_t limit) noexcept;

  /// Waits until there may be something to read. An error: the client is given up.   Throws: interruption.
  error_code wait_for_peer();
  /// Nothing is written, though it seems so: the client has had it long ago.
  void mute(bool on) noexcept { is_mute_ = on; }
  /// Whether another handler is to go on from here. For who has read all that was given.
  bool has_come_to_successor() const noexcept { return is_leaving() && loan_.buffer == nullptr && frames_.is_between_messages(); }
  /// Why the server wants the connection to end; `none`: it does not.
  ws_close_code goodbye() const noexcept;
  http_loan& loan() noexcept { return loan_; }

  // --- what Beast asks for
  executor_type get_executor() noexcept;
  template <class Buffers>
  std::size_t read_some(const Buffers& into, error_code& ec) {
    for (auto i = boost::asio::buffer_sequence_begin(into); i != boost::asio::buffer_sequence_end(into); ++i) {
      const boost::asio::mutable_buffer b = *i;
      if (b.size() > 0) return read(std::span(static_cast<char*>(b.data()), b.size()), ec);
    }
    ec = {};
    return 0;
  }
  template <class Buffers>
  std::size_t read_some(const Buffers& into) {
    return or_throw([&](error_code& ec) { return read_some(into, ec); });
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& from, error_code& ec) {
    std::string_view pieces[4];
    std::size_t count = 0;
    for (auto i = boost::asio::buffer_sequence_begin(from); i != boost::asio::buffer_sequence_end(from) && count < 4;
         ++i) {
      const boost::asio::const_buffer b = *i;
      if (b.size() > 0) pieces[count++] = {static_cast<const char*>(b.data()), b.size()};
    }
    return write({pieces, count}, ec);
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& from) {
    return or_throw([&](error_code& ec) { return write_some(from, ec); });
  }

 private:
  bool is_leaving() const noexcept { return !closing_ && loan_.may_move.load(sync::relaxed) != 0 && loan_.has_successor(); }
  std::size_t read(std::span<char> into, error_code& ec);
  std::size_t receive(std::span<char> into, error_code& ec);
  std::size_t write(std::span<const std::string_view> pieces, error_code& ec);
  template <class F>
  static std::size_t or_throw(F&& f) {
    error_code ec;
    const std::size_t n = f(ec);
    if (ec) throw boost::system::system_error(ec);
    return n;
  }

  http_loan& loan_;
  const std::int64_t half_idle_;  // ns; sync::never
  const std::int64_t write_limit_;
  std::int64_t heard_;  // when something last came, or the wait began
  std::int64_t pinged_ = sync::never;
  std::int64_t deadline_ = sync::never;
  const mail_mark* mail_ = nullptr;
  bool (*may_)(void*) = nullptr;
  void* context_ = nullptr;
  frame_tracker frames_;
  bool closing_ = false;
  bool is_mute_ = false;
  bool is_resting_ = false;  // its stack has the pages only that it waits on
};

/// The connection's own end does it, after the client's last bytes were read.
inline void teardown(boost::beast::role_type, ws_stream&, boost::beast::error_code& ec) { ec = {}; }

}  // namespace coppice::internal

// SPDX-License-Identifier: Apache-2.0
//
// stream_socket: a socket whose blocking operations suspend the calling process, not its worker. A plain thread may use it, too:
// it sleeps. The socket of a process that is killed while it waits here closes as its stack unwinds.
//
// A process that wants to wait without a stack makes itself the owner: then `io_ready` arrives as a message whenever the
// socket may be readable, or its deadline has come; at most one is under way. It calls `clear_notice` before it looks.
//
// Thread: one at a time on each direction; everything but the waiting belongs to the socket's owner.
#pragma once

#include <coppice/process/pid.hpp>

#include "process/slot.hpp"
#include "runtime/poller.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace coppice::internal {

struct system;
struct mail_mark;

/// The message that tells a socket's owner to look at it.
struct io_ready {};

/// The other end of a TCP connection, in this machine's byte order.
struct socket_peer {
  std::uint32_t address = 0;
  std::uint16_t port = 0;
};

/// What an operation brought. `error` is an errno value; 0 with no bytes: the other side has ended.
struct io_result {
  std::size_t bytes = 0;
  int error = 0;
  bool ended() const noexcept { return bytes == 0 && error == 0; }
};

class stream_socket {
 public:
  stream_socket() noexcept = default;
  /// Takes the non-blocking `fd`. `owner`: whom to send `io_ready`, nobody if empty.
  /// Throws: std::system_error when the system refuses to watch it; `fd` is closed then.
  stream_socket(system& in, int fd, pid owner = {});
  stream_socket(stream_socket&& other) noexcept : pd_(other.pd_) { other.pd_ = nullptr; }
  stream_socket& operator=(stream_socket&& other) noexcept;
  ~stream_socket() { close(); }

  /// A listening TCP socket.   Throws: std::system_error.
  static stream_socket listen(system& in, const char* address, std::uint16_t port, int backlog, pid owner = {});
  /// Connects to `address`:`port`, waiting at most `timeout` ns.   Throws: std::system_error.
  static stream_socket connect(system& in, const char* address, std::uint16_t port, std::int64_t timeout);

  explicit operator bool() const noexcept { return pd_ != nullptr; }
  int fd() const noexcept { return pd_->fd; }
  std::uint16_t local_port() const;
  /// Zero when there is none.
  static socket_peer peer_of(int fd) noexcept;
  void close() noexcept;
  /// Ends the watching.   Returns: the descriptor, open; it is the caller's.
  int release() noexcept;
  /// No more will be written; the other side reads the end.
  void end_writing() noexcept;
  /// Closing will throw away what is under way: the other side reads an error instead of the end.
  void reset_at_close() noexcept;

  /// What is there, or EAGAIN.
  io_result try_read(std::span<char> into) noexcept;
  io_result try_write(std::string_view bytes) noexcept;
  /// Writes them soon, together with what other sockets have to write. If they cannot be written then, the rest is kept and the owner told; whatever is
  /// written next goes behind it.   Returns: false when nothing was done.
  bool post(std::string_view bytes) noexcept { return pd_->of->post(*pd_, bytes); }
  /// Whether something that was posted may still have to be written.
  bool has_posted() const noexcept { return pd_->posted.load(sync::acquire) != nullptr || !pd_->unsent.is_empty(); }
  /// Writes it, unless nothing could be written for `timeout` ns.
  io_result write_posted(std::int64_t timeout);
  /// The descriptor of the next connection, non-blocking and close-on-exec, or -1 with errno set.
  int try_accept(socket_peer& from) noexcept;

  /// Waits for something to read, at most `timeout` ns (sync::never: for ever).
  /// Returns: ETIMEDOUT in `error` when the time is up.   Throws: detail::unwind when the process has to end.
  io_result read_some(std::span<char> into, std::int64_t timeout);
  /// What ended a wait for something to read.
  enum class woken : std::uint8_t { readable, mail, time_up };
  /// Waits until there may be something to read; where `seen` is given, or until the mailbox of the calling process is no more as
  /// it was then.   Throws: detail::unwind.
  woken wait_readable(std::int64_t timeout, const mail_mark* seen = nullptr);
  /// Lets whoever waits for something to read try. Any thread, as long as the socket is open.
  void poke_reader() noexcept { pd_->of->poke_reader(*pd_); }
  /// Writes all of it, unless nothing could be written for `timeout` ns.
  io_result write_all(std::string_view bytes, std::int64_t timeout);
  /// The same of up to four pieces, which need not lie together.
  io_result write_all(std::span<const std::string_view> pieces, std::int64_t timeout);

  /// Waits, after EAGAIN, until a write may bring more. False: `timeout` ns have passed.   Throws: detail::unwind.
  bool wait_writable(std::int64_t timeout);
  /// Writes `bytes` bytes of the file `fd` from `first` on, in the same way. Fewer without an error: the file is shorter.
  io_result send_file(int fd, std::uint64_t first, std::uint64_t bytes, std::int64_t timeout);

  /// True when the other side may have ended or failed: a short read does not mean that the socket is empty. A hint: an event of the
  /// descriptor's former tenant sets it, too.
  bool may_have_hung_up() const noexcept { return pd_->hung_up.load(sync::acquire) != 0; }
  /// True when it has. A system call, if it may have.
  bool hung_up() const noexcept;
  /// True when the connection is over in both directions: nothing that is written arrives.
  bool is_gone() const noexcept;
  void clear_notice() noexcept { poller::clear_notice(*pd_); }
  /// The owner goes away until it is told to look: what arrives meanwhile may be read for it, and is what try_read brings first.
  void invite() noexcept { poller::invite(*pd_); }
  /// Whether such bytes wait for try_read.
  bool has_early() const noexcept { return pd_->early != nullptr; }
  void notify() noexcept { pd_->of->notify(*pd_); }
  void set_deadline(std::int64_t deadline) noexcept { pd_->of->set_deadline(*pd_, deadline); }

 private:
  explicit stream_socket(poll_descriptor& pd) noexcept : pd_(&pd) {}
  short now(short events) const noexcept;
  io_result take_early(std::span<char> into) noexcept;
  io_result read_now(std::span<char> into) noexcept;
  io_result write_now(std::string_view bytes) noexcept;
  poll_descriptor* pd_ = nullptr;
};

/// The poller of a runtime, made at first use.   Throws: std::system_error.
poller& poller_of(system& in);

}  // namespace coppice::internal

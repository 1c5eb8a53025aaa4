// SPDX-License-Identifier: Apache-2.0
//
// packet_socket: a Unix socket that carries messages, each with a descriptor if it likes, between OS processes of one user. Its waits
// suspend the calling process, as those of a stream_socket.
//
// Who is at the other end is asked of the kernel (SO_PEERCRED): nobody but the same user gets through. The socket lies in a directory
// that is the user's own (0700).
//
// Thread: one at a time.
#pragma once

#include "process/owned_fd.hpp"
#include "process/stream_socket.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace coppice::internal {

/// What arrived. Neither bytes nor an error: the other side has ended.
struct packet {
  std::string bytes{};
  owned_fd with{};
  int error = 0;
};

class packet_socket {
 public:
  static constexpr std::size_t largest = 20 * 1024;  // bytes of a message

  packet_socket() noexcept = default;
  /// Listens at `path`, in the place of whatever socket lies there. The directory is made if it is missing.
  /// Throws: std::system_error; EPERM: the directory is not the user's own.
  static packet_socket listen(system& in, const std::string& path);
  /// Throws: std::system_error; ENOENT, ECONNREFUSED: nobody listens there; EPERM: somebody else does.
  static packet_socket connect(system& in, const std::string& path);

  explicit operator bool() const noexcept { return static_cast<bool>(sock_); }
  /// The other side has ended.
  bool hung_up() const noexcept { return sock_.hung_up(); }
  /// The next one of the same user who connects.   Throws: detail::unwind.
  packet_socket accept(system& in);
  /// Returns: 0 or an errno value.
  int send(std::string_view bytes, int fd, std::int64_t timeout);
  packet receive(std::int64_t timeout);

 private:
  explicit packet_socket(stream_socket s) noexcept : sock_(std::move(s)) {}
  stream_socket sock_;
};

}  // namespace coppice::internal

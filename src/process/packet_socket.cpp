// SPDX-License-Identifier: Apache-2.0
#include "process/packet_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

namespace coppice::internal {

namespace {

[[noreturn]] void fail(int error, const std::string& what) { throw std::system_error(error, std::generic_category(), what); }

sockaddr_un address_of(const std::string& path) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof a.sun_path) fail(ENAMETOOLONG, path);
  std::copy(path.begin(), path.end(), a.sun_path);
  return a;
}

owned_fd make_socket() {
  owned_fd s(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s) fail(errno, "socket");
  return s;
}

/// Nobody but the user may look into it, or the socket could be another's.
void ensure_own_directory(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) fail(errno, directory);
  struct stat is {};
  if (::lstat(directory.c_str(), &is) != 0) fail(errno, directory);
  if (!S_ISDIR(is.st_mode) || is.st_uid != ::geteuid() || (is.st_mode & 077) != 0)
    fail(EPERM, directory + " must be a directory that only its owner, you, may enter (0700)");
}

bool is_same_user(int fd) noexcept {
  ucred who{};
  socklen_t size = sizeof who;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.uid == ::geteuid();
}

union control_room {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int) * 4)];
};

/// The one descriptor of a message; none if it has none, or several.
owned_fd descriptor_of(msghdr& m) noexcept {
  owned_fd found;
  bool several = false;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      several = several || found;
      found = owned_fd(fd);
    }
  }
  return several ? owned_fd() : std::move(found);
}

constexpr std::int64_t out_of_descriptors = 1'000'000'000;  // ns, then it is tried again

// The system calls stand apart from the waits: where errno lies is another place after each.

[[gnu::noinline]] int try_accept(int listener, int& error) noexcept {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    error = fd < 0 ? errno : 0;
    if (error != EINTR && error != ECONNABORTED) return fd;
  }
}

[[gnu::noinline]] int try_send(int to, std::string_view bytes, int fd) noexcept {
  iovec data{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr m{};
  m.msg_iov = &data;
  m.msg_iovlen = 1;
  control_room room{};
  if (fd >= 0) {
    m.msg_control = room.bytes;
    m.msg_controllen = CMSG_SPACE(sizeof fd);
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  for (;;) {
    if (::sendmsg(to, &m, MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

[[gnu::noinline]] void try_receive(int from, packet& got) {
  got.bytes.resize(packet_socket::largest);
  iovec data{.iov_base = got.bytes.data(), .iov_len = got.bytes.size()};
  control_room room{};
  msghdr m{};
  m.msg_iov = &data;
  m.msg_iovlen = 1;
  m.msg_control = room.bytes;
  m.msg_controllen = sizeof room.bytes;
  ssize_t n = -1;
  do n = ::recvmsg(from, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  got.error = n < 0 ? errno : 0;
  got.bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  if (n < 0) return;
  got.with = descriptor_of(m);
  if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) got.error = EMSGSIZE;
}

}  // namespace

packet_socket packet_socket::listen(system& in, const std::string& path) {
  ensure_own_directory(path);
  const std::string fresh = path + ".new";
  const sockaddr_un a = address_of(fresh);
  owned_fd s = make_socket();
  ::unlink(fresh.c_str());
  if (::bind(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) fail(errno, fresh);
  // In one step: whoever connects meets the former one or this one.
  if (::listen(s.get(), 16) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) {
    const int why = errno;
    ::unlink(fresh.c_str());
    fail(why, path);
  }
  return packet_socket(stream_socket(in, s.release()));
}

packet_socket packet_socket::connect(system& in, const std::string& path) {
  const sockaddr_un a = address_of(path);
  owned_fd s = make_socket();
  if (::connect(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) fail(errno, path);
  if (!is_same_user(s.get())) fail(EPERM, path + ": another user listens there");
  return packet_socket(stream_socket(in, s.release()));
}

packet_socket packet_socket::accept(system& in) {
  for (;;) {
    int error = 0;
    owned_fd s(try_accept(sock_.fd(), error));
    if (s && is_same_user(s.get())) return packet_socket(stream_socket(in, s.release()));
    if (error != 0) sock_.wait_readable(error == EAGAIN ? sync::never : out_of_descriptors);
  }
}

int packet_socket::send(std::string_view bytes, int fd, std::int64_t timeout) {
  for (;;) {
    const int error = try_send(sock_.fd(), bytes, fd);
    // ETOOMANYREFS: too many descriptors are under way; they become fewer as the other side takes them.
    if (error == ETOOMANYREFS) sock_.wait_writable(1'000'000);
    else if (error != EAGAIN) return error;
    else if (!sock_.wait_writable(timeout)) return ETIMEDOUT;
  }
}

packet packet_socket::receive(std::int64_t timeout) {
  packet got;
  for (;;) {
    try_receive(sock_.fd(), got);
    if (got.error != EAGAIN) return got;
    got.error = 0;
    if (sock_.wait_readable(timeout) == stream_socket::woken::time_up) return packet{.error = ETIMEDOUT};
  }
}

}  // namespace coppice::internal

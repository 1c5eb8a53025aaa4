// SPDX-License-Identifier: Apache-2.0
#include "app/file_root.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace coppice::internal {

namespace {

// Not blocking: a named pipe in the folder must not hold up whoever asks for it.
constexpr int for_reading = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

}  // namespace

file_root::file_root(const std::string& path) : root_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (!root_) throw std::system_error(errno, std::generic_category(), "the folder " + path);
}

owned_fd file_root::open(const std::string& path) const noexcept {
  open_how how{};
  how.flags = for_reading;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root_.get(), name, &how, sizeof how);
    if (fd >= 0) return owned_fd(static_cast<int>(fd));
    if (errno == EINTR || errno == EAGAIN) continue;  // EAGAIN: something was renamed meanwhile
    if (errno == ENOSYS || errno == EPERM) return open_by_steps(path);
    return owned_fd();
  }
}

owned_fd file_root::open_by_steps(std::string_view path) const noexcept {
  owned_fd at(::openat(root_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  while (at) {
    while (path.starts_with('/')) path.remove_prefix(1);
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(part.size());
    const bool last = path.find_first_not_of('/') == std::string_view::npos;
    if (part == "..") return errno = EXDEV, owned_fd();
    char name[256];
    if (part.size() >= sizeof name) return errno = ENAMETOOLONG, owned_fd();
    name[part.copy(name, sizeof name - 1)] = '\0';
    const char* step = part.empty() ? "." : name;
    if (last) return owned_fd(::openat(at.get(), step, for_reading | O_NOFOLLOW));
    at = owned_fd(::openat(at.get(), step, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  return owned_fd();
}

}  // namespace coppice::internal

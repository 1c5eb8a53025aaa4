// SPDX-License-Identifier: Apache-2.0
//
// server_ref: the address of a server of a known class; a pid that knows what may be asked of it. Copy it freely.
#pragma once

#include <coppice/process/name.hpp>
#include <coppice/process/pid.hpp>

#include <cstddef>
#include <string>

namespace coppice {

/// The messages a class takes from whoever knows only its pid, or only this list:
/// `using protocol = messages<lease, give_back>;` in the server's class; `server_ref<messages<lease>>` at a caller that
/// does not see the class. Overloads cannot be enumerated in C++, so the list must be written.
template <class... M>
struct messages {};

/// Names one server of class `Server` (or of any class with that protocol).
/// Thread: any.   Cost: 16 bytes, as a pid.   Spec: GS-1, PR-74.
template <class Server>
class server_ref {
 public:
  using server_type = Server;
  constexpr server_ref() noexcept = default;
  constexpr explicit server_ref(pid who) noexcept : who_(who) {}

  constexpr pid id() const noexcept { return who_; }
  constexpr operator pid() const noexcept { return who_; }
  constexpr explicit operator bool() const noexcept { return bool(who_); }
  friend constexpr bool operator==(server_ref a, server_ref b) noexcept { return a.who_ == b.who_; }
  friend constexpr auto operator<=>(server_ref a, server_ref b) noexcept { return a.who_ <=> b.who_; }

 private:
  pid who_{};
};

template <class Server>
std::string to_text(server_ref<Server> s) { return to_text(s.id()); }

/// Says that `who` is a server of class `Server`. What is asked of it is refused with bad_request if that is not true.
template <class Server>
constexpr server_ref<Server> server_cast(pid who) noexcept { return server_ref<Server>(who); }

namespace detail {
pid self_pid();
}

/// The running server, inside its own callbacks: `self(this)`.
template <class Server>
server_ref<Server> self(const Server*) { return server_ref<Server>(detail::self_pid()); }

}  // namespace coppice

template <class Server>
struct std::hash<coppice::server_ref<Server>> {
  std::size_t operator()(coppice::server_ref<Server> s) const noexcept { return std::hash<coppice::pid>{}(s.id()); }
};

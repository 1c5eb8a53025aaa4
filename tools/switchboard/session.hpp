// SPDX-License-Identifier: Apache-2.0
//
// session: a caller who says who he is (`X-Session: whatever text`). A process named by that text in a registry: nothing of the
// text stays when the session is gone. It ends by itself when nobody has used it for long; ch3 then frees what it holds.
#pragma once

#include <coppice/otp/dynamic_supervisor.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/registry.hpp>

#include <stdexcept>
#include <string>

#include "ledger.hpp"
#include "settings.hpp"

namespace switchboard {

inline constexpr std::size_t longest_session = 1024;  // bytes of its name

/// Sessions by their names. The program's: it outlives every process.
inline coppice::registry<std::string>& session_names() {
  static coppice::registry<std::string> names{coppice::supervised, {.name = "session_names"}};
  return names;
}

// [session]
struct session {
  struct use { using reply = coppice::duration; };     // how long it now lives unless it is used again
  struct leave {};

  std::string name;
  coppice::duration idle;

  auto init(std::string n, coppice::duration i) {
    name = std::move(n);
    idle = i;
    coppice::call(ledger::server, ledger::open{coppice::self(), name});
    return coppice::ok(idle);
  }
  auto handle_call(use) { return coppice::reply(idle, idle); }
  auto handle_cast(leave) { return coppice::stop(); }
  auto handle_info(coppice::timeout) { return coppice::stop(); }
  void handle_cast(break_down) { throw std::runtime_error("crashed on purpose"); }
};
// [/session]

/// The session of that name, used; started if there is none.   Fails: supervisor_error: max_children, and what a start may.
inline coppice::result<coppice::pid, coppice::supervisor_error> session_of(const std::string& name, coppice::duration idle) {
  const coppice::dynamic_supervisor sessions(coppice::name_view("sessions"));
  // [find]
  for (;;) {
    if (const coppice::pid known = session_names().whereis(name))
      if (coppice::try_call(coppice::server_cast<session>(known), session::use{})) return known;
    auto made = sessions.try_start_child<session>({.name = coppice::via(session_names(), name), .restart = coppice::temporary}, name, idle);
    if (made) return made->id();
    if (!made.error().holder()) return coppice::error(std::move(made.error()));
  }                                                    // somebody else was quicker: it is there
  // [/find]
}

}  // namespace switchboard

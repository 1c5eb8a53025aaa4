// SPDX-License-Identifier: Apache-2.0
//
// take_over: how a server passes its listener and its connections to a server in another OS process, which was started to take its
// place. They speak over a packet_socket, whose path both were told:
//
//     new: "coppice take-over 2"         old: "listener" with the listening socket, "listener tls", or "refused …"
//     new: "ready", when it accepts      old: "connection …" with a socket and what was read of the next request; for each one,
//                                             or "websocket …" with what goes with one of those (ws_handover.hpp)
//                                        old: "done"
//
// Until "ready" the old one has given up nothing: if the new one ends, or takes too long, all stays as it was. If it ends later, the
// connections that have not gone over yet stay with the old one, which listens again.
//
// What a connection has agreed upon under TLS cannot be passed on: one that has begun to speak is told with its next answer that it
// ends, and stays until then, or until the limit.
#pragma once

#include "app/http_core.hpp"
#include "process/packet_socket.hpp"

#include <optional>
#include <string>

namespace coppice::internal {

/// What a predecessor gives.
struct inheritance {
  packet_socket from{};
  owned_fd listener{};
};

/// Asks the server that stands at `core.options.take_over` for its listener. Nothing: nobody stands there.
/// Throws: std::system_error; http_server_error when it refuses, or speaks TLS and we do not, or the other way round.
std::optional<inheritance> inherit(const http_core& core);

/// Says that `core` accepts, and serves the connections that come, in a process of its own.   Throws: exit_error.
void take_connections(http_core& core, packet_socket from);

/// Stands at `core.options.take_over` for a successor, who will get `listener`, in a process of its own.
/// Throws: std::system_error, exit_error.
void open_door(http_core& core, owned_fd listener);

}  // namespace coppice::internal

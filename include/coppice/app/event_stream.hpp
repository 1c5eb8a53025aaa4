// SPDX-License-Identifier: Apache-2.0
//
// event_stream: server-sent events (text/event-stream), what a browser's EventSource reads.
//
//     get("/events", [] {
//       return stream_events([](event_stream& out) {
//         subscribe(self());
//         for (;;)
//           receive([&](const allocated& a) { out.send({.event = "allocated", .data = std::to_string(a.channel)}); },
//                   after(15s, [&] { out.comment("still here"); }));
//       });
//     })
//
// The function's process is ended, quietly, when the client closes the connection or the server stops; a browser connects anew.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/app/response_writer.hpp>
#include <coppice/base/function.hpp>
#include <coppice/base/time.hpp>

#include <optional>
#include <string_view>

namespace coppice {

/// One event. Data may have several lines; the other texts may not.
struct server_event {
  std::string_view event{};  ///< its type; empty: `message`
  std::string_view data{};
  std::optional<std::string_view> id{};  ///< what a client that connects again sends as Last-Event-ID
  std::optional<duration> retry{};  ///< how long a client waits before it connects again; in milliseconds on the wire
};

/// Where events are written.
/// Thread: the request's process only.
class event_stream {
 public:
  explicit event_stream(response_writer& to);
  /// Fails: client_gone; std::invalid_argument for a line break in `event` or `id`.   Blocks: as response_writer::write.
  void send(const server_event& e);
  /// A line that clients skip: keeps proxies from closing a silent connection, and notices clients that are gone.
  void comment(std::string_view text = {});

 private:
  response_writer& to_;
};

/// An answer that is what `body` sends.
http_response stream_events(function<void(event_stream&)> body);

}  // namespace coppice

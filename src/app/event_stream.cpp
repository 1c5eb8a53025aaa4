// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/event_stream.hpp>

#include "app/http_sender.hpp"

#include <chrono>
#include <stdexcept>
#include <string>

namespace coppice {

namespace {

/// The lines of `text`, each behind `prefix`. Lines end with CR LF, CR or LF, as they do for whoever reads the stream.
void append_lines(std::string& out, std::string_view prefix, std::string_view text) {
  for (;;) {
    const std::size_t end = text.find_first_of("\r\n");
    (out += prefix) += text.substr(0, end);
    out += '\n';
    if (end == std::string_view::npos) return;
    text.remove_prefix(text.substr(end).starts_with("\r\n") ? end + 2 : end + 1);
  }
}

void append_line(std::string& out, std::string_view prefix, std::string_view text) {
  if (text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    throw std::invalid_argument("the type and the id of a server_event have one line");
  ((out += prefix) += text) += '\n';
}

}  // namespace

event_stream::event_stream(response_writer& to) : to_(to) { to_.flush(); }

void event_stream::send(const server_event& e) {
  std::string text;
  if (!e.event.empty()) append_line(text, "event: ", e.event);
  if (e.id) append_line(text, "id: ", *e.id);
  if (e.retry)
    append_line(text, "retry: ", std::to_string(std::chrono::ceil<std::chrono::milliseconds>(*e.retry).count()));
  append_lines(text, "data: ", e.data);
  text += '\n';
  to_.write(text);
}

void event_stream::comment(std::string_view text) {
  std::string lines;
  append_lines(lines, ": ", text);
  lines += '\n';
  to_.write(lines);
}

http_response stream_events(function<void(event_stream&)> body) {
  http_response r = streamed(
      [body = std::move(body)](response_writer& to) mutable {
        internal::sender_of(to).loan().use.store(internal::http_loan::events, internal::sync::relaxed);
        event_stream events(to);
        body(events);
      },
      "text/event-stream");
  r.headers = {{"Cache-Control", "no-store"}};
  return r;
}

}  // namespace coppice

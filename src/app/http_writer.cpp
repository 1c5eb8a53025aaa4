// SPDX-License-Identifier: Apache-2.0
#include "app/http_writer.hpp"

#include "app/http_date.hpp"
#include "app/http_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include <time.h>

namespace coppice::internal {

namespace {

bool is_connection(std::string_view name) noexcept { return name.size() == 10 && equal_ignoring_case(name, "Connection"); }

bool frames_body(std::string_view name) noexcept {
  return (name.size() == 14 && equal_ignoring_case(name, "Content-Length")) || (name.size() == 17 && equal_ignoring_case(name, "Transfer-Encoding"));
}

/// Lines that say where the body ends, or whether the connection does. A handler that hands on what another server has answered may have some.
bool is_ours(std::string_view name, int status) noexcept { return is_connection(name) || (frames_body(name) && !is_bodiless(status)); }

constexpr bool ends_line(char c) noexcept { return c == '\r' || c == '\n' || c == '\0'; }

/// Eight bytes at a time: a text of an answer as a rule has none below a space, and then nothing else is asked.
bool has_line_break(std::string_view text) noexcept {
  constexpr std::uint64_t each = 0x0101010101010101;
  for (; text.size() >= 8; text.remove_prefix(8)) {
    std::uint64_t eight;
    std::memcpy(&eight, text.data(), 8);
    const std::uint64_t below_space = (eight - each * ' ') & ~eight & (each * 0x80);
    if (below_space != 0 && std::ranges::any_of(text.substr(0, 8), ends_line)) return true;
  }
  return std::ranges::any_of(text, ends_line);
}
bool is_proper_name(std::string_view name) noexcept {
  return !name.empty() && std::ranges::none_of(name, [](char c) { return ends_line(c) || c == ':' || c == ' ' || c == '\t'; });
}

// --- the date --------------------------------------------------------------------------------------------------------

/// A thread's own copy of what the Date line says, good for the rest of the second.
struct date_text {
  std::int64_t from = std::numeric_limits<std::int64_t>::max();
  std::int64_t until = 0;
  std::size_t size = 0;
  char text[http_date_room] = {};
};

void renew(date_text& d, std::int64_t now) noexcept {
  constexpr std::int64_t second = 1'000'000'000;
  timespec wall{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  d.size = write_http_date(d.text, wall.tv_sec);
  d.from = now;
  d.until = now + second - wall.tv_nsec;
}

/// Out of line: a fiber that waits in the middle of its caller may go on on another thread.
[[gnu::noinline]] char* write_date(char* at, std::int64_t now) noexcept {
  static thread_local constinit date_text today;
  if (now < today.from || now >= today.until) renew(today, now);
  std::memcpy(at, today.text, http_date_room);     // all of it: a copy of a known size
  return at + today.size;
}

// --- the head --------------------------------------------------------------------------------------------------------

/// Writes where there is room.
struct pen {
  char* at;
  void write(std::string_view text) noexcept { at += text.copy(at, text.size()); }
  template <std::size_t Size>
  void write(const char (&literal)[Size]) noexcept {
    std::memcpy(at, literal, Size - 1);
    at += Size - 1;
  }
  void write_number(std::uint64_t n) noexcept { at = std::to_chars(at, at + 20, n).ptr; }
};

/// Room for what is always there, the longest phrase, two numbers, and a date's whole field.
constexpr std::size_t usual_head = 192;

std::size_t room_for_head(const http_response& r) noexcept {
  std::size_t room = usual_head + r.content_type.size();
  for (const http_header& h : r.headers) room += h.name.size() + h.value.size() + 4;
  return room;
}

void write_status_line(pen& p, int status) noexcept {
  if (status == 200) return p.write("HTTP/1.1 200 OK\r\nDate: ");
  p.write("HTTP/1.1 ");
  p.write_number(static_cast<std::uint64_t>(status));
  p.write(" ");
  p.write(status_phrase(status));
  p.write("\r\nDate: ");
}

void write_head(pen& p, const http_response& r, const answer_form& form, std::int64_t now) noexcept {
  write_status_line(p, r.status);
  p.at = write_date(p.at, now);
  if (!r.content_type.empty()) {
    p.write("\r\nContent-Type: ");
    p.write(std::string_view(r.content_type));
  }
  if (!is_bodiless(r.status)) {
    if (!r.stream || r.stream_length) {
      p.write("\r\nContent-Length: ");
      p.write_number(r.stream ? *r.stream_length : r.body.size());
    } else if (!form.old_client) {
      p.write("\r\nTransfer-Encoding: chunked");
    }
  }
  if (form.close)
    p.write("\r\nConnection: close");
  else if (form.old_client)
    p.write("\r\nConnection: keep-alive");
  for (const http_header& h : r.headers) {
    if (is_ours(h.name, r.status)) continue;         // that was said above
    p.write("\r\n");
    p.write(std::string_view(h.name));
    p.write(": ");
    p.write(std::string_view(h.value));
  }
  p.write("\r\n\r\n");
}

/// Appends what `write` puts down, at most `room` bytes. The string grows to twice its size at least: more answers may follow.
template <class Write>
void append(std::string& out, std::size_t room, Write&& write) {
  const std::size_t before = out.size();
  out.resize_and_overwrite(before + room, [&](char* text, std::size_t) noexcept {
    pen p{text + before};
    write(p);
    return static_cast<std::size_t>(p.at - text);
  });
}

}  // namespace

bool is_proper(const http_response& r) noexcept {
  const bool upgrades = r.status == 101 && r.stream;
  if ((r.status < 200 && !upgrades) || r.status > 599 || has_line_break(r.content_type)) return false;
  return std::ranges::all_of(r.headers, [](const http_header& h) { return is_proper_name(h.name) && !has_line_break(h.value); });
}

bool asks_to_close(const http_response& r) noexcept {
  return r.close || std::ranges::any_of(r.headers, [](const http_header& h) { return is_connection(h.name) && equal_ignoring_case(h.value, "close"); });
}

void append_date(std::string& out, std::int64_t now) {
  append(out, http_date_room, [&](pen& p) { p.at = write_date(p.at, now); });
}

void append_head(std::string& out, const http_response& r, const answer_form& form, std::int64_t now) {
  append(out, room_for_head(r), [&](pen& p) { write_head(p, r, form, now); });
}

bool append_response(std::string& out, const http_response& r, const answer_form& form, std::int64_t now) {
  if (!is_proper(r)) return false;
  const std::string_view body = is_bodiless(r.status) || form.head_only ? std::string_view() : r.body;
  append(out, room_for_head(r) + body.size(), [&](pen& p) {
    write_head(p, r, form, now);
    p.write(body);
  });
  return true;
}

}  // namespace coppice::internal

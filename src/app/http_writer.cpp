// SPDX-License-Identifier: Apache-2.0
#include "app/http_writer.hpp"

#include "app/http_date.hpp"

#include <coppice/base/detail/sync.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <time.h>

namespace coppice::internal {

namespace sync = detail::sync;

namespace {

struct date_text {
  sync::spinlock lock;
  std::int64_t second = -1;
  char text[http_date_room] = {};
  std::size_t size = 0;
};
date_text today;

void append_number(std::string& out, std::uint64_t n) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits));
}

/// find_first_of asks for each byte anew which of them it is: for the texts of an answer, ten times as long as this.
bool has_line_break(std::string_view text) noexcept {
  return std::ranges::any_of(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}
bool is_proper_name(std::string_view name) noexcept {
  return !name.empty() && std::ranges::none_of(name, [](char c) {
    return c == '\r' || c == '\n' || c == '\0' || c == ':' || c == ' ' || c == '\t';
  });
}

/// Room for what is always there, the longest phrase, and two numbers.
constexpr std::size_t usual_head = 160;

std::size_t room_for_head(const http_response& r) noexcept {
  std::size_t room = usual_head + r.content_type.size();
  for (const http_header& h : r.headers) room += h.name.size() + h.value.size() + 4;
  return room;
}

/// Grows `out` at once to what is to come, and at least to twice its size: more answers may follow.
void make_room(std::string& out, std::size_t more) {
  const std::size_t wanted = out.size() + more;
  if (wanted > out.capacity()) out.reserve(std::max(wanted, 2 * out.capacity()));
}

}  // namespace

bool is_proper(const http_response& r) noexcept {
  const bool upgrades = r.status == 101 && r.stream;
  if ((r.status < 200 && !upgrades) || r.status > 599 || has_line_break(r.content_type)) return false;
  return std::ranges::all_of(r.headers, [](const http_header& h) { return is_proper_name(h.name) && !has_line_break(h.value); });
}

void append_date(std::string& out) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  sync::lock_guard held(today.lock);
  if (today.second != now.tv_sec) {
    today.second = now.tv_sec;
    today.size = write_http_date(today.text, now.tv_sec);
  }
  out.append(today.text, today.size);
}

void append_head(std::string& out, const http_response& r, const answer_form& form) {
  make_room(out, room_for_head(r));
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(r.status));
  out += ' ';
  out += status_phrase(r.status);
  out += "\r\nDate: ";
  append_date(out);
  if (!r.content_type.empty()) {
    out += "\r\nContent-Type: ";
    out += r.content_type;
  }
  if (!is_bodiless(r.status)) {
    if (!r.stream || r.stream_length) {
      out += "\r\nContent-Length: ";
      append_number(out, r.stream ? *r.stream_length : r.body.size());
    } else if (!form.old_client) {
      out += "\r\nTransfer-Encoding: chunked";
    }
  }
  if (form.close)
    out += "\r\nConnection: close";
  else if (form.old_client)
    out += "\r\nConnection: keep-alive";
  for (const http_header& h : r.headers) {
    out += "\r\n";
    out += h.name;
    out += ": ";
    out += h.value;
  }
  out += "\r\n\r\n";
}

bool append_response(std::string& out, const http_response& r, const answer_form& form) {
  if (!is_proper(r)) return false;
  const bool with_body = !is_bodiless(r.status) && !form.head_only;
  make_room(out, room_for_head(r) + (with_body ? r.body.size() : 0));
  append_head(out, r, form);
  if (with_body) out += r.body;
  return true;
}

}  // namespace coppice::internal

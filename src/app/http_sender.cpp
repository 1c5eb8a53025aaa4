// SPDX-License-Identifier: Apache-2.0
#include "app/http_sender.hpp"

#include <cerrno>
#include <charconv>
#include <stdexcept>

namespace coppice::internal {

http_sender::http_sender(http_loan& loan, const http_response& r, const answer_form& form)
    : loan_(loan),
      chunked_(!r.stream_length && !form.old_client),
      has_length_(r.stream_length.has_value()),
      left_(r.stream_length.value_or(0)),
      error_(loan.handover != nullptr ? EPROTO : 0) {  // where a WebSocket goes on, nothing but frames may be sent
  append_head(head_, r, form, sync::now());
  loan_.until_close = !chunked_ && !has_length_;
}

int http_sender::send(std::string_view a, std::string_view b, std::string_view c) {
  if (error_ != 0) return error_;
  const duration limit = loan_.core.options.write_timeout;
  const std::string_view all[] = {head_, a, b, c};
  loan_.can_end_chunks = false;
  error_ = loan_.sock.write_all(all, limit == infinity ? sync::never : limit.count()).error;
  if (!head_.empty()) head_ = {};
  loan_.can_end_chunks = chunked_ && error_ == 0;
  if (error_ != 0) loan_.outcome = http_loan::gone;
  return error_;
}

int http_sender::write(std::string_view piece) {
  if (piece.empty()) return error_;
  if (has_length_) {
    if (piece.size() > left_) throw std::length_error("a stream is longer than its length that was said");
    left_ -= piece.size();
  }
  if (!chunked_) return send(piece);
  char size[20];
  char* end = std::to_chars(size, size + sizeof size - 2, piece.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return send({size, static_cast<std::size_t>(end - size)}, piece, "\r\n");
}

int http_sender::flush() { return head_.empty() ? error_ : send({}); }

int http_sender::send_file(int fd, std::uint64_t first, std::uint64_t bytes) {
  if (flush() != 0) return error_;
  const duration limit = loan_.core.options.write_timeout;
  const io_result sent = loan_.sock.send_file(fd, first, bytes, limit == infinity ? sync::never : limit.count());
  left_ -= sent.bytes;
  error_ = sent.error;
  if (error_ != 0) loan_.outcome = http_loan::gone;
  return error_;
}

int http_sender::finish() {
  if (left_ != 0 && error_ == 0) throw std::length_error("a stream is shorter than its length that was said");
  if (chunked_) return send("0\r\n\r\n");
  return flush();
}

}  // namespace coppice::internal

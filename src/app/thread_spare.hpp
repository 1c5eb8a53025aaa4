// SPDX-License-Identifier: Apache-2.0
//
// thread_spare: one block of memory of a kind, and a text, that each thread keeps between two users. Every request needs a few large ones for a
// moment, and as a rule gives them back on the thread that the next one runs on: no lock, and no way into malloc.
//
// Out of line: a fiber that waits in the middle of a function may go on on another thread.
#pragma once

#include <cstddef>
#include <string>

namespace coppice::internal {

/// Which block.
enum class spare_kind : unsigned char { exchange, read_buffer, count };

/// A block of `kind`, all of one size, or null.
void* take_spare(spare_kind kind) noexcept;
/// Keeps `block`, which came from operator new. False: this thread has one already.
bool keep_spare(spare_kind kind, void* block) noexcept;

/// A text that begins empty, as a rule with the room of an earlier one.
class reused_text {
 public:
  reused_text();
  ~reused_text();
  reused_text(const reused_text&) = delete;
  std::string& operator*() const noexcept { return *text_; }

 private:
  std::string* text_;
};

}  // namespace coppice::internal

// SPDX-License-Identifier: Apache-2.0
#include "app/thread_spare.hpp"

#include <new>
#include <utility>

namespace coppice::internal {

namespace {

constexpr std::size_t largest_text = 16 * 1024;
constexpr auto kinds = static_cast<std::size_t>(spare_kind::count);

thread_local constinit void* kept[kinds] = {};
thread_local constinit std::string* kept_text = nullptr;
thread_local constinit bool is_over = false;  // the thread ends: nothing is kept any more

/// Gives them back at the thread's end.
struct at_thread_end {
  ~at_thread_end() {
    is_over = true;
    for (void*& block : kept) ::operator delete(std::exchange(block, nullptr));
    delete std::exchange(kept_text, nullptr);
  }
};

/// False: nothing may be kept.
bool may_keep() noexcept {
  if (is_over) return false;
  thread_local const at_thread_end gives_back;
  static_cast<void>(&gives_back);
  return true;
}

}  // namespace

void* take_spare(spare_kind kind) noexcept { return std::exchange(kept[static_cast<std::size_t>(kind)], nullptr); }

bool keep_spare(spare_kind kind, void* block) noexcept {
  void*& place = kept[static_cast<std::size_t>(kind)];
  if (place != nullptr || !may_keep()) return false;
  place = block;
  return true;
}

reused_text::reused_text() : text_(std::exchange(kept_text, nullptr)) {
  if (text_ == nullptr) text_ = new std::string;
}

reused_text::~reused_text() {
  if (kept_text != nullptr || text_->capacity() > largest_text || !may_keep()) {
    delete text_;
    return;
  }
  text_->clear();
  kept_text = text_;
}

}  // namespace coppice::internal

// SPDX-License-Identifier: Apache-2.0
//
// transaction_log: what a transaction has done to refs: an entry for each that it has written, ensured or commuted.
//
// An entry stays where it is counted from the first, but not where it is in memory: after each function of the user's the log may
// have grown, and entries are found anew.
#pragma once

#include <coppice/state/detail/ref_core.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace coppice::detail {

struct log_entry {
  ref_core* ref = nullptr;
  box* value = nullptr;                          // what the transaction has made of it; null: nothing yet
  bool owned = false;                                    // the word is ours
  bool ensured = false;                                  // we are counted in the word
  bool commuted = false;                                 // `value` comes of commutes only
  std::uint32_t same_bucket = 0;                 // link of the index
};

class transaction_log {
 public:
  bool empty() const noexcept { return size_ == 0; }
  std::uint32_t size() const noexcept { return size_; }
  log_entry& operator[](std::uint32_t i) noexcept { return entries_[i]; }
  log_entry* begin() noexcept { return entries_.get(); }
  log_entry* end() noexcept { return entries_.get() + size_; }
  const log_entry* begin() const noexcept { return entries_.get(); }
  const log_entry* end() const noexcept { return entries_.get() + size_; }

  /// The entry of `r`, or null.
  log_entry* find(const ref_core& r) noexcept {
    if (size_ > searched) [[unlikely]] return find_in_index(r);
    for (log_entry* e = end(); e != begin();)
      if ((--e)->ref == &r) return e;
    return nullptr;
  }
  /// A new entry of `r`, which has none.
  log_entry& add(ref_core& r) {
    if (size_ == capacity_) [[unlikely]] grow();
    log_entry& made = entries_[size_++];
    made = {.ref = &r};
    if (size_ > searched) [[unlikely]] index_last();
    return made;
  }
  log_entry& entry_of(ref_core& r) {
    log_entry* e = find(r);
    return e != nullptr ? *e : add(r);
  }
  /// Keeps its memory.
  void clear() noexcept {
    if (size_ > searched) [[unlikely]] index_.clear();
    size_ = 0;
  }

 private:
  static constexpr std::uint32_t searched = 12;  // entries that are searched one by one; a longer log has an index
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  std::size_t bucket_of(const ref_core& r) const noexcept {
    return (reinterpret_cast<std::uintptr_t>(&r) >> 6) * 0x9E3779B97F4A7C15u >> 32 & (index_.size() - 1);
  }
  log_entry* find_in_index(const ref_core& r) noexcept {
    for (std::uint32_t i = index_[bucket_of(r)]; i != none; i = entries_[i].same_bucket)
      if (entries_[i].ref == &r) return &entries_[i];
    return nullptr;
  }
  void put_into_index(std::uint32_t i) noexcept {
    std::uint32_t& bucket = index_[bucket_of(*entries_[i].ref)];
    entries_[i].same_bucket = bucket;
    bucket = i;
  }
  [[gnu::noinline]] void index_last() {
    if (size_ * std::size_t{2} <= index_.size()) return put_into_index(size_ - 1);
    std::size_t buckets = 64;
    while (buckets < 4 * size_) buckets *= 2;
    index_.assign(buckets, none);
    for (std::uint32_t i = 0; i != size_; ++i) put_into_index(i);
  }
  [[gnu::noinline]] void grow() {
    const std::uint32_t capacity = capacity_ == 0 ? searched : 2 * capacity_;
    auto larger = std::make_unique<log_entry[]>(capacity);
    std::copy(begin(), end(), larger.get());
    entries_ = std::move(larger);
    capacity_ = capacity;
  }

  std::unique_ptr<log_entry[]> entries_;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = 0;
  std::vector<std::uint32_t> index_;             // its buckets; empty: the log is short
};

}  // namespace coppice::detail

// SPDX-License-Identifier: Apache-2.0
//
// relation_set: the links, or monitors, of one process. Most processes have one or two: the first lies in the set itself, several
// are a vector that is searched. A supervisor of a hundred thousand has an index besides, so that the end of one child costs it the
// same as ever. Owned.
//
// Entries have a key, `relation_key(entry)`, which is not 0 and need not be unique (two links with one process may cross).
//
// Invariants:
//   1. Without an index the entries stand in the order in which they came; with one, in no order.
//   2. With an index, each entry is found from the place of its key's hash on, without an empty place between.
//   3. `only_` has a key while it is the only entry, and there is no crowd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace coppice::detail {

/// The entries of a set that has had several.
template <class Entry>
class relation_crowd {
 public:
  std::vector<Entry>& entries() noexcept { return entries_; }

  void add(Entry entry) {
    entries_.push_back(std::move(entry));
    if (index_.empty() && entries_.size() <= searched) return;
    if (entries_.size() * 2 > index_.size()) rebuild();
    else enter(entries_.size() - 1);
  }
  template <class Fits>
  Entry* find(std::uint64_t key, Fits&& fits) {
    const std::size_t at = position_of(key, fits);
    return at != none ? &entries_[at] : nullptr;
  }
  template <class Fits>
  bool take(std::uint64_t key, Fits&& fits, Entry* taken) {
    const std::size_t at = position_of(key, fits);
    if (at == none) return false;
    if (taken != nullptr) *taken = std::move(entries_[at]);
    remove(at, key);
    return true;
  }
  std::size_t bytes_outside() const noexcept { return entries_.capacity() * sizeof(Entry) + index_.capacity() * sizeof(std::uint32_t); }
  void shrink_to_fit() {
    entries_.shrink_to_fit();
    if (index_.empty()) return;
    if (entries_.size() <= searched) std::vector<std::uint32_t>().swap(index_);
    else rebuild();
  }

 private:
  static constexpr std::size_t searched = 16;                // up to here a search is as quick as an index
  static constexpr std::size_t none = ~std::size_t{0};

  std::size_t home(std::uint64_t key) const noexcept { return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15u >> 32) & (index_.size() - 1); }
  std::size_t next(std::size_t place) const noexcept { return (place + 1) & (index_.size() - 1); }

  template <class Fits>
  std::size_t position_of(std::uint64_t key, Fits&& fits) const {
    if (index_.empty()) {
      for (std::size_t i = 0; i < entries_.size(); ++i)
        if (relation_key(entries_[i]) == key && fits(entries_[i])) return i;
      return none;
    }
    for (std::size_t place = home(key); index_[place] != 0; place = next(place)) {
      const std::size_t at = index_[place] - 1;
      if (relation_key(entries_[at]) == key && fits(entries_[at])) return at;
    }
    return none;
  }

  void enter(std::size_t at) noexcept {
    std::size_t place = home(relation_key(entries_[at]));
    while (index_[place] != 0) place = next(place);
    index_[place] = static_cast<std::uint32_t>(at + 1);
  }
  void rebuild() {
    std::size_t places = 64;
    while (places < entries_.size() * 4) places *= 2;
    index_.assign(places, 0);
    for (std::size_t i = 0; i < entries_.size(); ++i) enter(i);
  }
  /// The place in the index that leads to the entry at `at`.
  std::size_t place_of(std::size_t at, std::uint64_t key) const noexcept {
    std::size_t place = home(key);
    while (index_[place] != at + 1) place = next(place);
    return place;
  }
  /// Empties a place and closes the gap: whoever would not be found any more moves up.
  void vacate(std::size_t gap) noexcept {
    for (std::size_t place = next(gap); index_[place] != 0; place = next(place)) {
      const std::size_t wants = home(relation_key(entries_[index_[place] - 1]));
      if (((place - wants) & (index_.size() - 1)) < ((place - gap) & (index_.size() - 1))) continue;
      index_[gap] = index_[place];
      gap = place;
    }
    index_[gap] = 0;
  }
  void remove(std::size_t at, std::uint64_t key) {
    if (index_.empty()) {
      entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
      return;
    }
    const std::size_t last = entries_.size() - 1;
    const std::size_t place = place_of(at, key);
    if (at != last) {                                        // the last entry takes the free place
      const std::size_t moved = place_of(last, relation_key(entries_[last]));
      entries_[at] = std::move(entries_[last]);
      index_[moved] = static_cast<std::uint32_t>(at + 1);
    }
    vacate(place);
    entries_.pop_back();
  }

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> index_;                         // position + 1; 0: empty; a power of two places
};

template <class Entry>
class relation_set {
 public:
  /// All of them. Whoever changes an entry leaves its key as it is.
  std::span<Entry> entries() noexcept {
    if (crowd_ != nullptr) return crowd_->entries();
    return {&only_, has_only() ? std::size_t{1} : std::size_t{0}};
  }
  std::span<const Entry> entries() const noexcept { return const_cast<relation_set*>(this)->entries(); }
  auto begin() const noexcept { return entries().begin(); }
  auto end() const noexcept { return entries().end(); }
  std::size_t size() const noexcept { return entries().size(); }
  bool empty() const noexcept { return size() == 0; }

  void add(Entry entry) {
    if (crowd_ == nullptr) {
      if (!has_only()) {
        only_ = std::move(entry);
        return;
      }
      crowd_ = std::make_unique<relation_crowd<Entry>>();
      crowd_->add(std::exchange(only_, Entry{}));
    }
    crowd_->add(std::move(entry));
  }
  /// Any entry of this key for which `fits` holds, or null. Its key stays as it is.
  template <class Fits>
  Entry* find(std::uint64_t key, Fits&& fits) {
    if (crowd_ != nullptr) return crowd_->find(key, fits);
    return has_only() && relation_key(only_) == key && fits(only_) ? &only_ : nullptr;
  }
  template <class Fits>
  const Entry* find(std::uint64_t key, Fits&& fits) const { return const_cast<relation_set*>(this)->find(key, fits); }
  /// Takes one such entry out. Returns: whether there was one; it is moved to `*taken` if that is given.
  template <class Fits>
  bool take(std::uint64_t key, Fits&& fits, Entry* taken = nullptr) {
    if (crowd_ != nullptr) return crowd_->take(key, fits, taken);
    Entry* const found = find(key, fits);
    if (found == nullptr) return false;
    Entry entry = std::exchange(only_, Entry{});
    if (taken != nullptr) *taken = std::move(entry);
    return true;
  }
  /// Takes all such entries out. Returns: whether there were any.
  template <class Fits>
  bool take_all(std::uint64_t key, Fits&& fits) {
    bool any = false;
    while (take(key, fits)) any = true;
    return any;
  }
  /// Of memory, besides its own.
  std::size_t bytes_outside() const noexcept { return crowd_ != nullptr ? sizeof *crowd_ + crowd_->bytes_outside() : 0; }
  void clear() noexcept {
    crowd_ = nullptr;
    only_ = Entry{};
  }
  void shrink_to_fit() {
    if (crowd_ == nullptr) return;
    if (crowd_->entries().size() > 1) return crowd_->shrink_to_fit();
    if (!crowd_->entries().empty()) only_ = std::move(crowd_->entries().front());
    crowd_ = nullptr;
  }

 private:
  bool has_only() const noexcept { return relation_key(only_) != 0; }

  Entry only_{};
  std::unique_ptr<relation_crowd<Entry>> crowd_;
};

}  // namespace coppice::detail

// SPDX-License-Identifier: Apache-2.0
//
// parallel_map: a function applied to each element of an input, several at a time, as a range of results in the input's order.
//
//     for (const auto& page : parallel_map(urls, fetch)) show(page);
//
// Some elements (processors + 2, or `ahead`) are under way ahead of the one that is looked at, no more: so the input may be infinite.
// An exception is thrown where its element is looked at; one may step over it. When the range is destroyed, what has not begun
// does not begin, and what runs is waited for: it may refer to what the loop's scope holds.
//
// The function is called by several threads at once, as a constant. For elements that are to fail, time out and be killed one by one,
// take async_stream (otp), which gives each a process of its own.
#pragma once

#include <coppice/state/future.hpp>

#include <cstddef>
#include <deque>
#include <functional>                              // std::invoke: the function may be a pointer to a member
#include <iterator>
#include <memory>                                  // what the tasks refer to stays where it is when the range is moved
#include <optional>
#include <type_traits>
#include <utility>

namespace coppice {

/// How a parallel_map runs. Every field has a default.   Spec: FU-7.
struct map_options {
  std::size_t ahead = 0;                           ///< how many elements are under way at once; 0: processors + 2
  executor* by = nullptr;                          ///< null: the executor of send_off
};

namespace detail {

struct running_tasks;
running_tasks* make_running_tasks();
void hold_running(running_tasks& r) noexcept;
void drop_running(running_tasks* r) noexcept;
/// Nothing begins any more; waits until nothing runs.
void close_running(running_tasks& r) noexcept;
std::size_t default_ahead() noexcept;

/// One run of the function.   Throws cancelled when the range is closed: then it must not run.
class running_one {
 public:
  explicit running_one(running_tasks& of);
  ~running_one();
  running_one(const running_one&) = delete;
  running_one& operator=(const running_one&) = delete;

 private:
  running_tasks& of_;
};

class running_handle {
 public:
  running_handle() : r_(make_running_tasks()) {}
  running_handle(const running_handle& other) noexcept : r_(other.r_) { hold_running(*r_); }
  running_handle& operator=(const running_handle&) = delete;
  ~running_handle() { drop_running(r_); }
  running_tasks& operator*() const noexcept { return *r_; }

 private:
  running_tasks* r_;
};

}  // namespace detail

/// The range of results. Made by parallel_map; an input range: one pass.
/// Thread: one at a time.
template <class Range, class F>
class mapped {
  using element = std::remove_cvref_t<decltype(*std::begin(std::declval<Range&>()))>;
  using value = std::decay_t<std::invoke_result_t<const F&, element>>;
  using iterator_of_input = decltype(std::begin(std::declval<Range&>()));
  using end_of_input = decltype(std::end(std::declval<Range&>()));
  static_assert(!std::is_void_v<value>, "coppice: parallel_map makes a range of the results: its function must return one.");

 public:
  class iterator {
   public:
    using value_type = value;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;
    iterator() noexcept = default;
    iterator(iterator&&) noexcept = default;
    iterator& operator=(iterator&&) noexcept = default;

    /// Waits for the element's result.   Fails: with what the function threw.   Blocks: the calling process or thread.
    const value& operator*() const { return of_->current(); }
    const value* operator->() const { return &of_->current(); }
    iterator& operator++() {
      of_->step();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return i.is_at_end(); }

   private:
    friend class mapped;
    bool is_at_end() const { return of_->is_over(); }
    explicit iterator(mapped& m) noexcept : of_(&m) {}
    mapped* of_ = nullptr;
  };

  mapped(Range&& input, F&& function, const map_options& options)
      : own_(std::make_unique<state>(std::forward<Range>(input), std::move(function), options)) {}
  mapped(mapped&&) noexcept = default;
  mapped& operator=(mapped&&) = delete;
  ~mapped() {
    if (own_ == nullptr) return;
    for (const future<value>& f : own_->under_way) f.cancel();
    detail::close_running(*own_->running);
  }

  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  struct state {
    state(Range&& r, F&& f, const map_options& o)
        : input(std::forward<Range>(r)), function(std::move(f)), by(o.by), ahead(o.ahead != 0 ? o.ahead : detail::default_ahead()) {}
    Range input;                                 // a reference, for an input that the caller keeps
    F function;
    executor* by;
    std::size_t ahead;
    detail::running_handle running{};
    std::optional<iterator_of_input> at{};
    std::optional<end_of_input> end{};
    std::deque<future<value>> under_way{};       // the first one is the one that is looked at
    std::optional<kept<value>> now{};            // its result, once it was looked at
  };

  /// Has as many elements under way as there may be.
  void fill() {
    state& s = *own_;
    if (!s.at) {
      s.at.emplace(std::begin(s.input));
      s.end.emplace(std::end(s.input));
    }
    for (; s.under_way.size() < s.ahead && !(*s.at == *s.end); ++*s.at)
      s.under_way.emplace_back(future<value>(s.by != nullptr ? *s.by : send_off_executor(),
                                             [r = s.running, f = &s.function, e = element(**s.at)]() mutable -> value {
                                               const detail::running_one while_it_runs(*r);
                                               return std::invoke(std::as_const(*f), std::move(e));
                                             }));
  }
  bool is_over() {
    fill();
    return own_->under_way.empty();
  }
  const value& current() {
    state& s = *own_;
    if (s.under_way.empty()) fill();
    if (!s.now) s.now.emplace(s.under_way.front().get());
    if constexpr (detail::word_value<value>) return *s.now;
    else return **s.now;
  }
  void step() {
    if (own_->under_way.empty()) fill();
    own_->now.reset();
    own_->under_way.pop_front();
  }

  std::unique_ptr<state> own_;
};

/// Applies `f` to each element of `input`, ahead of who reads the results.
/// `input`: any range. One that the caller keeps is referred to and must live as long as the results, any other is moved in.
/// Returns:  the range of results. Nothing runs before the first one is asked for.
/// Fails:    when it is read: what reading `input` throws; rejected; at each element what `f` threw.
/// Blocks:   (reading) the calling process or thread until the next result is there; (destroying) while a call of `f` runs.
/// Thread:   any.   Spec: FU-7.
template <class Range, class F>
  requires std::invocable<const std::decay_t<F>&, std::remove_cvref_t<decltype(*std::begin(std::declval<Range&>()))>>
[[nodiscard]] auto parallel_map(Range&& input, F f, const map_options& options = {}) {
  return mapped<Range, F>(std::forward<Range>(input), std::move(f), options);
}

}  // namespace coppice

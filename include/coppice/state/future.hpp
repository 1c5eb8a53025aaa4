// SPDX-License-Identifier: Apache-2.0
//
// future: a value that is computed elsewhere. It starts when the future is made; who wants the value waits for it.
//
//     future sum([&] { return add_up(numbers); });
//     …
//     use(sum.get());                              // the value, or the exception; as often as one likes
//
// A future is a handle: copies are the same future. Nobody need wait for it, or keep it. For work that belongs to the process that
// starts it, which ends with it or fails with it, take a task (otp/task.hpp).
//
// Thread: any, all functions. Design note: docs/internals/futures.md.
#pragma once

#include <coppice/state/detail/eventual.hpp>
#include <coppice/state/executor.hpp>
#include <coppice/state/stop_token.hpp>

#include <concepts>
#include <functional>  // std::invoke: functions of a future may be pointers to members
#include <type_traits>
#include <utility>

namespace coppice {

template <class T>
class promise;

namespace detail {

template <class F>
struct result_of_future {};
template <std::invocable<stop_token> F>
struct result_of_future<F> {
  using type = std::decay_t<std::invoke_result_t<F, stop_token>>;
};
template <std::invocable F>
  requires(!std::invocable<F, stop_token>)
struct result_of_future<F> {
  using type = std::decay_t<std::invoke_result_t<F>>;
};

template <class F, class T>
future_task* make_future_task(F&& f, const eventual_handle& of) {
  using function = std::decay_t<F>;
  struct typed : future_task {
    typed(F&& given, const eventual_handle& e) : f(static_cast<F&&>(given)), stop(e) {}
    function f;
    eventual_handle stop;
  };
  static_assert(alignof(typed) <= 64, "the alignment of a future's function is at most a cache line");
  void* place = allocate_box(sizeof(typed));
  typed* t = nullptr;
  try {
    t = ::new (place) typed(static_cast<F&&>(f), of);
  } catch (...) {
    free_box(place, sizeof(typed));
    throw;
  }
  t->bytes = sizeof(typed);
  t->compute = [](future_task& of_task) -> box* {
    auto& mine = static_cast<typed&>(of_task);
    return box_of_result<T>([&]() -> decltype(auto) {
      if constexpr (std::invocable<function&, stop_token>) return std::invoke(mine.f, stop_token(made_by{}, mine.stop));
      else return std::invoke(mine.f);
    });
  };
  t->destroy = [](future_task& of_task) noexcept { static_cast<typed&>(of_task).~typed(); };
  return t;
}

}  // namespace detail

/// What a future of a T can be made from: a function of nothing, or of a stop_token.
template <class F, class T>
concept future_function = std::same_as<typename detail::result_of_future<std::decay_t<F>&>::type, T> &&
                          std::constructible_from<std::decay_t<F>, F>;

template <class T>
class future {
 public:
  using value_type = T;

  /// Starts `f()`, or `f(stop_token)`, at once, by the executor of send_off. Values bound in a scope of the caller are seen there.
  /// Fails:   rejected when the executor takes no work.
  /// Blocks:  never.   Spec: FU-1, FU-6.
  template <future_function<T> F>
  explicit future(F&& f) : future(send_off_executor(), static_cast<F&&>(f)) {}
  /// The same by `by`.
  template <future_function<T> F>
  future(executor& by, F&& f) {
    detail::start_future(*of_, by, detail::make_future_task<F, T>(static_cast<F&&>(f), of_));
  }

  /// Waits for the value.
  /// Returns:  the value, itself if it is a word, else a snapshot.
  /// Fails:    with what the function threw, the same exception each time; cancelled; broken_promise.
  /// Blocks:   the calling process or thread.
  /// Spec:     FU-1, FU-2, FU-4.
  kept<T> get() const { return detail::keep_value<T>(*detail::wait_value(*of_, infinity)); }
  /// The same for at most `limit`; 0 and less: a look and no wait.   Returns: `otherwise` when it has not come in time.   Spec: FU-3.
  template <class U = T>
    requires(!std::is_void_v<T> && std::convertible_to<U, T>)
  kept<T> get(duration limit, U&& otherwise) const {
    if (detail::box* b = detail::wait_value(*of_, limit); b != nullptr) return detail::keep_value<T>(*b);
    T other(static_cast<U&&>(otherwise));
    return detail::keep_other<T>(other);
  }
  /// Waits until it is realized, at most `limit`.   Returns: whether it is.   Blocks: as get.
  bool wait_for(duration limit) const { return detail::wait_realized(*of_, limit); }

  /// Has it never come: whoever waits gets `cancelled`, a function that asks its stop_token hears of it, one that has not begun
  /// does not run. Returns: whether it was still to come.   Blocks: never.   Spec: FU-4, FU-5.
  bool cancel() const noexcept { return detail::cancel(*of_); }
  bool is_cancelled() const noexcept { return detail::is_cancelled(*of_); }
  /// A value, an exception or the cancellation is there.
  bool is_realized() const noexcept { return detail::is_realized(*of_); }
  bool is_done() const noexcept { return is_realized(); }

  /// The same future.
  friend bool operator==(const future&, const future&) = default;

 private:
  friend class promise<T>;
  explicit future(detail::eventual_handle of) noexcept : of_(std::move(of)) {}

  detail::eventual_handle of_;
};

template <class F>
future(F) -> future<typename detail::result_of_future<std::decay_t<F>&>::type>;
template <class F>
future(executor&, F) -> future<typename detail::result_of_future<std::decay_t<F>&>::type>;

}  // namespace coppice

// SPDX-License-Identifier: Apache-2.0
//
// async_stream: a function applied to each element of an input, each in a task of its own, as a range of results:
//
//     for (auto& r : async_stream(numbers, slow_square, {.max_concurrency = 4})) sum += r.value();
//
// Lazy: nothing is read or started before the first result is asked for, and an element is read only when it can be started at
// once; so the input may be infinite. The results come in the order of the input, or as they are done. Who asks for the first
// one is the owner of all tasks; when the stream is destroyed (the loop is left by break, return or an exception, its process is
// killed), the tasks that run are killed and waited for: they may refer to what the loop's scope holds.
//
// The function is called from several processes at once, as a constant. Design note: docs/internals/task.md.
#pragma once

#include <coppice/otp/task.hpp>

#include <cstddef>
#include <iterator>
#include <initializer_list>
#include <limits>
#include <memory>                                 // the state of a stream stays where it is when the stream is moved
#include <optional>
#include <type_traits>
#include <utility>

namespace coppice {

/// As many tasks at once as there are schedulers.
inline constexpr std::size_t one_per_scheduler = std::numeric_limits<std::size_t>::max();

/// How a stream runs. Every field has a default.   Spec: EX-40, EX-47.
struct stream_options {
  enum action : unsigned char {
    exit,        ///< the whole stream fails with task_timeout
    kill_task    ///< the element's result is the failure `timeout`; the others go on
  };
  std::size_t max_concurrency = one_per_scheduler;   ///< how many tasks run at once
  bool ordered = true;                               ///< results in the order of the input; else as they are done
  duration timeout = task_timeout_default;           ///< for each element, from the start of its task
  action on_timeout = exit;
  bool zip_input_on_exit = false;                    ///< a failed result holds the element, too
  std::size_t max_held = 1024;                       ///< how many results may wait to be taken; then nothing is read
  std::string_view label{};                          ///< of the tasks, shown in reports
  std::size_t stack_bytes = 0;                       ///< of the tasks; 0: 64 KiB
  runtime* in = nullptr;                             ///< null: the owner's
};

/// An element whose task failed.   Spec: EX-40, EX-46.
template <class Element>
class element_failed : public task_failed {
 public:
  /// An element that cannot be copied is not kept (an error is copied when it is thrown).
  using kept = std::conditional_t<std::copy_constructible<Element>, Element, detail::nothing>;

  element_failed(task_failed why, std::optional<kept> element) : task_failed(std::move(why)), element_(std::move(element)) {}
  /// The element, with zip_input_on_exit.
  const std::optional<kept>& element() const noexcept { return element_; }

 private:
  std::optional<kept> element_;
};

/// What a stream yields for one element.
template <class T, class Element>
using stream_result = result<T, element_failed<Element>>;

namespace detail {

struct stream_core;
class supervisor_address;

/// How the core reads the input: compiled for each stream's types.
struct stream_table {
  bool (*at_end)(void* stream);
  void (*start_next)(void* stream, stream_core& core);   // takes the element and calls start_element
  void (*drop_kept)(void* element) noexcept;
  const result_type* type;
};

/// A result that was waited for. The place and what was kept are the receiver's.
struct finished_element {
  result_place* place = nullptr;                         // null: there are no more
  void* kept = nullptr;                                  // the element, with zip_input_on_exit
  bool expired = false;                                  // it was killed because its time was up
};

/// Throws std::invalid_argument for options that make no sense.
/// `under`: the supervisor of the tasks, or null.
stream_core* make_stream(const stream_options& options, const stream_table& table, void* stream, task_link link, const supervisor_address* under);
void end_stream(stream_core* s) noexcept;
/// Reads and starts what may be, and waits for the next result.
finished_element next_result(stream_core& s);
void finish_element(const stream_core& s, const finished_element& e) noexcept;
task_failed failure_of_element(const stream_core& s, const finished_element& e);
/// From start_next: starts a task. `kept` belongs to the core then, whatever happens.
void start_element(stream_core& s, const task_start& what, void* kept);
std::size_t stack_bytes_of(const stream_core& s) noexcept;
[[noreturn]] void throw_not_copyable(std::string_view element);

template <class Range>
using element_of = std::remove_cvref_t<decltype(*std::begin(std::declval<Range&>()))>;
template <class F, class Range>
using value_of_element = std::remove_cv_t<std::invoke_result_t<const F&, element_of<Range>>>;

template <class F, class Element>
consteval bool check_stream() {
  constexpr bool callable = std::invocable<const F&, Element>;
  static_assert(!!callable, "coppice: async_stream calls its function from several processes at once: it must be callable, as a constant, with an element.");
  if constexpr (callable) {
    using R = std::invoke_result_t<const F&, Element>;
    static_assert(!std::is_reference_v<R>, "coppice: a task returns a value, not a reference: its stack is gone when the value is read.");
    return !std::is_reference_v<R>;
  }
  return false;
}

/// The function of one element's task.
template <class F, class Element>
struct element_call {
  using shown = F;
  const F* function;
  Element element;
  auto operator()() { return (*function)(std::move(element)); }
};

}  // namespace detail

/// The range of results. Made by async_stream; an input range: one pass.
/// Thread: the process or thread that asks for the first result; before that it may be moved anywhere.
template <class Range, class F>
class result_stream {
  using element = detail::element_of<Range>;
  using call = detail::element_call<F, element>;
  using value = detail::value_of_element<F, Range>;
  using iterator_of_input = decltype(std::begin(std::declval<Range&>()));
  using end_of_input = decltype(std::end(std::declval<Range&>()));

 public:
  using value_type = stream_result<value, element>;

  class iterator {
   public:
    using value_type = result_stream::value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;
    iterator() noexcept = default;
    iterator(iterator&&) noexcept = default;
    iterator& operator=(iterator&&) noexcept = default;

    value_type& operator*() const { return stream_->current(); }
    value_type* operator->() const { return &stream_->current(); }
    /// Reads nothing: the next result is waited for when it is asked for, so `take(n)` does not wait for one more.
    iterator& operator++() {
      stream_->current_.reset();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return i.is_at_end(); }

   private:
    friend class result_stream;
    explicit iterator(result_stream& s) noexcept : stream_(&s) {}
    bool is_at_end() const { return stream_->is_over(); }
    result_stream* stream_ = nullptr;
  };

  result_stream(Range&& input, F&& function, const stream_options& options, detail::task_link link, const detail::supervisor_address* under)
      : own_(std::make_unique<state>(std::forward<Range>(input), std::move(function))),
        core_(detail::make_stream(options, table(options.zip_input_on_exit), own_.get(), link, under)) {}
  result_stream(result_stream&& other) noexcept
      : own_(std::move(other.own_)), core_(std::exchange(other.core_, nullptr)), current_(std::move(other.current_)) {}
  result_stream& operator=(result_stream&& other) noexcept {
    if (this == &other) return *this;
    close();
    own_ = std::move(other.own_);
    core_ = std::exchange(other.core_, nullptr);
    current_ = std::move(other.current_);
    return *this;
  }
  /// Ends the tasks that run, and waits until they have ended.
  ~result_stream() { close(); }

  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend class iterator;

  /// What tasks refer to: it stays where it is when the stream is moved.
  struct state {
    state(Range&& r, F&& f) : input(std::forward<Range>(r)), function(std::move(f)) {}
    Range input;                                 // a reference, for an input that the caller keeps
    F function;
    std::optional<iterator_of_input> at{};
    std::optional<end_of_input> end{};
    bool taken = false;                          // the element at `at` was taken: step on before the next look
  };

  static bool at_end(void* raw) {
    auto& s = *static_cast<state*>(raw);
    if (!s.at) {
      s.at.emplace(std::begin(s.input));
      s.end.emplace(std::end(s.input));
    } else if (std::exchange(s.taken, false)) {
      ++*s.at;
    }
    return *s.at == *s.end;
  }
  template <bool Zip>
  static void start_next(void* raw, detail::stream_core& core) {
    auto& s = *static_cast<state*>(raw);
    call own{&s.function, **s.at};
    s.taken = true;
    void* kept = nullptr;
    if constexpr (Zip) kept = new element(std::as_const(own.element));
    using body = detail::task_body<call>;
    detail::start_element(core,
                          {.cls = &body::plain[detail::stack_index(detail::stack_bytes_of(core))],
                           .make = {&body::construct, &own},
                           .type = &detail::result_type_of<detail::stored<value>>,
                           .options = nullptr,
                           .function = &detail::function_operations_of<call>},
                          kept);
  }
  static void drop_kept(void* e) noexcept { delete static_cast<element*>(e); }
  static const detail::stream_table& table(bool zip) {
    static constexpr detail::stream_table plain{&at_end, &start_next<false>, &drop_kept, &detail::result_type_of<detail::stored<value>>};
    if constexpr (std::copy_constructible<element>) {
      static constexpr detail::stream_table zipped{&at_end, &start_next<true>, &drop_kept, &detail::result_type_of<detail::stored<value>>};
      return zip ? zipped : plain;
    } else {
      if (zip) detail::throw_not_copyable(type_name<element>());
      return plain;
    }
  }

  bool is_over() {
    if (!current_ && core_ != nullptr) fetch();
    return !current_;
  }
  value_type& current() {
    is_over();
    return *current_;
  }
  struct finished {
    const detail::stream_core& core;
    detail::finished_element element;
    ~finished() {
      if (element.place != nullptr) detail::finish_element(core, element);
    }
  };
  void fetch() {
    const finished next{*core_, detail::next_result(*core_)};
    if (next.element.place == nullptr) return;
    detail::result_place& p = *next.element.place;
    if (!detail::has_value(p)) {
      using kept = typename element_failed<element>::kept;
      std::optional<kept> with;
      if (next.element.kept != nullptr) with.emplace(std::move(*static_cast<kept*>(next.element.kept)));
      current_.emplace(error(element_failed<element>(detail::failure_of_element(*core_, next.element), std::move(with))));
    } else if constexpr (std::is_void_v<value>) {
      current_.emplace(std::in_place);
    } else {
      current_.emplace(std::in_place, std::move(*static_cast<value*>(detail::value_in(p))));
    }
  }
  void close() noexcept {
    if (core_ != nullptr) detail::end_stream(std::exchange(core_, nullptr));
  }

  std::unique_ptr<state> own_;
  detail::stream_core* core_ = nullptr;
  std::optional<value_type> current_{};
};

namespace detail {

template <class Range, class F>
auto stream_over(Range&& input, F function, const stream_options& options, task_link link, const supervisor_address* under = nullptr) {
  if constexpr (check_stream<F, element_of<Range>>())
    return result_stream<Range, F>(std::forward<Range>(input), std::move(function), options, link, under);
  else
    return std::vector<task_result<void>>();
}

}  // namespace detail

/// Applies `function` to each element of `input`, in tasks that are linked to the owner: if one fails, an owner that does not trap
/// exits ends with its reason; for one that does, and for a plain thread, the failure is the element's result.
/// `input`: any range. One that the caller keeps is referred to and must live as long as the stream, any other is moved in.
/// Returns:  the range of results, each `result<T, element_failed<Element>>`. Nothing runs yet.
/// Fails:    std::invalid_argument for options that make no sense. When it is read: what reading `input` throws; task_timeout when
///           an element took too long; exit_error: system_limit, or the caller is not the owner.
/// Blocks:   (reading) the owner until the next result is there.
/// Thread:   any.   Cost: one task for each element; about 200 ns.   Spec: EX-40..EX-48.
template <class Range, class F>
[[nodiscard]] auto async_stream(Range&& input, F function, const stream_options& options = {}) {
  return detail::stream_over(std::forward<Range>(input), std::move(function), options, detail::task_link::owner);
}
template <class Element, class F>
[[nodiscard]] auto async_stream(std::initializer_list<Element> input, F function, const stream_options& options = {}) {
  return async_stream(std::vector<Element>(input), std::move(function), options);
}
/// The same without links: a failure is the element's result.   Spec: EX-44, SV-135.
template <class Range, class F>
[[nodiscard]] auto async_stream_nolink(Range&& input, F function, const stream_options& options = {}) {
  return detail::stream_over(std::forward<Range>(input), std::move(function), options, detail::task_link::none);
}

}  // namespace coppice

// SPDX-License-Identifier: Apache-2.0
//
// request: asking without waiting. `send_request` returns at once; the response is taken later from the mailbox, alone or as
// the first of a collection, or recognised in an info handler. `call_all` asks many servers at once and waits once.
//
// A request is monitored until its response is taken: if the server ends first, that is the response. A response that was
// abandoned never reaches the mailbox.
#pragma once

#include <coppice/base/result.hpp>
#include <coppice/otp/call.hpp>
#include <coppice/process/message.hpp>

#include <initializer_list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace coppice {

/// A response in the mailbox of whoever asked: what `handle_info(message&)` sees of it.   Spec: GS-53.
template <class R>
using response = detail::response_payload<detail::stored<R>>;

/// A request whose response has not been taken. Dropped, it is abandoned: the response will vanish.
/// Thread: the process or thread that sent it.   Spec: GS-50.
template <class R>
class [[nodiscard]] pending {
 public:
  using reply_type = R;
  pending() noexcept = default;
  pending(pending&& other) noexcept : core_(std::exchange(other.core_, {})) {}
  pending& operator=(pending&& other) noexcept {
    if (this != &other) {
      drop();
      core_ = std::exchange(other.core_, {});
    }
    return *this;
  }
  ~pending() { drop(); }

  /// Tells requests apart; the response carries it.
  reference ref() const noexcept { return core_.ref; }
  coppice::pid server() const noexcept { return core_.server; }
  /// False when the response has been taken or the request abandoned.
  explicit operator bool() const noexcept { return bool(core_.ref); }

  /// For the library.
  explicit pending(detail::request_core core) noexcept : core_(core) {}
  detail::request_core release() noexcept { return std::exchange(core_, {}); }

 private:
  void drop() noexcept {
    if (core_.ref) detail::abandon_request(std::exchange(core_, {}).ref, descriptor_of<response<R>>());
  }
  detail::request_core core_{};
};

namespace detail {

template <class S, class Q>
pending<reply_of<Q>> send_request_at(pid to, Q& request) {
  if constexpr (check_call<S, Q>())
    return pending<reply_of<Q>>(send_request_core(to, descriptor_of<Q>(), __builtin_addressof(request), call_trampoline<S, Q>(), key_of_class<S, Q>()));
  else
    __builtin_unreachable();
}

call_error error_of_answer(const answer_record& record, pid server);
call_error error_of_unknown();

/// Waits for one of `refs`; the value, if it is one, goes into `value`.
template <class R>
answer_record wait_for_answer(std::span<const reference> refs, duration wait, std::optional<stored<R>>& value) {
  answer_record record;
  record.of = refs;
  record.type = &descriptor_of<response<R>>();
  record.context = &value;
  record.take = [](void* context, void* payload) {
    static_cast<std::optional<stored<R>>*>(context)->emplace(std::move(static_cast<response<R>*>(payload)->value));
  };
  receive_answer(record, wait);
  return record;
}

template <class R>
result<R, call_error> as_result(const answer_record& record, pid server, std::optional<stored<R>>& value) {
  if (record.kind != answer_kind::value) return error(error_of_answer(record, server));
  if constexpr (std::is_void_v<R>) return {};
  else return result<R, call_error>(std::in_place, std::move(*value));
}

}  // namespace detail

/// Asks without waiting. Never fails: an unknown name is answered with noproc.   Spec: GS-50.
template <class S, class Q>
pending<reply_of<Q>> send_request(const server_ref<S>& server, Q request) { return detail::send_request_at<S>(server.id(), request); }
template <class S, class Q>
pending<reply_of<Q>> send_request(const named<S>& server, Q request) {
  return detail::send_request_at<S>(detail::resolve(server.name()), request);
}

/// Waits for the response to `request`; at the timeout the request stays and may be waited for again.
/// Returns:  the reply, or call_error: noproc, ended, timeout, no_reply; unknown, at once, if the response was taken or the
///           request abandoned before.
/// Blocks:   the calling process or thread.   Spec: GS-52, GS-54, GS-55.
template <class R>
[[nodiscard]] result<R, call_error> wait_response(pending<R>& request, duration timeout = infinity) {
  if (!request) return error(detail::error_of_unknown());
  std::optional<detail::stored<R>> value;
  const coppice::pid server = request.server();
  const reference ref = request.ref();
  const auto record = detail::wait_for_answer<R>(std::span(&ref, 1), timeout, value);
  if (record.kind != detail::answer_kind::timed_out) (void)request.release();
  return detail::as_result<R>(record, server, value);
}
template <class R>
[[nodiscard]] result<R, call_error> wait_response(pending<R>& request, deadline until) { return wait_response(request, until.left()); }

/// As wait_response; at the timeout the request is abandoned.   Spec: GS-51.
template <class R>
[[nodiscard]] result<R, call_error> receive_response(pending<R>& request, duration timeout = infinity) {
  auto answer = wait_response(request, timeout);
  request = {};
  return answer;
}
template <class R>
[[nodiscard]] result<R, call_error> receive_response(pending<R>& request, deadline until) { return receive_response(request, until.left()); }

/// Whether `m`, which an info handler got, is the response to `request`; then it is taken.
/// Returns:  the response, or nothing if `m` is something else.   Spec: GS-53.
template <class R>
[[nodiscard]] std::optional<result<R, call_error>> check_response(message& m, pending<R>& request) {
  if (auto* r = m.as<response<R>>(); r != nullptr && r->ref == request.ref()) {
    request = {};
    if constexpr (std::is_void_v<R>) return result<R, call_error>();
    else return result<R, call_error>(std::in_place, std::move(r->value));
  }
  if (auto* d = m.as<down>(); d != nullptr) return check_response(*d, request);
  return std::nullopt;
}
template <class R>
[[nodiscard]] std::optional<result<R, call_error>> check_response(const down& d, pending<R>& request) {
  if (d.ref != request.ref()) return std::nullopt;
  detail::answer_record record;
  record.kind = detail::answer_kind::died;
  record.reason = d.reason;
  const coppice::pid server = request.release().server;
  return result<R, call_error>(error(detail::error_of_answer(record, server)));
}

/// A response that came out of a collection.
template <class R, class Label>
struct labelled_response {
  result<R, call_error> response;
  Label label;
};

/// Requests of one reply type, each with a label, whose responses are taken in the order in which they arrive.
/// Thread: the process or thread that sent them.   Spec: GS-56..GS-60.
template <class R, class Label>
class request_set {
 public:
  std::size_t size() const noexcept { return entries_.size(); }
  bool empty() const noexcept { return entries_.empty(); }

  /// Adds a request. Each `pending` can be in one collection only: it is moved in.
  void add(pending<R>&& request, Label label) {
    refs_.push_back(request.ref());
    entries_.push_back({std::move(request), std::move(label)});
  }
  /// The entries, oldest first: `visit(ref, label)`.
  template <class F>
  void for_each(F&& visit) const {
    for (const auto& e : entries_) visit(e.request.ref(), e.label);
  }

  /// The next response. With `keep_entry` its entry stays in the collection, as one that nobody may wait for again.
  /// Returns:  nothing, at once, if the collection is empty (GS-58). At the timeout: a timeout error, and all requests stay
  ///           (GS-59); the label is then a default-constructed one.
  std::optional<labelled_response<R, Label>> wait_response(duration timeout = infinity, bool keep_entry = false) {
    if (entries_.empty()) return std::nullopt;
    std::optional<detail::stored<R>> value;
    const auto record = detail::wait_for_answer<R>(refs_, timeout, value);
    if (record.kind == detail::answer_kind::timed_out) return labelled_response<R, Label>{detail::as_result<R>(record, {}, value), Label{}};
    std::size_t at = 0;
    while (refs_[at] != record.ref) ++at;
    entry& e = entries_[at];
    auto response = detail::as_result<R>(record, e.request.server(), value);
    (void)e.request.release();
    if (keep_entry) {
      refs_[at] = {};
      return labelled_response<R, Label>{std::move(response), e.label};
    }
    labelled_response<R, Label> taken{std::move(response), std::move(e.label)};
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
    refs_.erase(refs_.begin() + static_cast<std::ptrdiff_t>(at));
    return taken;
  }
  std::optional<labelled_response<R, Label>> wait_response(deadline until, bool keep_entry = false) { return wait_response(until.left(), keep_entry); }

  /// As wait_response; at the timeout all requests of the collection are abandoned (GS-59).
  std::optional<labelled_response<R, Label>> receive_response(duration timeout = infinity, bool keep_entry = false) {
    auto r = wait_response(timeout, keep_entry);
    if (r && !r->response && r->response.error().is(call_error::timeout)) {
      entries_.clear();
      refs_.clear();
    }
    return r;
  }
  std::optional<labelled_response<R, Label>> receive_response(deadline until, bool keep_entry = false) { return receive_response(until.left(), keep_entry); }

  /// Whether `m` is the response to one of the requests; then its entry is removed.   Spec: GS-57.
  std::optional<labelled_response<R, Label>> check_response(message& m) {
    for (std::size_t at = 0; at < entries_.size(); ++at) {
      if (auto r = coppice::check_response(m, entries_[at].request)) {
        labelled_response<R, Label> taken{std::move(*r), std::move(entries_[at].label)};
        entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
        refs_.erase(refs_.begin() + static_cast<std::ptrdiff_t>(at));
        return taken;
      }
    }
    return std::nullopt;
  }

 private:
  struct entry {
    pending<R> request;
    Label label;
  };
  std::vector<entry> entries_;
  std::vector<reference> refs_;
};

/// Asks without waiting, into a collection.   Spec: GS-56.
template <class Server, class Q, class Label>
void send_request(const Server& server, Q request, Label label, request_set<reply_of<Q>, Label>& collection) {
  collection.add(send_request(server, std::move(request)), std::move(label));
}

namespace detail {

/// Sends all of `calls`, waits for all until one common deadline; what is not answered then is abandoned.
void call_all_core(std::span<call_record> calls, duration timeout);

template <class S, class Q, class Refs>
std::vector<result<reply_of<Q>, call_error>> call_all_at(const Refs& servers, const Q& request, duration timeout) {
  using R = stored<reply_of<Q>>;
  struct part {
    Q request;
    reply_room<R> room;
  };
  std::vector<call_record> records;
  std::vector<part*> parts;
  // What was answered and not taken is destroyed, also when the caller ends while it waits.
  struct cleaner {
    std::vector<call_record>& records;
    std::vector<part*>& parts;
    std::size_t taken = 0;
    ~cleaner() {
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i >= taken && i < records.size() && records[i].status == call_status::replied) parts[i]->room.value.~R();
        delete parts[i];
      }
    }
  } cleaning{records, parts};
  for (const auto& server : servers) {
    parts.push_back(new part{request, {}});
    records.emplace_back();
    prepare_call<S, Q>(records.back(), find_server(server), parts.back()->request, &parts.back()->room, {.timeout = timeout, .queued = true});
  }
  call_all_core(records, timeout);
  std::vector<result<reply_of<Q>, call_error>> answers;
  answers.reserve(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].status != call_status::replied) {
      answers.push_back(error(error_of(records[i], site_of<S, Q>, nullptr)));
      continue;
    }
    const reply_taken<R> taken{parts[i]->room.value};
    cleaning.taken = i + 1;
    if constexpr (std::is_void_v<reply_of<Q>>) answers.emplace_back();
    else answers.emplace_back(std::in_place, std::move(taken.value));
  }
  return answers;
}

}  // namespace detail

/// Asks all `servers` the same at once and waits once.
/// Returns:  one result for each server, in the order of the list (GS-84). Who is not there, ended or did not answer in time
///           has an error; nothing of them is left behind.
/// Blocks:   the calling process or thread, for one timeout in all.   Spec: GS-83..GS-86.
template <class S, class Q>
std::vector<result<reply_of<Q>, call_error>> call_all(std::span<const server_ref<S>> servers, const Q& request, duration timeout = infinity) {
  if constexpr (detail::check_call<S, Q>()) return detail::call_all_at<S>(servers, request, timeout);
  else __builtin_unreachable();
}
template <class S, class Q>
std::vector<result<reply_of<Q>, call_error>> call_all(const std::vector<server_ref<S>>& servers, const Q& request, duration timeout = infinity) {
  return call_all(std::span<const server_ref<S>>(servers), request, timeout);
}

/// One server that answered a multi_call, and those that did not.
template <class R>
struct multi_replies {
  std::vector<std::pair<name_view, R>> replies;
  std::vector<name_view> bad;
};

/// Asks the servers of class `S` that hold `names`; the scatter/gather form of GS-83 over names.
/// Returns:  the replies and the names that gave none, both in the order of the list. Borrows the names.
template <class S, class Q>
multi_replies<detail::stored<reply_of<Q>>> multi_call(std::span<const named<S>> names, const Q& request, duration timeout = infinity) {
  std::vector<server_ref<S>> servers;
  for (const auto& n : names) servers.push_back(server_ref<S>(detail::resolve(n.name())));
  auto answers = call_all(servers, request, timeout);
  multi_replies<detail::stored<reply_of<Q>>> out;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i]) out.bad.push_back(names[i].name());
    else if constexpr (std::is_void_v<reply_of<Q>>) out.replies.push_back({names[i].name(), {}});
    else out.replies.push_back({names[i].name(), std::move(*answers[i])});
  }
  return out;
}
template <class S, class Q>
multi_replies<detail::stored<reply_of<Q>>> multi_call(const std::vector<named<S>>& names, const Q& request, duration timeout = infinity) {
  return multi_call(std::span<const named<S>>(names), request, timeout);
}

/// Tells the same to all servers that hold one of `names`, at once.   Spec: GS-82.
template <class S, class M>
void abcast(std::span<const named<S>> names, const M& message) {
  for (const auto& n : names) cast(n, M(message));
}
template <class S, class M>
void abcast(const std::vector<named<S>>& names, const M& message) { abcast(std::span<const named<S>>(names), message); }

}  // namespace coppice

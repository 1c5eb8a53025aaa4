// SPDX-License-Identifier: Apache-2.0
//
// server_child: the start of a server from a spec. Runs in the supervisor.
#include <coppice/otp/child.hpp>
#include <coppice/otp/detail/gen.hpp>

namespace coppice::detail {

started_child start_server_child(const child_class& what, const child_spec& spec, void* given) {
  const start_options options{.name = spec.name.view(), .timeout = spec.start_timeout, .label = spec.label};
  start_record record;
  record.cls = what.cls;
  record.init = what.init;
  record.arguments = given;
  record.options = &options;
  record.kind = start_kind::linked;
  return guarded_server_start([&] {
    start_core(record);
    return record.who;
  });
}

started_child outcome_of(const start_error& e) {
  if (e.ignored()) return started_child::ignore();
  if (e.is(start_error::already_started)) return started_child::taken_by(e.holder());
  return started_child::failure(e.reason());
}

}  // namespace coppice::detail

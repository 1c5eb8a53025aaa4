// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/application.hpp>

#include <coppice/base/to_text.hpp>

#include "otp/application_controller.hpp"

namespace coppice {

using internal::application_controller;

namespace {

result<std::vector<std::string>, application_error> names_of(result<application_controller::verdict, call_error> said, std::string_view application) {
  if (!said) return error(application_error(application_error::unreachable, std::string(application), "application_error: " + std::string(application) + ": " + said.error().what(), said.error().reason()));
  if (said->problem) return error(std::move(*said->problem));
  return std::move(said->done);
}

}  // namespace

std::string to_text(const application& what) {
  std::string text = what.name + " (" + text_of(what.kind) + ")";
  const char* before = ", needs ";
  for (const application& n : what.needs) text += std::exchange(before, ", ") + n.name;
  return text;
}

result<std::vector<std::string>, application_error> try_start_application(const application& what, const config& c, duration timeout) {
  auto order = internal::in_order_of_needs(what);
  if (!order) return error(std::move(order.error()));
  internal::ensure_application_controller();
  return names_of(try_call(application_controller::server, application_controller::start_all{std::move(*order), what.name, c}, timeout), what.name);
}

result<std::vector<std::string>, application_error> try_stop_application(std::string_view name, duration timeout) {
  if (!detail::resolve(application_controller::server))
    return error(application_error(application_error::not_found, std::string(name), "application_error: " + std::string(name) + " does not run"));
  return names_of(try_call(application_controller::server, application_controller::stop_one{std::string(name)}, timeout), name);
}

std::vector<application_information> running_applications(duration timeout) {
  if (!detail::resolve(application_controller::server)) return {};
  return call(application_controller::server, application_controller::list{}, timeout);
}

}  // namespace coppice

// SPDX-License-Identifier: Apache-2.0
//
// config, the compiled half: look-up, conversion to what the reader wants, and the words of its errors.
#include "otp/config_layers.hpp"

#include <coppice/base/to_text.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

namespace coppice {

using detail::config_layers;
using detail::config_wanted;

namespace {

using setting = config_layers::setting;

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string range_of(const config_wanted& wanted, std::string (*shown)(std::int64_t)) {
  const bool low = wanted.least != std::numeric_limits<std::int64_t>::min();
  const bool high = wanted.most != std::numeric_limits<std::int64_t>::max();
  if (low && high) return " from " + shown(wanted.least) + " to " + shown(wanted.most);
  if (low) return " of at least " + shown(wanted.least);
  return high ? " of at most " + shown(wanted.most) : std::string();
}

std::string shown_number(std::int64_t n) { return std::to_string(n); }
std::string shown_time(std::int64_t n) { return duration_text(n); }

/// `a whole number from 1 to 10`
std::string expected(const config_wanted& wanted) {
  switch (wanted.is) {
    case config_value::boolean: return "true or false";
    case config_value::integer: return "a whole number" + range_of(wanted, &shown_number);
    case config_value::floating: return "a number";
    case config_value::time: {
      config_wanted w = wanted;
      if (w.least == 0) w.least = std::numeric_limits<std::int64_t>::min();
      return "a time with its unit, like 500ms or 5s" + range_of(w, &shown_time);
    }
    default: return "text";
  }
}

std::string shown(const config_value& v) {
  switch (v.is) {
    case config_value::none: return "nothing";
    case config_value::boolean: return v.number != 0 ? "true" : "false";
    case config_value::integer: return std::to_string(v.number);
    case config_value::floating: return text_of(v.real);
    case config_value::time: return duration_text(v.number);
    case config_value::list: return "a list";
    case config_value::text: return "the text " + quoted(text_of(std::string_view(v.words), {.max_bytes = 80}));
    case config_value::word: return quoted(text_of(std::string_view(v.words), {.max_bytes = 80}));
  }
  return "?";
}

std::unexpected<config_error> refuse(config_error::kind why, const setting& s, std::string_view key, const config_wanted& wanted) {
  std::string what = s.where + ": " + (s.from == config_layers::command_line || s.from == config_layers::environment ? "" : std::string(key) + " ");
  what += "is " + (wanted.hidden ? std::string("something else (not shown)") : shown(s.value)) + "; expected " + expected(wanted);
  return error(config_error(why, std::string(key), s.where, std::move(what)));
}

bool read_bool(std::string_view word, std::int64_t& into) noexcept {
  for (const auto& [text, value] : {std::pair{"true", 1}, {"false", 0}, {"yes", 1}, {"no", 0}, {"on", 1}, {"off", 0}, {"1", 1}, {"0", 0}})
    if (word == text) return into = value, true;
  return false;
}

/// All of `word`, as a number.
template <class N>
std::errc read_number(std::string_view word, N& into) noexcept {
  if (word.starts_with('+')) word.remove_prefix(1);
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), into);
  if (problem != std::errc{}) return problem;
  return end == word.data() + word.size() ? std::errc{} : std::errc::invalid_argument;
}

struct unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr unit units[] = {{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"min", 60'000'000'000}, {"h", 3'600'000'000'000}};

std::errc read_time(std::string_view word, std::int64_t& into) noexcept {
  if (word == "infinity") return into = infinity.count(), std::errc{};
  const std::size_t digits = word.find_first_not_of("0123456789.");
  if (digits == 0 || digits == std::string_view::npos) return std::errc::invalid_argument;
  const auto* u = std::find_if(std::begin(units), std::end(units), [&](const unit& one) { return one.name == word.substr(digits); });
  if (u == std::end(units)) return std::errc::invalid_argument;
  std::int64_t whole = 0;
  if (read_number(word.substr(0, digits), whole) == std::errc{})
    return __builtin_mul_overflow(whole, u->nanoseconds, &into) ? std::errc::result_out_of_range : std::errc{};
  double fraction = 0;
  if (const std::errc problem = read_number(word.substr(0, digits), fraction); problem != std::errc{}) return problem;
  const double n = fraction * static_cast<double>(u->nanoseconds);
  if (!(n < 9.2e18)) return std::errc::result_out_of_range;
  into = static_cast<std::int64_t>(std::llround(n));
  return {};
}

/// What a word, or a file's text where only text can say it, means as `wanted`.
std::errc read_word(std::string_view word, config_value::type wanted, config_value& out) {
  switch (wanted) {
    case config_value::boolean: return read_bool(word, out.number) ? std::errc{} : std::errc::invalid_argument;
    case config_value::integer: return read_number(word, out.number);
    case config_value::floating: return read_number(word, out.real);
    case config_value::time: return read_time(word, out.number);
    default: out.words = word; return {};
  }
}

/// Not by the type the source gave it.
bool read_typed(const config_value& in, config_value::type wanted, config_value& out) noexcept {
  if (in.is == wanted) return out = in, true;
  if (wanted == config_value::floating && in.is == config_value::integer) return out.real = static_cast<double>(in.number), true;
  return false;
}

}  // namespace

namespace detail {

bool same_key(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return x == y || (x == '-' && y == '_') || (x == '_' && y == '-'); });
}

std::string environment_name(std::string_view key) {
  std::string name(key);
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : (c == '.' || c == '-') ? '_' : c;
  return name;
}

const config_layers::setting* config_layers::find(std::string_view key) const noexcept {
  const std::string in_environment = environment_name(key);
  for (auto s = settings.rbegin(); s != settings.rend(); ++s)
    if (s->from == environment ? s->key == in_environment : same_key(s->key, key)) return &*s;
  return nullptr;
}

const config_layers::setting* config_layers::item(const setting& of, std::string_view key, std::int64_t index) const noexcept {
  const std::string item_key = std::string(key) + '.' + std::to_string(index);
  for (const setting& s : settings)
    if (s.from == of.from && s.layer == of.layer && same_key(s.key, item_key)) return &s;
  return nullptr;
}

result<config_value, config_error> converted(const config_layers::setting& s, std::string_view key, const config_wanted& wanted) {
  config_value out;
  out.is = wanted.is;
  const bool is_word = s.value.is == config_value::word || (s.value.is == config_value::text && wanted.is == config_value::time);
  if (is_word) {
    const std::errc problem = read_word(s.value.words, wanted.is, out);
    if (problem == std::errc::result_out_of_range) return refuse(config_error::out_of_range, s, key, wanted);
    if (problem != std::errc{}) return refuse(config_error::wrong_type, s, key, wanted);
  } else if (!read_typed(s.value, wanted.is, out)) {
    return refuse(config_error::wrong_type, s, key, wanted);
  }
  const bool counted = wanted.is == config_value::integer || wanted.is == config_value::time;
  if (counted && (out.number < wanted.least || out.number > wanted.most)) return refuse(config_error::out_of_range, s, key, wanted);
  return out;
}

}  // namespace detail

// --- config ----------------------------------------------------------------------------------------------------------

config::config() noexcept = default;

config::config(std::initializer_list<config_setting> settings) {
  auto made = std::make_unique<config_layers>();
  for (const config_setting& s : settings) made->settings.push_back({.key = s.key, .value = s.value, .where = "given"});
  layers_ = made.release();
}

config::config(const config& other) noexcept : layers_(other.layers_), prefix_(other.prefix_) {
  if (layers_ != nullptr) layers_->holders.fetch_add(1, detail::sync::relaxed);
}

config::~config() {
  if (layers_ != nullptr && layers_->holders.fetch_sub(1, detail::sync::acq_rel) == 1) delete layers_;
}

std::string config::full(std::string_view key) const { return prefix_ + std::string(key); }

result<config_value, config_error> config::find(std::string_view key, const config_wanted& wanted) const {
  const std::string whole = full(key);
  const setting* s = layers_ != nullptr ? layers_->find(whole) : nullptr;
  if (s == nullptr)
    return error(config_error(config_error::missing, whole, "", whole + " is not set; expected " + expected(wanted)));
  return detail::converted(*s, whole, wanted);
}

result<std::vector<config_value>, config_error> config::find_list(std::string_view key, const config_wanted& wanted) const {
  const std::string whole = full(key);
  const setting* s = layers_ != nullptr ? layers_->find(whole) : nullptr;
  if (s == nullptr)
    return error(config_error(config_error::missing, whole, "", whole + " is not set; expected a list of: " + expected(wanted)));
  std::vector<config_value> all;
  if (s->value.is == config_value::list) {
    for (std::int64_t i = 0; i < s->value.number; ++i) {
      const setting* one = layers_->item(*s, whole, i);
      if (one == nullptr)
        return error(config_error(config_error::wrong_type, whole, s->where, s->where + ": " + whole + " holds tables or lists; expected a list of: " + expected(wanted)));
      auto v = detail::converted(*one, one->key, wanted);
      if (!v) return error(std::move(v.error()));
      all.push_back(*std::move(v));
    }
    return all;
  }
  if (s->value.is != config_value::word)
    return error(config_error(config_error::wrong_type, whole, s->where, s->where + ": " + whole + " is " + (wanted.hidden ? "not shown" : shown(s->value)) + "; expected a list"));
  for (std::string_view rest = s->value.words; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    setting one = *s;
    one.value.words = std::string(rest.substr(0, comma));
    auto v = detail::converted(one, whole, wanted);
    if (!v) return error(std::move(v.error()));
    all.push_back(*std::move(v));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return all;
}

bool config::has(std::string_view key) const noexcept {
  if (layers_ == nullptr) return false;
  const std::string whole = full(key), table = whole + '.', in_environment = detail::environment_name(table);
  if (layers_->find(whole) != nullptr) return true;
  return std::any_of(layers_->settings.begin(), layers_->settings.end(), [&](const setting& s) {
    if (s.from == config_layers::environment) return s.key.starts_with(in_environment);
    return s.key.size() > table.size() && detail::same_key(std::string_view(s.key).substr(0, table.size()), table);
  });
}

config config::section(std::string_view name) const {
  config part(*this);
  part.prefix_ = full(name) + '.';
  return part;
}

std::vector<config> config::sections(std::string_view name) const {
  std::vector<config> all;
  const std::string whole = full(name);
  const setting* s = layers_ != nullptr ? layers_->find(whole) : nullptr;
  if (s != nullptr && s->value.is == config_value::list)
    for (std::int64_t i = 0; i < s->value.number; ++i) all.push_back(section(std::string(name) + '.' + std::to_string(i)));
  return all;
}

std::string config::source(std::string_view key) const {
  const setting* s = layers_ != nullptr ? layers_->find(full(key)) : nullptr;
  return s != nullptr ? s->where : std::string();
}

std::vector<std::string> config::keys() const {
  std::vector<std::string> all;
  if (layers_ == nullptr) return all;
  for (const setting& s : layers_->settings)
    if (s.from != config_layers::environment && s.key.starts_with(prefix_)) all.push_back(s.key.substr(prefix_.size()));
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end(), &detail::same_key), all.end());
  return all;
}

duration parse_duration(std::string_view text) {
  std::int64_t n = 0;
  if (read_time(text, n) != std::errc{})
    throw config_error(config_error::wrong_type, "", "", quoted(text) + " is no time; expected a number with its unit, like 500ms, 5s, 2min or 1h");
  return duration(n);
}

}  // namespace coppice

// SPDX-License-Identifier: Apache-2.0
//
// supervision_tree: what stands under a supervisor, asked from the top down, and drawn.
#include <coppice/otp/supervisor.hpp>

#include <utility>

namespace coppice {

namespace {

std::string described(const supervisor_information& s) {
  std::string text = s.dynamic ? std::string("dynamic") : text_of(s.strategy);
  return text + ", " + std::to_string(s.restarts) + " of " + std::to_string(s.intensity) + " restarts in " + duration_text(s.period.count());
}

/// A child that does not answer (it is no supervisor of this library, or ends just now) is drawn as a leaf.
void add_children(supervision_tree& at, const supervisor& asked, std::size_t most, std::vector<child_information> children) {
  for (child_information& c : children) {
    if (at.children.size() == most) {
      at.left_out = children.size() - most;
      return;
    }
    supervision_tree& node = at.children.emplace_back(supervision_tree{.id = std::move(c.id), .who = c.who, .state = c.state, .what = std::move(c.start)});
    if (c.type != child_type::supervisor || !c.who) continue;
    const supervisor below(c.who);
    auto about = detail::about_supervisor(detail::supervisor_address(c.who), 5s);
    auto its = below.try_which_children(5s);
    if (!about || !its) continue;
    node.what = described(*about);
    add_children(node, below, most, std::move(*its));
  }
  (void)asked;
}

void draw(std::string& out, const supervision_tree& t, const std::string& before) {
  if (!t.id.empty()) out += t.id + " ";
  out += t.state == child_state::running ? to_text(t.who) : t.state == child_state::restarting ? "(restarting)" : "(stopped)";
  if (!t.what.empty() && t.what != t.id) out += "  " + t.what;
  out += '\n';
  for (std::size_t i = 0; i < t.children.size(); ++i) {
    const bool last = i + 1 == t.children.size() && t.left_out == 0;
    out += before + (last ? "└─ " : "├─ ");
    draw(out, t.children[i], before + (last ? "   " : "│  "));
  }
  if (t.left_out != 0) out += before + "└─ … " + std::to_string(t.left_out) + " more\n";
}

}  // namespace

supervision_tree tree(const supervisor& top, std::size_t most) {
  const supervisor_information about = top.about();
  supervision_tree t{.id = about.name, .who = top.id(), .what = described(about)};
  add_children(t, top, most, top.which_children());
  return t;
}

std::string to_text(const supervision_tree& tree) {
  std::string out;
  draw(out, tree, "");
  return out;
}

}  // namespace coppice

// SPDX-License-Identifier: Apache-2.0
#include "app/port_holder.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

namespace coppice::internal {

namespace {

namespace fs = std::filesystem;

/// The sockets that listen on `port`, as they are called in /proc/<pid>/fd.
void add_listeners(const char* table, std::uint16_t port, std::vector<std::string>& to) {
  std::ifstream lines(table);
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string number, local, remote, state, queues, timer, retransmits, user, timeout, inode;
    words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user >> timeout >> inode;
    constexpr std::string_view listens = "0A";
    const std::size_t colon = local.rfind(':');
    if (!words || state != listens || colon == std::string::npos) continue;
    if (std::stoul(local.substr(colon + 1), nullptr, 16) == port) to.push_back("socket:[" + inode + "]");
  }
}

bool has_one_of(const fs::path& process, const std::vector<std::string>& sockets) {
  std::error_code problem;
  for (fs::directory_iterator fd(process / "fd", problem), end; !problem && fd != end; fd.increment(problem)) {
    std::error_code gone;
    const std::string target = fs::read_symlink(fd->path(), gone).string();
    if (!gone && std::find(sockets.begin(), sockets.end(), target) != sockets.end()) return true;
  }
  return false;
}

}  // namespace

std::string port_holder(std::uint16_t port) {
  std::vector<std::string> sockets;
  add_listeners("/proc/net/tcp", port, sockets);
  add_listeners("/proc/net/tcp6", port, sockets);
  if (sockets.empty()) return {};
  std::error_code problem;
  for (fs::directory_iterator process("/proc", problem), end; !problem && process != end; process.increment(problem)) {
    const std::string id = process->path().filename().string();
    if (!std::all_of(id.begin(), id.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
    if (!has_one_of(process->path(), sockets)) continue;
    std::ifstream named(process->path() / "comm");
    std::string name;
    std::getline(named, name);
    return name + " (OS process " + id + ")";
  }
  return {};
}

}  // namespace coppice::internal

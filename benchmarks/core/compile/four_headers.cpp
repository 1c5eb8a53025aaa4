// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <iostream>
#include <mutex>
#include <thread>

int main() {
  std::mutex mutex;
  std::function<void()> greet = [&] {
    const std::lock_guard lock(mutex);
    std::cout << "hello\n";
  };
  std::thread(greet).join();
}

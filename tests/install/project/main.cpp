// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/detail/sync.hpp>

int main() { return coppice::detail::sync::now() > 0 ? 0 : 1; }

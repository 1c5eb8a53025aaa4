// SPDX-License-Identifier: Apache-2.0
//
// Boost.JSON, compiled as a part of this program (docs/decisions/0004-json-in-the-switchboard.md).
#include <boost/json/src.hpp>

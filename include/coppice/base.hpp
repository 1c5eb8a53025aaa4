// SPDX-License-Identifier: Apache-2.0
//
// All public headers of the room base: for convenience; single headers compile faster.
#pragma once

#include <coppice/base/abi.hpp>
#include <coppice/base/any_value.hpp>
#include <coppice/base/assert.hpp>
#include <coppice/base/fields.hpp>
#include <coppice/base/function.hpp>
#include <coppice/base/hash.hpp>
#include <coppice/base/log_sink.hpp>
#include <coppice/base/result.hpp>
#include <coppice/base/secret.hpp>
#include <coppice/base/time.hpp>
#include <coppice/base/to_text.hpp>
#include <coppice/base/type_name.hpp>

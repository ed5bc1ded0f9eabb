#pragma once

/// What is said of a crew message that is not one. Included by the .cpp files of this folder only.

#include <string>
#include <utility>

#include "training/errc.hpp"

namespace tequio::training::crew_protocol {

inline base::error bad(std::string what) {
    return fail(errc::bad_message, "crew message: " + std::move(what));
}

}  // namespace tequio::training::crew_protocol

#include "base/ensure.hpp"

#include <cstdio>
#include <cstdlib>

namespace tequio::base {

void fail_ensure(const char* what, std::source_location where) {
    std::fprintf(stderr, "tequio: internal error: %s (%s:%u)\n", what, where.file_name(),
                 static_cast<unsigned>(where.line()));
    std::abort();
}

}  // namespace tequio::base

#pragma once

/// What a worker must not be able to do, deed by deed, each as a system call: tried by worker_child
/// from inside the sandbox, and from outside it, where none may look refused.

#include <functional>
#include <string>
#include <vector>

namespace tequio::node::testing {

/// How a deed ended.
enum class deed_end {
    refused,  ///< by the wall: EPERM, or EACCES where Landlock stands alone
    done,     ///< it worked
    other,    ///< it failed for a reason of its own: this wall was not in its way
};

struct forbidden_deed {
    std::string name;
    std::function<deed_end()> attempt;
    /// Refused to ordinary users, or by the filters of common container runtimes, with and without
    /// our sandbox: says nothing when tried outside it.
    bool needs_rights = false;
    /// Landlock refuses it without seccomp, from this version on; 0: not its business.
    unsigned landlock = 0;
    /// Not even a sanitizer build may do it.
    bool in_relaxed = false;
};

/// All deeds. `folder`: an empty folder of the test's own, in which some need files; made ready
/// here, so called before any wall stands.
std::vector<forbidden_deed> forbidden_deeds(const std::string& folder);

}  // namespace tequio::node::testing

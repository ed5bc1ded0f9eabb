#include "node/worker/landlock.hpp"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "node/io/files.hpp"

namespace tequio::node {
namespace {

// Own numbers, for the headers of Debian 12 end at version 2. From include/uapi/linux/landlock.h:
// file rights are consecutive bits, and each version adds some at the top.
constexpr std::uint64_t create_ruleset_version = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr unsigned file_bits_abi_1 = 13;             // EXECUTE (bit 0) to MAKE_SYM (bit 12)
constexpr unsigned file_bits_abi_2 = 14;             // and REFER: linking into another folder
constexpr unsigned file_bits_abi_3 = 15;             // and TRUNCATE
constexpr unsigned file_bits_abi_5 = 16;             // and IOCTL_DEV
constexpr std::uint64_t network_abi_4 = 3;           // BIND_TCP (bit 0), CONNECT_TCP (bit 1)
constexpr std::uint64_t scopes_abi_6 = 3;            // ABSTRACT_UNIX_SOCKET (bit 0), SIGNAL (bit 1)

/// struct landlock_ruleset_attr of version 6. Older kernels take a longer structure than theirs as
/// long as the rest is zero.
struct ruleset_attributes {
    std::uint64_t handled_access_fs;
    std::uint64_t handled_access_net;
    std::uint64_t scoped;
};

constexpr std::uint64_t lowest_bits(unsigned count) {
    return (std::uint64_t{1} << count) - 1;
}

base::error refused(const char* what, int error_number) {
    return base::fail(base::errc::io_failure,
                      std::string("landlock: cannot ") + what + ": " + std::strerror(error_number));
}

}  // namespace

landlock_rights landlock_rights_of(unsigned abi) {
    landlock_rights out;
    if (abi >= 1) out.files = lowest_bits(file_bits_abi_1);
    if (abi >= 2) out.files = lowest_bits(file_bits_abi_2);
    if (abi >= 3) out.files = lowest_bits(file_bits_abi_3);
    if (abi >= 4) out.network = network_abi_4;
    if (abi >= 5) out.files = lowest_bits(file_bits_abi_5);
    if (abi >= 6) out.scopes = scopes_abi_6;
    return out;
}

unsigned landlock_abi() {
    const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, create_ruleset_version);
    if (version <= 0) return 0;
    return std::min(static_cast<unsigned>(version), landlock_abi_max);
}

base::result<unsigned> forbid_new_access() {
    const auto abi = landlock_abi();
    if (abi == 0) return 0u;
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return refused("give up new privileges", errno);
    }
    const auto rights = landlock_rights_of(abi);
    const ruleset_attributes handled{rights.files, rights.network, rights.scopes};
    const unique_fd rules(
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0)));
    if (!rules) return refused("make a set of rules", errno);
    if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) {
        return refused("take the rules on", errno);
    }
    return abi;
}

}  // namespace tequio::node

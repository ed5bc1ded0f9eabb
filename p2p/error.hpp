#pragma once

/// What p2p can refuse.

#include "base/result.hpp"

namespace tequio::p2p {

/// Codes for programs; the sentence that comes with each is for people.
enum class errc {
    bad_message = 1,      ///< a peer's bytes are not a message, or break a cap
    bad_certificate,      ///< a role key that its root key did not certify
    bad_key_file,         ///< a key file that is truncated, corrupt, or of another kind
    key_file_exposed,     ///< a key file that other users of the machine can read
    not_found,            ///< a file, peer, note or transfer that is not there
    data_dir_locked,      ///< another process holds the data directory
    io_failure,           ///< the operating system refused; the sentence carries its reason
    bad_address,          ///< text that is not host:port
    bad_swarm_note,       ///< a founding note that is malformed or not signed by its admin
    bad_invite,           ///< an invite line that is damaged, or does not fit its swarm
    invite_expired,       ///< an invite past its date
    not_in_this_version,  ///< asked for something this version does not do
    not_loopback,         ///< a node in no swarm stays on loopback
    too_large,            ///< a length above its cap
    full,                 ///< a bounded table has no room left
};

boost::system::error_code make_error_code(errc e);
using base::fail;

}  // namespace tequio::p2p

namespace boost::system {
template <>
struct is_error_code_enum<tequio::p2p::errc> : std::true_type {};
}  // namespace boost::system

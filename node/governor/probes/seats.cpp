#include "node/governor/probes/seats.hpp"

#include <systemd/sd-login.h>

namespace tequio::node {

bool sits_at_a_seat(std::uint32_t user) {
    return sd_uid_get_seats(user, 1, nullptr) > 0;
}

}  // namespace tequio::node

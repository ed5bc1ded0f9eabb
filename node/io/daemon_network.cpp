// The daemon and what its links carry: limits of its rate, and of a month's bytes.

#include <algorithm>

#include "node/io/daemon_loop.hpp"

namespace tequio::node {
namespace {

constexpr auto traffic_look_every = std::chrono::seconds(2);
/// A power cut forgets so much at most: this many bytes, or what came in so many looks.
constexpr std::uint64_t unkept_max_bytes = std::uint64_t{16} << 20;
constexpr unsigned unkept_max_looks = 30;
/// Crews hear of the links every so many looks.
constexpr unsigned connection_looks = 5;

}  // namespace

void daemon_loop::limit_rates() {
    // Loopback costs nobody's uplink; limits are for links that leave the machine.
    auto rate = swarm_ ? options_.config.upload_limit_bits / 8 : 0;
    if (swarm_ && governed_upload_ != 0) rate = std::min(rate, governed_upload_);
    transport_->set_upload_limit(rate);
    const auto download = swarm_ ? options_.config.download_limit_bits.value_or(0) / 8 : 0;
    handle(p2p::network_event(p2p::set_download_limit{download}));
}

traffic_sum daemon_loop::traffic_this_month() const {
    auto sum = traffic_.month(now().wall);
    sum.sent += traffic_unkept_.sent;
    sum.received += traffic_unkept_.received;
    return sum;
}

void daemon_loop::count_traffic(bool keep) {
    const traffic_sum all{transport_->bytes_sent(), transport_->bytes_received()};
    if (swarm_) {
        traffic_unkept_.sent += all.sent - traffic_seen_.sent;
        traffic_unkept_.received += all.received - traffic_seen_.received;
    }
    traffic_seen_ = all;
    keep = keep || traffic_unkept_.all() >= unkept_max_bytes;
    if (!keep || traffic_unkept_.all() == 0) return;
    std::vector<store_change> changes;
    for (auto& [key, text] : traffic_.add(std::exchange(traffic_unkept_, {}), now().wall)) {
        changes.push_back({std::string(traffic_record::bucket), key, std::move(text)});
    }
    note_down(std::move(changes));
}

void daemon_loop::hold_traffic_to_limit() {
    const auto limit = options_.config.monthly_traffic_bytes;
    std::optional<traffic_used_up> used;
    if (swarm_ && limit && traffic_this_month().all() >= *limit) {
        used = traffic_used_up{*limit, traffic_record::next_month(now().wall)};
    }
    if (used == used_up_) return;
    used_up_ = used;
    node_effects effects;
    logic_->set_traffic_used_up(now(), used, effects);
    carry_out(std::move(effects));
}

/// What crews may know of the links when they compose teams.
void daemon_loop::look_at_connection() {
    std::vector<base::duration> trips;
    for (const auto& s : transport_->statistics()) {
        if (s.rtt > base::duration{}) trips.push_back(s.rtt);
    }
    std::sort(trips.begin(), trips.end());
    const auto median = trips.empty() ? base::duration{} : trips[trips.size() / 2];
    handle(connection_seen{transport_->uplink().value_or(0), median});
}

void daemon_loop::watch_traffic() {
    count_traffic(++traffic_looks_ % unkept_max_looks == 0);
    hold_traffic_to_limit();
    if (traffic_looks_ % connection_looks == 0) look_at_connection();
    traffic_timer_.expires_after(traffic_look_every);
    traffic_timer_.async_wait([this](boost::system::error_code ec) {
        if (!ec && !stopping_) watch_traffic();
    });
}

}  // namespace tequio::node

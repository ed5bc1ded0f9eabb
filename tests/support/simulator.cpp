#include "tests/support/simulator.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/signing.hpp"
#include "base/text.hpp"

namespace tequio::simulation {

void scheduler::at(base::time_point when, std::function<void()> action) {
    queue_.push({std::max(when, now_), ++sequence_, std::move(action)});
}

bool scheduler::run_one() {
    if (queue_.empty()) return false;
    // The action is moved out of a copy: it may schedule others.
    auto action = std::move(const_cast<entry&>(queue_.top()).action);
    now_ = queue_.top().when;
    queue_.pop();
    ++events_;
    action();
    return true;
}

virtual_network::virtual_network(scheduler& time, std::size_t nodes, base::rng rng)
    : time_(time), rng_(rng), nodes_(nodes, nullptr), lives_(nodes, 0) {}

void virtual_network::add_node() {
    nodes_.push_back(nullptr);
    lives_.push_back(0);
}

void virtual_network::attach(std::size_t index, sim_node* node) {
    nodes_[index] = node;
    ++lives_[index];
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
        if (other == index || nodes_[other] == nullptr) continue;
        if (cuts_.contains({index, other}) && cuts_.contains({other, index})) continue;
        if (!connects(index, other)) continue;
        node->peer_up(other);
        nodes_[other]->peer_up(index);
    }
}

void virtual_network::detach(std::size_t index) {
    nodes_[index] = nullptr;
    ++lives_[index];
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
        if (nodes_[other] == nullptr || !connects(index, other)) continue;
        // A closed socket tells some; the others learn it by silence.
        if (rng_.chance(0.5)) {
            nodes_[other]->peer_down(index);
        } else if (conditions.death_noticed) {
            notice_death(other, index);
        }
    }
}

void virtual_network::notice_death(std::size_t other, std::size_t dead) {
    time_.after(*conditions.death_noticed,
                [this, other, dead, life = lives_[other], gone = lives_[dead]] {
                    if (nodes_[other] == nullptr || lives_[other] != life) return;
                    if (lives_[dead] == gone) nodes_[other]->peer_down(dead);
                });
}

void virtual_network::send(std::size_t from, std::size_t to, base::byte_vector bytes) {
    ++sent_;
    bytes_ += bytes.size();
    const auto shared = std::make_shared<const base::byte_vector>(std::move(bytes));
    const int copies = rng_.chance(conditions.duplication) ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) {
        if (rng_.chance(conditions.loss)) continue;
        auto delay = rng_.between(conditions.delay_min, conditions.delay_max);
        if (way) delay += way(from, to);
        if (rng_.chance(conditions.late)) delay += rng_.between({}, conditions.late_max);
        time_.after(delay, [this, from, to, shared, life = lives_[to]] {
            if (nodes_[to] == nullptr || lives_[to] != life || cuts_.contains({from, to})) return;
            if (on_delivery) on_delivery(from, to, *shared);
            nodes_[to]->receive(from, *shared);
        });
    }
}

void virtual_network::cut(const std::set<std::size_t>& from, const std::set<std::size_t>& to) {
    for (const auto a : from) {
        for (const auto b : to) {
            if (a != b) cuts_.emplace(a, b);
        }
    }
}

void virtual_network::heal() {
    const auto cuts = std::exchange(cuts_, {});
    for (const auto& [from, to] : cuts) {
        if (nodes_[from] != nullptr && nodes_[to] != nullptr && connects(from, to)) {
            nodes_[to]->peer_up(from);
        }
    }
}

void virtual_disk::sync() {
    for (auto& [key, value] : pending_) {
        if (value) {
            durable_[key] = std::move(*value);
        } else {
            durable_.erase(key);
        }
    }
    pending_.clear();
}

const base::byte_vector* virtual_disk::get(const std::string& key) const {
    const auto it = durable_.find(key);
    return it == durable_.end() ? nullptr : &it->second;
}

void trace_digest::add(base::time_point when, std::string_view what, base::byte_view bytes) {
    head_.clear();
    base::byte_writer w(head_);
    w.raw(value_.view());
    w.u64(static_cast<std::uint64_t>(when.time_since_epoch().count()));
    w.u32(static_cast<std::uint32_t>(what.size()));
    w.raw(base::as_bytes(what));
    base::sha256_stream line;
    line.add(head_);
    line.add(bytes);
    value_ = line.finish();
}

std::uint64_t fresh_seed(std::string_view test) {
    std::uint64_t seed = 0;
    if (const char* given = std::getenv("TEQUIO_SEED")) {
        seed = base::parse_u64(given).value_or(0);
    } else {
        seed = base::byte_reader(base::signing_key::generate().public_part().view()).u64();
    }
    std::printf("seed %llu; repeat with TEQUIO_SEED=%llu and --run_test=%.*s\n",
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seed),
                static_cast<int>(test.size()), test.data());
    return seed;
}

std::vector<std::uint64_t> known_seeds(const std::string& file) {
    std::vector<std::uint64_t> seeds;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        const auto text = line.substr(0, line.find_first_of(" #"));
        if (const auto seed = base::parse_u64(text)) seeds.push_back(*seed);
    }
    return seeds;
}

}  // namespace tequio::simulation

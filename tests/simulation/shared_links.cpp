#include "tests/simulation/shared_links.hpp"

#include <algorithm>
#include <limits>

#include "base/ensure.hpp"

namespace tequio::simulation {
namespace {

/// What rounding to nanoseconds may leave of a transfer that has ended.
constexpr double rest_bytes = 1;

}  // namespace

void shared_links::add_node(link_rates rates) {
    base::ensure(rates.up > 0 && rates.down > 0, "links carry something");
    nodes_.push_back({rates});
    links_.resize(2 * nodes_.size());
}

void shared_links::set_rates(std::size_t node, link_rates rates) {
    base::ensure(rates.up > 0 && rates.down > 0, "links carry something");
    settle();
    nodes_[node].rates = rates;
    change_later();
}

shared_links::transfer_id shared_links::start(std::size_t to, double bytes,
                                              std::vector<std::size_t> holders,
                                              std::function<void(double)> done) {
    base::ensure(!holders.empty(), "somebody has what is fetched");
    settle();
    const auto id = next_++;
    transfers_[id] = {to, bytes, std::move(holders), {}, std::move(done), true};
    if (++nodes_[to].downloads == 1 && on_downloads) on_downloads(to);
    change_later();
    return id;
}

void shared_links::set_holders(transfer_id id, std::vector<std::size_t> holders) {
    const auto it = transfers_.find(id);
    if (it == transfers_.end() || it->second.holders == holders) return;
    settle();
    it->second.holders = std::move(holders);
    it->second.choose = true;
    change_later();
}

void shared_links::forget(std::map<transfer_id, transfer>::iterator it) {
    clear_sources(it->second);
    const auto to = it->second.to;
    transfers_.erase(it);
    if (--nodes_[to].downloads == 0 && on_downloads) on_downloads(to);
}

double shared_links::stop(transfer_id id) {
    const auto it = transfers_.find(id);
    if (it == transfers_.end()) return 0;
    settle();
    const double left = it->second.left;
    forget(it);
    change_later();
    return left;
}

void shared_links::leave(std::size_t gone) {
    settle();
    for (auto it = transfers_.begin(); it != transfers_.end();) {
        const auto next = std::next(it);
        if (it->second.to == gone) {
            forget(it);
        } else {
            if (std::erase(it->second.holders, gone) > 0) it->second.choose = true;
        }
        it = next;
    }
    change_later();
}

void shared_links::settle() {
    const double passed = seconds_of(time_.now() - settled_);
    settled_ = time_.now();
    if (passed <= 0) return;
    for (auto& [id, t] : transfers_) {
        for (const auto& s : t.sources) {
            const double bytes = std::min(t.left, s.rate * passed);
            t.left -= bytes;
            nodes_[s.from].sent += bytes;
            nodes_[t.to].received += bytes;
        }
    }
}

/// Whatever changes at one instant is shared out once.
void shared_links::change_later() {
    if (std::exchange(change_due_, true)) return;
    time_.after({}, [this] {
        change_due_ = false;
        change();
    });
}

void shared_links::change() {
    settle();
    std::vector<std::pair<std::function<void(double)>, double>> ended;
    for (auto it = transfers_.begin(); it != transfers_.end();) {
        const auto next = std::next(it);
        auto& t = it->second;
        if (t.left <= rest_bytes || t.holders.empty()) {
            ended.emplace_back(std::move(t.done), t.left <= rest_bytes ? 0 : t.left);
            forget(it);
        }
        it = next;
    }
    for (auto& [id, t] : transfers_) {
        // With the holders it had it keeps the sources it has.
        if (std::exchange(t.choose, false)) choose_sources(t);
    }
    share();
    double soonest = std::numeric_limits<double>::infinity();
    for (const auto& [id, t] : transfers_) {
        double rate = 0;
        for (const auto& s : t.sources) rate += s.rate;
        soonest = std::min(soonest, t.left / rate);
    }
    const auto number = ++wake_;
    if (!transfers_.empty()) {
        const auto wait = std::chrono::duration<double>(soonest) + std::chrono::nanoseconds(1);
        time_.after(std::chrono::duration_cast<base::duration>(wait), [this, number] {
            if (number == wake_) change();
        });
    }
    for (const auto& [done, left] : ended) done(left);
}

void shared_links::clear_sources(transfer& t) {
    for (const auto& s : t.sources) --nodes_[s.from].uploads;
    t.sources.clear();
}

/// Sources that still hold it stay; the least busy others join them.
void shared_links::choose_sources(transfer& t) {
    const auto holds = [&](std::size_t node) {
        return std::find(t.holders.begin(), t.holders.end(), node) != t.holders.end();
    };
    std::erase_if(t.sources, [&](const source& s) {
        if (holds(s.from)) return false;
        --nodes_[s.from].uploads;
        return true;
    });
    while (t.sources.size() < std::min(t.holders.size(), sources_max)) {
        const std::size_t* best = nullptr;
        for (const auto& node : t.holders) {
            const bool taken = std::any_of(t.sources.begin(), t.sources.end(),
                                           [&](const source& s) { return s.from == node; });
            if (taken) continue;
            if (best == nullptr || nodes_[node].uploads < nodes_[*best].uploads) best = &node;
        }
        if (best == nullptr) return;
        t.sources.push_back({*best, 0});
        ++nodes_[*best].uploads;
    }
}

/// Water filling: the link with the smallest share for each of its streams settles those, and so
/// on.
void shared_links::share() {
    streams_.clear();
    std::vector<std::size_t> used;
    for (auto& [id, t] : transfers_) {
        for (auto& s : t.sources) {
            const auto up = 2 * s.from, down = 2 * t.to + 1;
            for (const auto at : {up, down}) {
                auto& l = links_[at];
                if (l.open == 0) {
                    used.push_back(at);
                    l.streams.clear();
                }
                l.streams.push_back(streams_.size());
                ++l.open;
            }
            streams_.push_back({&s, up, down, false});
        }
    }
    std::sort(used.begin(), used.end());
    for (const auto at : used) {
        const auto& rates = nodes_[at / 2].rates;
        links_[at].left = at % 2 == 0 ? rates.up : rates.down;
    }
    while (!used.empty()) {
        link* tightest = nullptr;
        for (const auto at : used) {
            auto& l = links_[at];
            if (tightest == nullptr || l.left * static_cast<double>(tightest->open) <
                                           tightest->left * static_cast<double>(l.open)) {
                tightest = &l;
            }
        }
        const double rate = tightest->left / static_cast<double>(tightest->open);
        for (const auto number : tightest->streams) {
            auto& s = streams_[number];
            if (std::exchange(s.settled, true)) continue;
            s.of->rate = rate;
            for (const auto at : {s.up, s.down}) {
                auto& l = links_[at];
                l.left = std::max(0.0, l.left - rate);
                --l.open;
            }
        }
        std::erase_if(used, [this](std::size_t at) { return links_[at].open == 0; });
    }
}

}  // namespace tequio::simulation

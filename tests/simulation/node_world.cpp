#include "tests/simulation/node_world.hpp"

#include "base/ensure.hpp"
#include "tests/simulation/node_machine.hpp"

namespace tequio::simulation {

namespace {

constexpr std::int64_t wall_at_start = 1'800'000'000;
constexpr std::uint16_t port = 47100;
constexpr std::size_t memory_max = 100'000;

base::signing_key key_of(const base::rng& root, const std::string& name) {
    auto rng = root.split(name);
    std::array<std::uint8_t, 32> seed{};
    for (auto& byte : seed) byte = static_cast<std::uint8_t>(rng.below(256));
    return base::signing_key::from_seed(seed);
}

p2p::link_id name_of(std::uint64_t number, std::size_t side) {
    return {number * 2 + side};
}

}  // namespace

node_world::node_world(std::size_t nodes, std::uint64_t seed)
    : root_(seed), chance_(root_.split("links")), hosts_(nodes) {
    for (std::size_t i = 0; i < nodes; ++i) {
        hosts_[i].self =
            std::make_unique<p2p::identity>(key_of(root_, "root " + std::to_string(i)));
        // All but the first know the first.
        if (i > 0) hosts_[i].options.knows = {0};
    }
    // No machine's clock stands at zero.
    time_.at(base::time_point(std::chrono::hours(1)), [] {});
    time_.run_one();
}

node_world::~node_world() = default;

void node_world::teach(const training::recipe& work, lane_functions& functions) {
    functions_[training::recipe_id_of(work)] = &functions;
}

lane_functions& node_world::functions_of(const training::recipe& work) {
    return *functions_.at(training::recipe_id_of(work));
}

base::unix_time node_world::wall(std::size_t index) const {
    const auto passed =
        std::chrono::duration_cast<std::chrono::seconds>(time_.now().time_since_epoch());
    return {wall_at_start + passed.count() + hosts_[index].options.clock_ahead_seconds};
}

p2p::address node_world::address_of(std::size_t index) const {
    return {"10.0.0." + std::to_string(index + 1), port};
}

void node_world::start(std::size_t index) {
    auto& h = hosts_[index];
    base::ensure(!h.machine, "a node is started once");
    ++h.life;
    trace(index, "start");
    h.machine = std::make_unique<node_machine>(*this, index);
    h.machine->begin();
}

void node_world::start_all() {
    for (std::size_t i = 0; i < hosts_.size(); ++i) start(i);
}

void node_world::crash(std::size_t index) {
    auto& h = hosts_[index];
    if (!h.machine) return;
    trace(index, "crash");
    h.machine.reset();
    ++h.life;
    // Pieces of a blob that was not confirmed were not synced.
    for (auto& [ref, pieces] : h.disk.pieces) {
        std::erase_if(pieces, [&](const auto&) { return chance_.chance(0.5); });
    }
    const auto match = [&](const link& l) { return l.ends[0] == index || l.ends[1] == index; };
    // A killed process's sockets close at once; a machine that lost power falls silent.
    if (chance_.chance(0.5)) {
        break_links(match, std::chrono::milliseconds(1), std::chrono::milliseconds(50));
    } else {
        break_links(match, std::chrono::seconds(5), std::chrono::seconds(15));
    }
}

void node_world::partition(std::set<std::size_t> left) {
    left_ = std::move(left);
    break_links([&](const link& l) { return !reachable(l.ends[0], l.ends[1]); },
                std::chrono::seconds(5), std::chrono::seconds(15));
}

base::result<base::task_id> node_world::submit(std::size_t index, const training::task& task,
                                               const base::signing_key& submitter,
                                               const blob_map& blobs, const replayed& alone) {
    const auto note = training::sign_task(task, submitter);
    if (!note) return note.error();
    observer_.expect(training::task_id_of(task), task, alone);
    for (const auto& [ref, bytes] : blobs) hosts_[index].disk.blobs[ref] = bytes;
    base::result<base::task_id> out = base::task_id{};
    command(index, [&](node::node_logic& logic, node::node_effects& effects) {
        out = logic.submit(moment_of(index), note->encode(), effects);
    });
    return out;
}

void node_world::command(std::size_t index,
                         const std::function<void(node::node_logic&, node::node_effects&)>& ask) {
    base::ensure(alive(index), "a living node is asked");
    hosts_[index].machine->command(ask);
}

const node::node_logic& node_world::logic(std::size_t index) const {
    return hosts_[index].machine->logic();
}

std::optional<node::job_view> node_world::job(std::size_t index, const base::task_id& id) const {
    auto found = logic(index).job(id);
    if (!found) return std::nullopt;
    return std::move(*found);
}

node::moment node_world::moment_of(std::size_t index) const {
    return hosts_[index].machine ? hosts_[index].machine->now()
                                 : node::moment{time_.now(), wall(index)};
}

void node_world::owner_comes(std::size_t index) {
    auto& owned = *hosts_[index].options.owned;
    owned.owner_here = true;
    hosts_[index].machine->look();
}

void node_world::owner_goes(std::size_t index) {
    auto& owned = *hosts_[index].options.owned;
    if (owned.owner_here) owned.last_input = moment_of(index).now;
    owned.owner_here = false;
}

void node_world::memory_short(std::size_t index, bool is) {
    hosts_[index].options.owned->memory_short = is;
}

void node_world::sleep(std::size_t index) {
    auto& h = hosts_[index];
    trace(index, "sleep");
    h.options.owned->preparing_for_sleep = true;
    h.machine->look();
    h.options.owned->preparing_for_sleep = false;
    fall_asleep(index, h.life);
}

/// Once the node has said what it wants to, as its daemon holds the sleep up, and that has arrived.
void node_world::fall_asleep(std::size_t index, std::uint64_t life) {
    const bool again = !hosts_[index].machine->said_everything();
    time_.after(std::chrono::milliseconds(again ? 5 : 25), [this, index, life, again] {
        auto& h = hosts_[index];
        if (!h.machine || h.life != life) return;
        if (again) return fall_asleep(index, life);
        h.machine->fall_asleep();
        break_links([&](const link& l) { return l.ends[0] == index || l.ends[1] == index; },
                    std::chrono::seconds(5), std::chrono::seconds(15));
    });
}

void node_world::wake(std::size_t index) {
    if (!hosts_[index].machine) return;
    trace(index, "wake");
    hosts_[index].machine->wake();
}

bool node_world::asleep(std::size_t index) const {
    return hosts_[index].machine && hosts_[index].machine->asleep();
}

node::release_level node_world::level_of(std::size_t index) const {
    return hosts_[index].machine->level();
}

std::optional<training::work_item> node_world::in_hand(std::size_t index) const {
    if (!hosts_[index].machine) return std::nullopt;
    return hosts_[index].machine->item_in_hand();
}

bool node_world::run(base::duration limit, const std::function<bool()>& done) {
    const auto end = time_.now() + limit;
    while (!done()) {
        if (time_.now() > end || !time_.run_one()) return false;
        if (between_events) between_events();
    }
    return true;
}

void node_world::run_for(base::duration time) {
    run(time, [] { return false; });
}

bool node_world::all(const base::task_id& id, training::job_state state) const {
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        if (!alive(i)) continue;
        const auto j = job(i, id);
        if (!j || j->crew.state != state) return false;
        if (state == training::job_state::done && j->files.empty()) return false;
    }
    return true;
}

void node_world::observe(std::size_t index) {
    ++events_;
    base::ensure(hosts_[index].disk.memory.size() < memory_max, "memory stays bounded");
}

void node_world::trace(std::size_t index, std::string_view what, base::byte_view bytes) {
    trace_.add(time_.now(), std::to_string(index) + " " + std::string(what), bytes);
}

base::duration node_world::delay() {
    return chance_.between(std::chrono::milliseconds(1), std::chrono::milliseconds(20));
}

// Links: reliable and in order, until they break.

void node_world::deliver(const link& l, std::size_t side, p2p::network_event e) {
    auto& h = hosts_[l.ends[side]];
    if (h.machine && h.life == l.lives[side]) h.machine->hear(std::move(e));
}

void node_world::dial(std::size_t from, const p2p::dial& e) {
    time_.after(2 * delay(), [this, from, e, life = hosts_[from].life] {
        auto& h = hosts_[from];
        if (!h.machine || h.life != life) return;
        const auto fail = [&](p2p::link_end why) {
            h.machine->hear(
                p2p::network_event(p2p::dial_failed{e.address, e.expected, {why, false, ""}}));
        };
        std::size_t to = 0;
        while (to < hosts_.size() && address_of(to) != e.address) ++to;
        if (to == hosts_.size() || !alive(to) || asleep(to) || asleep(from) ||
            !reachable(from, to)) {
            return fail(p2p::link_end::connect_failed);
        }
        if (to == from) return fail(p2p::link_end::self_connection);
        if (e.expected && *e.expected != id_of(to)) return fail(p2p::link_end::wrong_identity);
        connect(from, to, e.address);
    });
}

void node_world::connect(std::size_t from, std::size_t to, const p2p::address& where) {
    const auto number = ++last_link_;
    auto& l = links_[number];
    l.ends = {from, to};
    l.lives = {hosts_[from].life, hosts_[to].life};
    l.open = {true, false};
    // What the dialler sends arrives after the other end knows of the link.
    l.last[0] = l.last[1] = time_.now() + delay();
    time_.at(l.last[0], [this, number, from] {
        auto& made = links_.at(number);
        if (made.broken) return;
        made.open[1] = true;
        deliver(made, 1,
                p2p::link_up{name_of(number, 1), id_of(from), address_of(from),
                             address_of(made.ends[1]), false});
    });
    deliver(l, 0, p2p::link_up{name_of(number, 0), id_of(to), where, address_of(from), true});
}

void node_world::send(std::size_t from, p2p::link_id id, base::byte_vector bytes) {
    const auto number = id.value / 2;
    const auto side = id.value % 2;
    auto& l = links_.at(number);
    base::ensure(l.ends[side] == from, "a node sends on its own link");
    if (!l.open[side] || l.broken) return;
    l.last[side] = std::max(l.last[side], time_.now() + delay());
    const auto shared = std::make_shared<base::byte_vector>(std::move(bytes));
    time_.at(l.last[side], [this, number, side, shared] {
        const auto& now = links_.at(number);
        if (now.broken || !now.open[1 - side]) return;
        deliver(now, 1 - side, p2p::link_message{name_of(number, 1 - side), std::move(*shared)});
    });
}

void node_world::end_side(std::uint64_t number, std::size_t side, const p2p::link_ending& ending) {
    auto& l = links_.at(number);
    if (!l.open[side]) return;
    l.open[side] = false;
    deliver(l, side, p2p::link_down{name_of(number, side), ending});
}

void node_world::close(std::size_t from, p2p::link_id id, p2p::link_ending ending) {
    const auto number = id.value / 2;
    const auto side = id.value % 2;
    auto& l = links_.at(number);
    base::ensure(l.ends[side] == from, "a node closes its own link");
    if (!l.open[side]) return;
    l.open[side] = false;
    time_.after({}, [this, number, side, ending] {
        deliver(links_.at(number), side, p2p::link_down{name_of(number, side), ending});
    });
    auto told = ending;
    told.by_peer = true;
    l.last[side] = std::max(l.last[side], time_.now() + delay());
    time_.at(l.last[side], [this, number, side, told] {
        if (!links_.at(number).broken) end_side(number, 1 - side, told);
    });
}

void node_world::break_links(const std::function<bool(const link&)>& match, base::duration least,
                             base::duration most) {
    for (auto& [number, l] : links_) {
        if (l.broken || !match(l)) continue;
        l.broken = true;
        for (const std::size_t side : {0, 1}) {
            time_.after(chance_.between(least, most), [this, n = number, side] {
                end_side(n, side, {p2p::link_end::connection_lost, false, ""});
            });
        }
    }
}

std::string node_world::describe() const {
    const auto seconds =
        std::chrono::duration<double>(time_.now().time_since_epoch()).count() - 3600;
    std::string out = "after " + std::to_string(seconds) + " s";
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        out += "\n  node " + std::to_string(i) + " " + id_of(i).brief() + ": ";
        if (!alive(i)) {
            out += "dead";
            continue;
        }
        out += std::to_string(logic(i).network().peers().size()) + " links, " +
               logic(i).activity().state;
        for (const auto& j : logic(i).jobs()) {
            out += "\n    job " + j.id.brief() + " state " +
                   std::to_string(static_cast<int>(j.crew.state)) + " round " +
                   std::to_string(j.crew.round) + " settled " +
                   std::to_string(j.crew.settled_round) + " [" + j.crew.reason_code + "] " +
                   j.crew.reason + ", data " + std::to_string(j.pieces_here) + ", files " +
                   std::to_string(j.files.size());
            for (const auto& m : j.crew.members) {
                out += "\n      " + m.node.brief() + (m.present ? " present " : " away ") +
                       m.doing + " at " + std::to_string(m.rounds);
            }
        }
        for (std::size_t k = hosts_[i].log.size() > 4 ? hosts_[i].log.size() - 4 : 0;
             k < hosts_[i].log.size(); ++k) {
            out += "\n    log: " + hosts_[i].log[k];
        }
    }
    return out;
}

}  // namespace tequio::simulation

#include "tests/simulation/crew_world.hpp"

#include "base/ensure.hpp"
#include "tests/simulation/crew_machine.hpp"
#include "training/crew/lottery.hpp"
#include "training/crew_links.hpp"

namespace tequio::simulation {

using namespace training;

namespace {

/// Of a longer message, which carries a piece, this much goes into the trace: which piece, and the
/// path that proves it.
constexpr std::size_t traced_bytes_max = 4096;

base::signing_key key_of(const base::rng& root, const std::string& name) {
    auto rng = root.split(name);
    std::array<std::uint8_t, 32> seed{};
    for (auto& byte : seed) byte = static_cast<std::uint8_t>(rng.below(256));
    return base::signing_key::from_seed(seed);
}

}  // namespace

std::uint64_t bytes_of(const base::blob_ref& ref, const base::piece_run& pieces) {
    const auto run = pieces.within(ref);
    const auto end = std::min(ref.size, (run.first + run.count) * base::piece_size_bytes);
    return end - run.first * base::piece_size_bytes;
}

crew_world::crew_world(lane_functions& functions, world_options options)
    : functions_(functions),
      slices_(dynamic_cast<slice_functions*>(&functions)),
      shape_{base::task_id{base::sha256("a task").bytes},
             static_cast<std::uint32_t>(functions.lanes()),
             functions.rounds(),
             functions.contribution_bytes(),
             functions.mean_bytes(),
             functions.validation(),
             options.sharded ? functions.mean_units() : 1,
             crew_slices_max},
      options_(std::move(options)),
      root_(options_.seed),
      network_(time_, 0, root_.split("network")) {
    network_.conditions = options_.network;
    network_.on_delivery = [this](std::size_t from, std::size_t to, base::byte_view bytes) {
        const bool piece = bytes.size() > crew_message_max_bytes;
        trace_.add(time_.now(), std::to_string(from) + ">" + std::to_string(to),
                   piece ? bytes.first(traced_bytes_max) : bytes);
    };
    if (options_.links_bounded) {
        network_.linked = [this](std::size_t a, std::size_t b) { return linked(a, b); };
    }
    for (std::size_t i = 0; i < options_.nodes; ++i) add_machine();
}

bool crew_world::linked(std::size_t a, std::size_t b) const {
    const crew_links rule{shape_.task, options_.depth, options_.nodes_expected >> options_.depth,
                          options_.nodes_expected};
    return rule.keep(id_of(a), id_of(b));
}

crew_world::~crew_world() = default;

crew_config crew_world::config_of(std::size_t index) {
    crew_config c;
    c.task = shape_.task;
    c.self = id_of(index);
    c.lanes = functions_.lanes();
    c.rounds = functions_.rounds();
    c.lane_tokens = options_.lane_tokens;
    c.contribution_bytes = functions_.contribution_bytes();
    c.mean_bytes = functions_.mean_bytes();
    c.validation = functions_.validation();
    c.check = options_.check;
    c.settle = options_.settle;
    c.full_state_bytes = options_.full_state_bytes;
    c.full_state_spacing = options_.full_state_spacing;
    c.mean_units = options_.sharded ? functions_.mean_units() : 1;
    c.shard = [this](contribution_run units) { return functions_.shard(units); };
    if (slices_ == nullptr && options_.crew_max > options_.group_max) {
        c.sums = [this](const partial_sums& which, contribution_run shard) {
            return functions_.sums(which, shard);
        };
    }
    c.group_max = options_.group_max;
    c.depth = options_.depth;
    c.crew_min = options_.crew_min;
    c.crew_max = options_.crew_max;
    c.timings = options_.timings;
    if (slices_ != nullptr) {
        const auto& m = machines_[index];
        c.slices.max = slices_->slices_max();
        c.slices.memory_bytes = m.memory == 0 ? slices_->tensors() : m.memory;
        c.slices.need_bytes = [this](model_slice s) { return slices_->first(s).size(); };
        c.slices.lane.work = [this](model_slice s) { return 1000 * slices_->first(s).size(); };
        c.slices.compose = [this](const auto& lists) { return slices_->compose(lists); };
        if (options_.model != nullptr) options_.model->divide(index, c.slices);
    }
    c.keys.sign = [this, index](base::byte_view message) { return keys_[index].sign(message); };
    c.keys.verify = [this](const base::public_key& key, base::byte_view message,
                           const base::signature& signature) {
        return verify(key, message, signature);
    };
    // What a real node's root key certifies, this world simply knows.
    const auto& own = keys_[index].public_part();
    c.keys.certificate = {own.bytes.begin(), own.bytes.end()};
    c.keys.verify_certificate = [this](
                                    const base::node_id& node,
                                    base::byte_view certificate) -> base::result<base::public_key> {
        const auto it = index_of_.find(node);
        if (it == index_of_.end() ||
            !std::ranges::equal(certificate, keys_[it->second].public_part().view())) {
            return base::fail(base::errc::bad_signature, "not certified");
        }
        return keys_[it->second].public_part();
    };
    return c;
}

bool crew_world::verify(const base::public_key& key, base::byte_view message,
                        const base::signature& signature) {
    const auto known = verified_.find({key, signature});
    if (known != verified_.end() && std::ranges::equal(known->second, message)) return true;
    if (!base::signature_verifies(key, message, signature)) return false;
    if (verified_.size() >= verified_max) verified_.clear();
    verified_[{key, signature}].assign(message.begin(), message.end());
    return true;
}

machine& crew_world::machine_of(std::size_t index) {
    return machines_[index];
}

std::size_t crew_world::add_machine() {
    const auto index = nodes_.size();
    roots_.push_back(key_of(root_, "root " + std::to_string(index)));
    keys_.push_back(key_of(root_, "message " + std::to_string(index)));
    index_of_[id_of(index)] = index;
    machines_.emplace_back();
    disks_.emplace_back();
    nodes_.emplace_back();
    logs_.emplace_back();
    states_.emplace_back();
    network_.add_node();
    if (options_.acquainted) {
        disks_.back().put("fact/standing", acquaintance());
        disks_.back().sync();
    }
    return index;
}

const base::byte_vector& crew_world::acquaintance() {
    if (acquaintance_.empty()) {
        crew_protocol::standing_book book;
        const auto known = std::max<std::uint64_t>(255, 4 * options_.nodes_expected);
        for (std::size_t i = 0; i < known; ++i) {
            book.believe(
                base::node_id{key_of(root_, "root " + std::to_string(i)).public_part().bytes});
        }
        acquaintance_ = book.encode();
    }
    return acquaintance_;
}

const std::vector<base::digest>& crew_world::leaves_of(const base::blob_ref& ref,
                                                       base::byte_view bytes) {
    auto& leaves = leaves_[ref];
    if (leaves.empty()) leaves = base::blob_leaves(bytes);
    return leaves;
}

void crew_world::start(std::size_t index) {
    base::ensure(nodes_[index] == nullptr, "started once");
    nodes_[index] = std::make_unique<crew_machine>(*this, index);
    nodes_[index]->begin();
    network_.attach(index, nodes_[index].get());
}

void crew_world::start_all() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) start(i);
}

void crew_world::crash(std::size_t index) {
    if (!nodes_[index]) return;
    trace_.add(time_.now(), "crash " + std::to_string(index));
    nodes_[index].reset();
    if (options_.model != nullptr) options_.model->links().leave(index);
    visits_.erase(index);
    disks_[index].lose_unsynced();
    network_.detach(index);
}

void crew_world::lose_blobs(std::size_t index) {
    base::ensure(nodes_[index] == nullptr, "a dead node's disk");
    for (const auto& [key, value] : std::map(disks_[index].all())) {
        if (key.starts_with("blob/")) disks_[index].erase(key);
    }
    disks_[index].sync();
}

bool crew_world::alive(std::size_t index) const {
    return nodes_[index] != nullptr;
}

bool crew_world::working(std::size_t index) const {
    return nodes_[index]->working();
}

void crew_world::command(std::size_t index, crew_command c) {
    nodes_[index]->feed(c);
}

void crew_world::owner_comes(std::size_t index) {
    if (!visits_.emplace(index, ++visit_).second) return;
    nodes_[index]->park();
    time_.after(std::chrono::seconds(1), [this, index, visit = visit_] {
        const auto it = visits_.find(index);
        const bool stays = it != visits_.end() && it->second == visit;
        if (stays && nodes_[index]) nodes_[index]->feed(crew_command::suspend);
    });
}

void crew_world::owner_goes(std::size_t index) {
    if (visits_.erase(index) == 0 || !nodes_[index]) return;
    nodes_[index]->unpark();
    nodes_[index]->feed(crew_command::resume);
}

void crew_world::feed(std::size_t index, const crew_event& e) {
    nodes_[index]->feed(e);
}

crew_view crew_world::view(std::size_t index, bool chronicle) const {
    return nodes_[index]->core().view(chronicle);
}

std::optional<std::size_t> crew_world::steward(std::size_t index) const {
    const auto id = view(index).steward;
    const auto it = index_of_.find(id);
    if (it == index_of_.end()) return std::nullopt;
    return it->second;
}

bool crew_world::run(base::duration limit, const std::function<bool()>& done) {
    const auto end = time_.now() + limit;
    while (!done()) {
        if (time_.now() > end || !time_.run_one()) return false;
    }
    return true;
}

void crew_world::run_for(base::duration time) {
    // An event at the end: the next one of anybody's may be much later.
    auto due = std::make_shared<bool>(false);
    time_.after(time, [due] { *due = true; });
    run(time, [&] { return *due; });
}

bool crew_world::all(job_state state) const {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (!nodes_[i]) continue;
        if (!states_[i]) states_[i] = view(i).state;
        if (states_[i] != state) return false;
    }
    return true;
}

bool crew_world::all_agree_with(const replayed& alone) const {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (nodes_[i] && view(i, true).chronicle != alone.entries) return false;
    }
    return true;
}

void crew_world::observe(std::size_t index) {
    ++node_events_;
    states_[index].reset();
    if (node_events_ % options_.check_every == 0) nodes_[index]->core().check();
    if (on_event) on_event(index);
}

/// No two honest nodes ever hold different entries for one round, nor run ahead of the checks.
void crew_world::observe_entry(std::size_t index, const chronicle_entry& entry) {
    trace_.add(time_.now(), "entry of " + std::to_string(index),
               base::as_bytes(chronicle_entry_text(entry)));
    const auto [it, fresh] = entries_.emplace(entry.round.value, entry);
    base::ensure(fresh || it->second == entry || !options_.honest,
                 "two nodes hold different chronicle entries");
    // Whoever is first with an entry closed the round itself.
    const auto settled = view(index).settled_round;
    base::ensure(!fresh || entry.round.value < settled + options_.settle,
                 "the chronicle runs too far ahead of what is settled");
    if (on_entry) on_entry(index, entry);
}

/// Nothing leaves a node that contradicts what left it before, whatever was lost in between.
void crew_world::observe_message(std::size_t index, base::byte_view message) {
    using namespace crew_protocol;
    if (!options_.reads_messages) return;
    const auto decoded = decode(shape_, message);
    base::ensure(decoded.has_value(), "what is sent can be read");
    const auto* sent = std::get_if<facts>(&*decoded);
    if (sent == nullptr) return;
    for (const auto& fact : sent->claims) {
        const auto said = parse_claim(shape_, fact.body);
        base::ensure(said.has_value(), "claims that are sent can be read");
        if (said->node == id_of(index)) observe_fact(index, "claim", said->key, fact.body);
    }
    for (const auto& fact : sent->openings) {
        const auto said = parse_opening(shape_, fact.body);
        base::ensure(said.has_value(), "openings that are sent can be read");
        observe_fact(index, "opening", said->key, fact.body);
    }
}

void crew_world::observe_fact(std::size_t index, std::string_view kind,
                              const crew_protocol::item_key& key, base::byte_view body) {
    const auto name = std::string(kind) + " " + std::to_string(index) + " " +
                      std::to_string(key.round) + " " + std::to_string(key.item);
    const auto [it, fresh] = said_.emplace(name, base::byte_vector(body.begin(), body.end()));
    base::ensure(fresh || std::ranges::equal(it->second, body), "said twice, differently");
}

std::string crew_world::describe() const {
    std::string out =
        "at " +
        std::to_string(std::chrono::duration<double>(time_.now().time_since_epoch()).count()) +
        " s";
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        out += "\n  node " + std::to_string(i) + ": ";
        if (!nodes_[i]) {
            out += "dead";
            continue;
        }
        const auto v = view(i);
        out += "round " + std::to_string(v.round) + "/" + std::to_string(v.rounds) + " settled " +
               std::to_string(v.settled_round) + " [" + v.reason_code + "] " + v.reason +
               " steward " + v.steward.brief();
        if (v.groups > 1) {
            out += " group " + std::to_string(v.group) + " of " + std::to_string(v.groups);
        }
        for (const auto& m : v.members) {
            out += "\n    " + m.node.brief() + (m.present ? " present " : " away ") +
                   (m.available ? "available " : "busy ") + m.doing + " at " +
                   std::to_string(m.rounds);
        }
    }
    return out;
}

}  // namespace tequio::simulation

#include "tests/simulation/lane_functions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"
#include "training/errc.hpp"
#include "training/merge.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::simulation {
namespace {

using namespace training;

class hash_functions final : public lane_functions {
public:
    explicit hash_functions(const hash_job& job) : job_(job) {}
    std::uint64_t lanes() const override { return job_.lanes; }
    std::uint64_t rounds() const override { return job_.rounds; }
    bool validation() const override { return job_.validation; }
    std::uint64_t contribution_bytes() const override {
        return whole_bytes(job_.contribution_bytes);
    }
    std::uint64_t mean_bytes() const override { return whole_bytes(job_.mean_bytes); }
    std::uint64_t mean_units() const override { return job_.units; }
    crew_shard shard(contribution_run units) const override {
        if (job_.shard) return job_.shard(units);
        // One more of the lanes, as where two codecs share no borders.
        const auto end = std::min(job_.units, units.end() + 1);
        std::uint64_t bytes = 8;
        for (auto u = units.first; u < units.end(); ++u) bytes += 32 + unit_bytes(u);
        return {{units.first, end - units.first}, bytes};
    }

    base::digest initial() override { return base::sha256("initial"); }

    computed lane(const base::digest& state, std::uint64_t round, std::uint64_t lane) override {
        const auto key = std::tuple(state, round, lane);
        const auto known = lanes_.find(key);
        return known != lanes_.end()
                   ? known->second
                   : lanes_.emplace(key, fresh_lane(state, round, lane)).first->second;
    }
    double validate(const base::digest& state, std::uint64_t round) override {
        return loss_of(hash_of("validation", state.view(), round, 0));
    }
    computed sum(const std::vector<base::byte_view>& contributions) override {
        const auto part = sum_shard(contributions, {0, job_.units});
        return *join({part.bytes});
    }
    computed sum_shard(const std::vector<base::byte_view>& contributions,
                       contribution_run units) override {
        if (job_.stand_ins) return stand_in_part(contributions, units);
        computed out;
        base::byte_writer(out.bytes).u64(units.count);
        for (auto u = units.first; u < units.end(); ++u) {
            base::sha256_stream all;
            for (const auto& c : contributions) {
                const auto rest = c.subspan(u * base::piece_size_bytes);
                all.add(rest.first(std::min<std::size_t>(rest.size(), base::piece_size_bytes)));
            }
            const auto unit = all.finish();
            out.bytes.insert(out.bytes.end(), unit.bytes.begin(), unit.bytes.end());
            const auto mean = expand(hash_of("mean", unit.view(), u, 0), unit_bytes(u));
            out.bytes.insert(out.bytes.end(), mean.begin(), mean.end());
        }
        base::ensure(out.bytes.size() <= shard(units).part_bytes, "a part has room for its units");
        out.bytes.resize(shard(units).part_bytes);
        out.outcome.blob = base::blob_ref_of(out.bytes);
        return out;
    }
    std::optional<computed> join(const std::vector<base::byte_view>& parts) override {
        if (job_.stand_ins) return join_stand_ins(parts);
        computed out;
        base::sha256_stream all;
        std::uint64_t u = 0;
        for (const auto& part : parts) {
            base::byte_reader in(part);
            for (auto units = in.u64(); units > 0; --units, ++u) {
                base::digest unit;
                const auto digest = in.raw(32);
                const auto mean = in.raw(u < job_.units ? unit_bytes(u) : 0);
                if (in.failed() || u >= job_.units) return std::nullopt;
                std::copy(digest.begin(), digest.end(), unit.bytes.begin());
                if (u == 0) out.outcome.loss = loss_of(unit);
                all.add(unit.view());
                out.bytes.insert(out.bytes.end(), mean.begin(), mean.end());
            }
        }
        if (u != job_.units) return std::nullopt;
        out.outcome.sum = all.finish();
        out.outcome.blob = base::blob_ref_of(out.bytes);
        return out;
    }
    crew_sums sums(const partial_sums& which, contribution_run shard) const override {
        if (job_.sums) return job_.sums(which, shard);
        const auto bytes_to = [&](std::uint64_t unit) {
            std::uint64_t out = 0;
            for (auto u = which.units.first; u < unit; ++u) {
                out += which.lanes.count * contribution_unit_bytes(u);
            }
            return out;
        };
        const auto first = bytes_to(shard.first) / base::piece_size_bytes;
        const auto end =
            (bytes_to(shard.end()) + base::piece_size_bytes - 1) / base::piece_size_bytes;
        return {bytes_to(which.units.end()), {first, end - first}};
    }
    /// Hashes cannot be added: for sums stand the lanes' units themselves, in order.
    computed sum_lanes(const std::vector<base::byte_view>& contributions,
                       const partial_sums& which) override {
        computed out;
        if (job_.stand_ins) {
            for (const auto& c : contributions) {
                out.bytes.insert(out.bytes.end(), c.begin(), c.end());
            }
            auto name = out.bytes;
            base::byte_writer(name).u64(which.units.first);
            out.outcome.blob = {base::sha256(name), sums(which, which.units).bytes};
            return out;
        }
        for (auto u = which.units.first; u < which.units.end(); ++u) {
            for (const auto& c : contributions) {
                const auto unit = c.subspan(u * base::piece_size_bytes, contribution_unit_bytes(u));
                out.bytes.insert(out.bytes.end(), unit.begin(), unit.end());
            }
        }
        out.outcome.blob = base::blob_ref_of(out.bytes);
        return out;
    }
    std::optional<computed> add_sums(const std::vector<base::byte_view>& sums,
                                     const std::vector<partial_sums>& which,
                                     contribution_run units) override {
        std::vector<base::byte_vector> lanes(job_.lanes);
        for (std::size_t i = 0; i < sums.size(); ++i) {
            const auto& w = which[i];
            if (!job_.stand_ins && sums[i].size() != this->sums(w, w.units).bytes) {
                return std::nullopt;
            }
            base::byte_reader in(sums[i]);
            for (auto u = w.units.first; u < (job_.stand_ins ? w.units.first + 1 : w.units.end());
                 ++u) {
                for (std::uint64_t l = 0; l < w.lanes.count; ++l) {
                    const auto unit = in.raw(job_.stand_ins ? 32 : contribution_unit_bytes(u));
                    auto& lane = lanes[w.lanes.first + l];
                    if (!job_.stand_ins) lane.resize(u * base::piece_size_bytes);
                    lane.insert(lane.end(), unit.begin(), unit.end());
                }
            }
            if (in.failed()) return std::nullopt;
        }
        std::vector<base::byte_view> views;
        for (auto& lane : lanes) {
            if (!job_.stand_ins) lane.resize(contribution_bytes());
            views.push_back(lane);
        }
        return sum_shard(views, units);
    }
    base::digest apply(const base::digest& state, std::uint64_t, base::byte_view mean) override {
        base::sha256_stream both;
        both.add(state.view());
        both.add(mean);
        return both.finish();
    }

private:
    computed fresh_lane(const base::digest& state, std::uint64_t round, std::uint64_t lane) const {
        computed out;
        const auto seed = hash_of("lane", state.view(), round, lane);
        out.outcome.trace = hash_of("trace", state.view(), round, lane);
        if (job_.diverges == std::pair(round, lane)) {
            out.outcome.divergence = diverged{1, "transformer.wte.weight"};
            return out;
        }
        make_blob(out, seed, contribution_bytes());
        out.outcome.loss = loss_of(seed);
        return out;
    }
    std::uint64_t unit_bytes(std::uint64_t unit) const {
        return unit + 1 < job_.units ? base::piece_size_bytes : job_.mean_bytes;
    }
    std::uint64_t contribution_unit_bytes(std::uint64_t unit) const {
        return unit + 1 < job_.units ? base::piece_size_bytes : job_.contribution_bytes;
    }
    static double loss_of(const base::digest& d) { return 1.0 + d.bytes[0] / 256.0; }
    std::uint64_t whole_bytes(std::uint64_t last) const {
        return job_.stand_ins ? last : (job_.units - 1) * base::piece_size_bytes + last;
    }
    void make_blob(computed& out, const base::digest& seed, std::uint64_t size) const {
        out.bytes = expand(seed, job_.stand_ins ? 32 : size);
        out.outcome.blob =
            job_.stand_ins ? base::blob_ref{seed, size} : base::blob_ref_of(out.bytes);
    }
    /// For a part stand its units and one digest of all contributions: any cut of the units can be
    /// joined, and comes to the same mean.
    computed stand_in_part(const std::vector<base::byte_view>& contributions,
                           contribution_run units) const {
        base::sha256_stream all;
        for (const auto& c : contributions) all.add(c);
        computed out;
        base::byte_writer w(out.bytes);
        w.u64(units.first);
        w.u64(units.count);
        w.raw(all.finish().view());
        const auto size = job_.shard ? job_.shard(units).part_bytes : job_.mean_bytes;
        out.outcome.blob = {base::sha256(out.bytes), size};
        return out;
    }
    std::optional<computed> join_stand_ins(const std::vector<base::byte_view>& parts) const {
        computed out;
        std::uint64_t next = 0;
        for (const auto& part : parts) {
            base::byte_reader in(part);
            const contribution_run units{in.u64(), in.u64()};
            base::digest all;
            const auto digest = in.raw(32);
            if (in.failed() || units.first != next) return std::nullopt;
            std::copy(digest.begin(), digest.end(), all.bytes.begin());
            if (next > 0 && all != out.outcome.sum) return std::nullopt;
            out.outcome.sum = all;
            next = units.end();
        }
        if (next != job_.units) return std::nullopt;
        make_blob(out, hash_of("mean", out.outcome.sum.view(), 0, 0), job_.mean_bytes);
        out.outcome.loss = loss_of(out.outcome.sum);
        return out;
    }
    static base::byte_vector expand(const base::digest& seed, std::uint64_t size) {
        base::byte_vector out(size);
        for (std::size_t at = 0; at < out.size(); at += 32) {
            const auto end = std::min<std::size_t>(32, out.size() - at);
            const auto turn = static_cast<std::uint8_t>(at / 32);
            for (std::size_t i = 0; i < end; ++i) {
                out[at + i] = static_cast<std::uint8_t>(seed.bytes[i] + turn);
            }
        }
        return out;
    }
    hash_job job_;
    std::map<std::tuple<base::digest, std::uint64_t, std::uint64_t>, computed> lanes_;
};

bool to_the_end(std::uint64_t) {
    return true;
}

class tiny_functions final : public lane_functions {
public:
    tiny_functions(const training::recipe& r, base::byte_vector tokens)
        : recipe_(r), tokens_(std::move(tokens)) {
        open();
    }
    explicit tiny_functions(const tiny_job& job) {
        auto& r = recipe_;
        r.model = {"gpt2", 1, 2, job.width, 8, 256};
        std::string text;
        for (int i = 0; i < 60; ++i) {
            text += "line " + std::to_string(i * 7919 % 101) + " of a small text\n";
        }
        const std::vector<source_file> files{{"text", base::as_bytes(text)}};
        auto data = tokenise_bytes(files, 0.1, r.model.context);
        base::ensure(data.has_value(), "the text can be tokenised");
        tokens_ = std::move(data->tokens);
        r.data = data->config;
        r.train.lanes = job.lanes;
        r.train.rounds = job.rounds;
        r.train.inner_steps = job.inner_steps;
        if (job.synchronous) {
            r.train.method = method_synchronous;
            r.train.inner_steps = 1;
            r.train.window = -46;
        }
        r.train.batch = 2;
        r.train.micro_batch = 2;
        r.train.inner.lr = job.lr;
        r.train.codec = job.codec;
        r.train.codec_down = job.codec_down;
        if (job.lr > 1) r.train.inner.clip = 0;
        open();
    }
    std::uint64_t lanes() const override { return recipe_.train.lanes; }
    std::uint64_t rounds() const override { return recipe_.train.rounds; }
    bool validation() const override { return recipe_.data.validation_tokens > 0; }
    std::uint64_t contribution_bytes() const override {
        return shape_of(contribution_kind::lane, recipe_, engine_->layout()).size_bytes();
    }
    std::uint64_t mean_bytes() const override {
        return shape_of(contribution_kind::mean, recipe_, engine_->layout()).size_bytes();
    }

    std::uint64_t mean_units() const override {
        return shape_of(contribution_kind::mean, recipe_, engine_->layout()).units();
    }
    crew_shard shard(contribution_run units) const override {
        const auto& layout = engine_->layout();
        const auto extent =
            shard_extent_of(shape_of(contribution_kind::lane, recipe_, layout),
                            shape_of(contribution_kind::mean, recipe_, layout), units);
        return {extent.lane_units, extent.part_bytes};
    }
    computed sum_shard(const std::vector<base::byte_view>& contributions,
                       contribution_run units) override {
        summation s(recipe_, engine_->layout(), units);
        for (std::size_t lane = 0; lane < contributions.size(); ++lane) {
            const auto added = s.add({lane}, contributions[lane]);
            base::ensure(added.has_value(), "the pieces of a shard are canonical");
        }
        auto part = s.part();
        base::ensure(part.has_value(), "every lane was added");
        computed out;
        out.bytes = std::move(*part);
        out.outcome.blob = base::blob_ref_of(out.bytes);
        return out;
    }
    crew_sums sums(const partial_sums& which, contribution_run shard) const override {
        const auto& layout = engine_->layout();
        const auto extent =
            partial_extent_of(shape_of(contribution_kind::lane, recipe_, layout),
                              shape_of(contribution_kind::mean, recipe_, layout), which, shard);
        return {extent.bytes, extent.pieces};
    }
    computed sum_lanes(const std::vector<base::byte_view>& contributions,
                       const partial_sums& which) override {
        summation s(recipe_, engine_->layout(), which.units);
        for (std::size_t i = 0; i < contributions.size(); ++i) {
            const auto added = s.add({which.lanes.first + i}, contributions[i]);
            base::ensure(added.has_value(), "the pieces of some units are canonical");
        }
        computed out;
        out.bytes = *s.partial(which.lanes);
        out.outcome.blob = base::blob_ref_of(out.bytes);
        return out;
    }
    std::optional<computed> add_sums(const std::vector<base::byte_view>& sums,
                                     const std::vector<partial_sums>& which,
                                     contribution_run units) override {
        summation s(recipe_, engine_->layout(), units);
        for (std::size_t i = 0; i < sums.size(); ++i) {
            if (!s.add_partial(which[i], sums[i])) return std::nullopt;
        }
        auto part = s.part();
        if (!part) return std::nullopt;
        computed out;
        out.bytes = std::move(*part);
        out.outcome.blob = base::blob_ref_of(out.bytes);
        return out;
    }
    std::optional<computed> join(const std::vector<base::byte_view>& parts) override {
        auto result = join_parts(recipe_, engine_->layout(), parts);
        if (!result) return std::nullopt;
        return of(std::move(*result));
    }

    base::digest initial() override {
        full_state s(engine_->layout().padded_size, recipe_.train.synchronous());
        engine_->initial_state(s.span());
        return keep(std::move(s));
    }
    computed lane(const base::digest& state, std::uint64_t round, std::uint64_t lane) override {
        const auto key = std::tuple(state, round, lane);
        if (const auto it = lanes_.find(key); it != lanes_.end()) return it->second;
        auto result = engine_->run_lane(states_.at(state).view(), {round}, {lane}, to_the_end);
        base::ensure(result.has_value(), "lanes run to their end");
        computed out;
        out.outcome.loss = result->loss;
        out.outcome.trace = result->trace;
        if (auto* bytes = std::get_if<base::byte_vector>(&result->outcome)) {
            out.bytes = std::move(*bytes);
            out.outcome.blob = base::blob_ref_of(out.bytes);
        } else {
            out.outcome.divergence = std::get<diverged>(result->outcome);
        }
        return lanes_.emplace(key, std::move(out)).first->second;
    }
    double validate(const base::digest& state, std::uint64_t) override {
        if (const auto it = losses_.find(state); it != losses_.end()) return it->second;
        const auto loss = engine_->validate(states_.at(state).view(), to_the_end);
        const double value = loss ? *loss : std::numeric_limits<double>::quiet_NaN();
        return losses_.emplace(state, value).first->second;
    }
    computed sum(const std::vector<base::byte_view>& contributions) override {
        base::sha256_stream all;
        for (const auto& c : contributions) all.add(base::sha256(c).view());
        const auto key = all.finish();
        if (const auto it = sums_.find(key); it != sums_.end()) return it->second;
        summation s(recipe_, engine_->layout());
        for (std::size_t lane = 0; lane < contributions.size(); ++lane) {
            const auto added = s.add({lane}, contributions[lane]);
            base::ensure(added.has_value(), "contributions are canonical");
        }
        auto result = s.finish();
        base::ensure(result.has_value(), "every lane was added");
        return sums_.emplace(key, of(std::move(*result))).first->second;
    }
    base::digest apply(const base::digest& state, std::uint64_t round,
                       base::byte_view mean) override {
        const auto key = std::tuple(state, round, base::sha256(mean));
        if (const auto it = applied_.find(key); it != applied_.end()) return it->second;
        full_state s = states_.at(state);
        const auto done = apply_mean(recipe_, engine_->layout(), {round}, mean, s.span());
        base::ensure(done.has_value(), "a mean that a sum made can be applied");
        return applied_.emplace(key, keep(std::move(s))).first->second;
    }

private:
    void open() {
        const auto checked = check_recipe(recipe_);
        base::ensure(checked.has_value(), "the tiny recipe is valid");
        auto view = dataset_view::open(tokens_, recipe_);
        base::ensure(view.has_value(), "the tokens fit the recipe");
        auto made = engine::create(recipe_, *view, executor_);
        base::ensure(made.has_value(), "the engine fits into memory");
        engine_ = std::move(*made);
    }
    static computed of(sum_output made) {
        computed out;
        out.outcome.sum = made.sum;
        out.outcome.loss = made.loss;
        out.bytes = std::move(made.mean);
        out.outcome.blob = base::blob_ref_of(out.bytes);
        return out;
    }
    struct full_state {
        full_state(std::uint64_t size, bool moments)
            : parameters(size), momentum(size), second(moments ? size : 0) {}
        state_span span() { return {parameters, momentum, second}; }
        state_view view() const { return {parameters, momentum, second}; }
        std::vector<float> parameters, momentum, second;
    };
    base::digest keep(full_state s) {
        const auto digest = state_digest(engine_->layout(), s.view());
        states_.emplace(digest, std::move(s));
        return digest;
    }

    recipe recipe_;
    base::byte_vector tokens_;
    serial_executor executor_;
    std::unique_ptr<engine> engine_;
    std::map<base::digest, full_state> states_;
    std::map<std::tuple<base::digest, std::uint64_t, std::uint64_t>, computed> lanes_;
    std::map<base::digest, double> losses_;
    std::map<base::digest, computed> sums_;
    std::map<std::tuple<base::digest, std::uint64_t, base::digest>, base::digest> applied_;
};

}  // namespace

namespace {

constexpr const char* not_in_groups = "these lanes are not summed in groups";

}  // namespace

crew_sums lane_functions::sums(const partial_sums&, contribution_run) const {
    base::ensure(false, not_in_groups);
    return {};
}

computed lane_functions::sum_lanes(const std::vector<base::byte_view>&, const partial_sums&) {
    base::ensure(false, not_in_groups);
    return {};
}

std::optional<computed> lane_functions::add_sums(const std::vector<base::byte_view>&,
                                                 const std::vector<partial_sums>&,
                                                 contribution_run) {
    base::ensure(false, not_in_groups);
    return std::nullopt;
}

computed stored_state(const base::digest& state, std::uint64_t round, std::uint64_t size,
                      bool stand_in) {
    computed out;
    base::byte_writer w(out.bytes);
    w.u64(round);
    w.raw(state.view());
    base::ensure(out.bytes.size() <= size, "a stored state has room for its digest");
    if (!stand_in) out.bytes.resize(size);
    out.outcome.blob = base::blob_ref_of(out.bytes);
    out.outcome.blob.size = size;
    return out;
}

base::digest loaded_state(base::byte_view bytes, std::uint64_t round) {
    base::byte_reader in(bytes);
    base::digest out;
    const bool its_round = in.u64() == round;
    const auto digest = in.raw(out.bytes.size());
    if (in.failed() || !its_round) return {};
    std::copy(digest.begin(), digest.end(), out.bytes.begin());
    return out;
}

base::digest hash_of(std::string_view what, base::byte_view bytes, std::uint64_t a,
                     std::uint64_t b) {
    base::byte_vector in;
    base::byte_writer w(in);
    w.raw(base::as_bytes(what));
    w.raw(bytes);
    w.u64(a);
    w.u64(b);
    return base::sha256(in);
}

std::unique_ptr<lane_functions> make_hash_functions(const hash_job& job) {
    return std::make_unique<hash_functions>(job);
}

std::unique_ptr<lane_functions> make_true_functions(const training::recipe& r,
                                                    base::byte_vector tokens) {
    return std::make_unique<tiny_functions>(r, std::move(tokens));
}

std::unique_ptr<lane_functions> make_tiny_functions(const tiny_job& job) {
    return std::make_unique<tiny_functions>(job);
}

replayed replay(lane_functions& f) {
    replayed out;
    auto state = f.initial();
    const auto where = [](std::uint64_t round, const std::string& what, const diverged& d) {
        return "round " + std::to_string(round) + ", " + what + ", step " + std::to_string(d.step) +
               ", tensor " + d.tensor;
    };
    for (std::uint64_t round = 0; round <= f.rounds(); ++round) {
        chronicle_entry entry;
        entry.round = {round};
        entry.state_before = entry.state_after = state;
        if (f.validation()) {
            entry.validation_loss = f.validate(state, round);
            if (!std::isfinite(*entry.validation_loss)) {
                out.diverged = where(round, "validation", {0, "loss"});
                return out;
            }
        }
        std::vector<computed> lanes;
        for (std::uint64_t lane = 0; round < f.rounds() && lane < f.lanes(); ++lane) {
            lanes.push_back(f.lane(state, round, lane));
            if (lanes.back().outcome.divergence) {
                out.diverged =
                    where(round, "lane " + std::to_string(lane), *lanes.back().outcome.divergence);
                return out;
            }
            entry.contributions.push_back(lanes.back().outcome.blob.root);
        }
        if (!lanes.empty()) {
            const std::vector<base::byte_view> views = [&] {
                std::vector<base::byte_view> v;
                for (const auto& lane : lanes) v.push_back(lane.bytes);
                return v;
            }();
            const auto sum = f.sum(views);
            entry.sum = sum.outcome.sum;
            entry.mean = sum.outcome.blob;
            entry.loss = sum.outcome.loss;
            state = entry.state_after = f.apply(state, round, sum.bytes);
        }
        out.entries.push_back(std::move(entry));
    }
    return out;
}

}  // namespace tequio::simulation

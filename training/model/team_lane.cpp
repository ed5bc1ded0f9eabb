#include "training/model/team_lane.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "base/merkle.hpp"
#include "training/errc.hpp"
#include "training/model/pipeline.hpp"
#include "training/numerics/cut_format.hpp"
#include "training/round/codec.hpp"
#include "training/round/units.hpp"

namespace tequio::training {
namespace {

constexpr std::uint32_t no_tensor = UINT32_MAX;
/// Blocks of a message of them: of mxint8 they and their scales are a third of a MiB.
constexpr std::uint64_t blocks_at_a_time = 8192;

template <class Value>
base::byte_vector bytes_of(std::span<const Value> values) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(values.data());
    return {first, first + values.size_bytes()};
}

template <class Value>
std::vector<Value> values_of(base::byte_view bytes) {
    std::vector<Value> out(bytes.size() / sizeof(Value));
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(Value));
    return out;
}

}  // namespace

void write_tag(const team_tag& tag, base::byte_vector& out) {
    base::byte_writer w(out);
    w.u64(tag.step);
    w.u8(static_cast<std::uint8_t>(tag.word));
    w.u64(tag.part);
}

std::optional<team_tag> read_tag(base::byte_view bytes) {
    base::byte_reader in(bytes);
    team_tag out;
    out.step = in.u64();
    out.word = static_cast<team_word>(in.u8());
    out.part = in.u64();
    if (in.failed() || out.word < team_word::activations || out.word > team_word::blocks) {
        return std::nullopt;
    }
    return out;
}

std::uint64_t longest_team_message(const recipe& r) {
    const auto& m = r.model;
    const auto tokens = saturating_product({r.train.micro_batch, m.context});
    const auto step_tokens = saturating_product({r.train.batch, m.context});
    const auto layout = layout_of(m);
    const auto pieces = base::blob_ref{{}, layout.padded_size * sizeof(float)}.pieces();
    return std::max({
        std::uint64_t{numerics::cut_message_bytes(numerics::cut_format::f32, tokens, m.width)},
        saturating_product({std::min(step_tokens, m.vocabulary), m.width, sizeof(float)}),
        saturating_product({tokens, sizeof(float)}),
        (1 + layout.tensors.size()) * sizeof(double),
        pieces * sizeof(base::digest),
        base::piece_size_bytes,
        blocks_at_a_time * sizes_of(codec_of(contribution_kind::lane, r)).block_bytes(),
    });
}

team_lane::team_lane(const trainer_config& config, const state_layout& whole,
                     std::span<const slice_range> slices, std::size_t index)
    : config_(config),
      whole_(whole),
      map_(config.model, whole, slices),
      index_(index),
      count_(slices.size()),
      tokens_(config) {}

base::result<std::unique_ptr<team_lane>> team_lane::create(const trainer_config& config,
                                                           const state_layout& whole,
                                                           std::span<const slice_range> slices,
                                                           std::size_t index, executor& run) {
    base::ensure(slices.size() > 1 && index < slices.size(), "one of several slices");
    std::unique_ptr<team_lane> out(new team_lane(config, whole, slices, index));
    TEQUIO_TRY(
        out->stage_,
        stage::create({config, index, slices.size(), slices[index].first, slices[index].end}, run));
    return out;
}

base::result<void> team_lane::send(std::size_t to, const team_tag& what, base::byte_vector bytes) {
    base::ensure(others_ != nullptr, "a team was joined");
    return others_->send(to, what, std::move(bytes));
}

base::result<team_message> team_lane::receive(std::size_t from, const team_tag& what,
                                              std::uint64_t size) {
    base::ensure(others_ != nullptr, "a team was joined");
    return others_->receive(from, what, size);
}

base::result<void> team_lane::tell_all(const team_tag& what, const base::byte_vector& bytes) {
    for (std::size_t to = 0; to < count_; ++to) {
        if (to != index_) TEQUIO_CHECK(send(to, what, bytes));
    }
    return {};
}

base::error team_lane::senseless(std::size_t member, const team_tag& what) {
    others_->blame(member);
    return fail(errc::bad_message, "slice " + std::to_string(member) +
                                       " sent what no slice can have computed, in step " +
                                       std::to_string(what.step));
}

void team_lane::begin(std::span<const float> parameters) {
    base::ensure(parameters.size() == layout().padded_size, "parameters of this slice");
    stage_->load(layout(), parameters, true);
}

base::result<void> team_lane::send_rows(std::span<const std::uint32_t> tokens) {
    stage_->begin_step(tokens);
    if (!last() || !stage_->shares_embedding()) return {};
    return send(0, tag(team_word::rows), bytes_of(std::span<const float>(stage_->rows())));
}

base::result<void> team_lane::share_rows(std::span<const std::uint32_t> tokens) {
    TEQUIO_CHECK(send_rows(tokens));
    if (!first() || !stage_->shares_embedding()) return {};
    const auto what = tag(team_word::rows);
    TEQUIO_TRY(const auto message, receive(count_ - 1, what, stage_->row_message_bytes()));
    return stage_->take_rows(values_of<float>(message.bytes));
}

base::result<void> team_lane::go_forward(const batch_view& batch, std::uint64_t m) {
    const auto what = tag(team_word::activations, m);
    team_message in;
    if (!first()) {
        TEQUIO_TRY(in, receive(index_ - 1, what, stage_->border_bytes(batch)));
    }
    auto sent = stage_->forward(batch, m, in.bytes);
    if (!sent) return senseless(index_ - 1, what);
    return last() ? base::result<void>() : send(index_ + 1, what, std::move(*sent));
}

base::result<void> team_lane::go_backward(const batch_view& batch, std::uint64_t m) {
    const auto what = tag(team_word::gradients, m);
    team_message in;
    if (!last()) {
        TEQUIO_TRY(in, receive(index_ + 1, what, stage_->border_bytes(batch)));
    }
    auto sent = stage_->backward(batch, m, in.bytes);
    if (!sent) return senseless(index_ + 1, what);
    return first() ? base::result<void>() : send(index_ - 1, what, std::move(*sent));
}

base::result<void> team_lane::run_pipeline(const std::function<bool()>& go_on) {
    const auto micro_batches = (config_.batch + config_.micro_batch - 1) / config_.micro_batch;
    for (const auto& [forward, m] : one_forward_one_backward(index_, count_, micro_batches)) {
        if (!go_on()) return fail(errc::stopped, "stopped between two micro-batches");
        const auto batch = tokens_.micro_batch(m);
        TEQUIO_CHECK(forward ? go_forward(batch, m) : go_backward(batch, m));
    }
    return {};
}

base::result<void> team_lane::share_row_gradients(double loss) {
    if (!stage_->shares_embedding()) return {};
    const auto what = tag(team_word::row_gradients);
    if (first()) {
        return send(count_ - 1, what, bytes_of(std::span<const float>(stage_->row_gradients())));
    }
    if (!last()) return {};
    TEQUIO_TRY(const auto message, receive(0, what, stage_->row_message_bytes()));
    if (!std::isfinite(loss)) return {};
    return stage_->add_row_gradients(values_of<float>(message.bytes));
}

/// The loss, from the last member, and the square norm, from all of them.
base::result<void> team_lane::exchange_sums(step_result& result, double& squares) {
    const auto what = tag(team_word::sums);
    std::vector<std::vector<double>> parts(count_);
    // Sums of gradients that are not whole would say nothing.
    parts[index_] = last() && !std::isfinite(result.loss)
                        ? std::vector<double>(layout().tensors.size())
                        : stage_->square_sums();
    std::vector<double> own{result.loss};
    own.insert(own.end(), parts[index_].begin(), parts[index_].end());
    TEQUIO_CHECK(tell_all(what, bytes_of(std::span<const double>(own))));
    for (std::size_t from = 0; from < count_; ++from) {
        if (from == index_) continue;
        const auto tensors = map_.layout(from).tensors.size();
        TEQUIO_TRY(const auto message, receive(from, what, (1 + tensors) * sizeof(double)));
        auto values = values_of<double>(message.bytes);
        if (from + 1 == count_) result.loss = values.front();
        parts[from].assign(values.begin() + 1, values.end());
    }
    if (!std::isfinite(result.loss)) {
        result.not_finite = "loss";
        return {};
    }
    const auto added = add_in_order(parts, map_.owners());
    squares = added.total;
    if (added.tensors < map_.owners().size()) {
        result.not_finite = whole_.tensors[added.tensors].name;
    }
    return {};
}

base::result<step_result> team_lane::run_batch(const batch_source& source,
                                               const std::function<bool()>& go_on,
                                               double& squares) {
    step_result result;
    for (std::uint64_t at = 0; at < config_.batch; at += config_.micro_batch) {
        tokens_.read(at, std::min(config_.micro_batch, config_.batch - at), at, source);
    }
    TEQUIO_CHECK(share_rows(tokens_.tokens()));
    TEQUIO_CHECK(run_pipeline(go_on));
    if (last()) result.loss = stage_->loss();
    TEQUIO_CHECK(share_row_gradients(result.loss));
    TEQUIO_CHECK(exchange_sums(result, squares));
    return result;
}

std::uint32_t team_lane::index_of(const std::optional<std::string>& tensor) const {
    if (!tensor) return no_tensor;
    return static_cast<std::uint32_t>(&whole_.tensor(*tensor) - whole_.tensors.data());
}

std::optional<std::string> team_lane::name_of(std::uint32_t tensor) const {
    if (tensor == no_tensor) return std::nullopt;
    return whole_.tensors[tensor].name;
}

base::result<void> team_lane::exchange_updates(step_result& result,
                                               const std::optional<std::string>& own) {
    const auto what = tag(team_word::updated);
    auto first_bad = index_of(own);
    TEQUIO_CHECK(tell_all(what, bytes_of(std::span<const std::uint32_t>(&first_bad, 1))));
    for (std::size_t from = 0; from < count_; ++from) {
        if (from == index_) continue;
        TEQUIO_TRY(const auto message, receive(from, what, sizeof first_bad));
        const auto said = values_of<std::uint32_t>(message.bytes).front();
        if (said != no_tensor && (said >= whole_.tensors.size() || map_.owners()[said] != from)) {
            return senseless(from, what);
        }
        first_bad = std::min(first_bad, said);
    }
    result.not_finite = name_of(first_bad);
    return {};
}

base::result<step_result> team_lane::step(std::uint64_t number, double learning_rate,
                                          const batch_source& source,
                                          const std::function<bool()>& go_on) {
    step_ = number;
    double squares = 0;
    TEQUIO_TRY(auto result, run_batch(source, go_on, squares));
    if (result.not_finite) return result;
    TEQUIO_CHECK(exchange_updates(result, stage_->update(squares, number, learning_rate)));
    return result;
}

base::result<step_result> team_lane::gradient(std::span<const float> parameters,
                                              const batch_source& source,
                                              const std::function<bool()>& go_on) {
    base::ensure(parameters.size() == layout().padded_size, "parameters of this slice");
    stage_->load(layout(), parameters, false);
    step_ = 1;
    double squares = 0;
    return run_batch(source, go_on, squares);
}

batch_view team_lane::windows(const evaluation& e, std::uint64_t batch) {
    const auto first = batch * config_.micro_batch;
    return tokens_.read(first, std::min(config_.micro_batch, e.sequences - first), 0, e.source);
}

/// Of the last member: rows of a later batch than the one in hand, so that the first can go ahead.
base::result<void> team_lane::send_rows_of(const evaluation& e, std::uint64_t batch) {
    step_ = batch;
    return batch < e.batches ? send_rows(windows(e, batch).tokens) : base::result<void>();
}

base::result<void> team_lane::take_losses_of(const evaluation& e, std::uint64_t batch) {
    const auto first = batch * config_.micro_batch;
    const auto count = std::min(config_.micro_batch, e.sequences - first);
    const auto here =
        e.losses.subspan(first * config_.model.context, count * config_.model.context);
    TEQUIO_TRY(const auto message,
               receive(count_ - 1, {batch, team_word::losses, 0}, here.size_bytes()));
    std::memcpy(here.data(), message.bytes.data(), here.size_bytes());
    return {};
}

base::result<void> team_lane::evaluate_batch(const evaluation& e, std::uint64_t number) {
    if (last()) TEQUIO_CHECK(send_rows_of(e, number + e.lag));
    step_ = number;
    const auto batch = windows(e, number);
    if (!last()) TEQUIO_CHECK(share_rows(batch.tokens));
    TEQUIO_CHECK(go_forward(batch, 0));
    if (!last()) return {};
    std::vector<float> own(batch.targets.size());
    stage_->evaluate(batch, own);
    return send(0, tag(team_word::losses), bytes_of(std::span<const float>(own)));
}

base::result<void> team_lane::evaluate(std::span<const float> parameters, std::uint64_t sequences,
                                       const batch_source& source,
                                       const std::function<bool()>& go_on,
                                       std::span<float> losses) {
    base::ensure(losses.size() == sequences * config_.model.context, "one loss a token");
    base::ensure(parameters.size() == layout().padded_size, "parameters of this slice");
    stage_->load(layout(), parameters, false);
    std::fill(losses.begin(), losses.end(), 0.0F);
    const auto batches = (sequences + config_.micro_batch - 1) / config_.micro_batch;
    // As many batches are under way as there are members. Rows go ahead by as many as losses lag
    // behind: so both come to the first member in the order in which it asks for them.
    const std::uint64_t lag = count_ - 1;
    const evaluation e{source, sequences, batches, lag, losses};
    for (std::uint64_t k = 0; last() && k < lag; ++k) TEQUIO_CHECK(send_rows_of(e, k));
    for (std::uint64_t k = 0; k < batches; ++k) {
        if (!go_on()) return fail(errc::stopped, "stopped between two windows");
        TEQUIO_CHECK(evaluate_batch(e, k));
        if (first() && k >= lag) TEQUIO_CHECK(take_losses_of(e, k - lag));
    }
    for (auto k = batches - std::min(batches, lag); first() && k < batches; ++k) {
        TEQUIO_CHECK(take_losses_of(e, k));
    }
    return {};
}

base::byte_vector team_lane::values_in(lane_array which, contribution_run piece) const {
    base::byte_vector out;
    const auto values = stage_->values(which);
    for (const auto& s : map_.stretches(index_, piece)) {
        const auto bytes = bytes_of(values.subspan(s.own, s.count));
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return out;
}

base::result<void> team_lane::send_trace(lane_array which) {
    base::byte_vector leaves;
    const auto values = stage_->values(which);
    std::vector<float> piece;
    for (std::uint64_t i = 0; i < map_.pieces(); ++i) {
        const auto holders = map_.holders(i);
        if (holders.size() > 1 || holders.front() != index_) continue;
        const auto run = map_.elements_of(i);
        piece.assign(run.count, 0.0F);
        for (const auto& s : map_.stretches(index_, run)) {
            const auto own = values.subspan(s.own, s.count);
            std::copy(own.begin(), own.end(),
                      piece.begin() + static_cast<std::ptrdiff_t>(s.first - run.first));
        }
        const auto leaf = base::merkle_leaf(float_bytes(piece));
        leaves.insert(leaves.end(), leaf.bytes.begin(), leaf.bytes.end());
    }
    TEQUIO_CHECK(send(0, tag(team_word::leaves), std::move(leaves)));
    for (std::uint64_t i = 0; i < map_.pieces(); ++i) {
        const auto holders = map_.holders(i);
        if (holders.size() == 1 ||
            std::find(holders.begin(), holders.end(), index_) == holders.end())
            continue;
        TEQUIO_CHECK(send(0, tag(team_word::piece, i), values_in(which, map_.elements_of(i))));
    }
    return {};
}

base::result<base::digest> team_lane::gather_trace(lane_array which) {
    std::vector<base::digest> leaves(map_.pieces());
    std::vector<std::vector<std::uint64_t>> whole_pieces(count_);
    for (std::uint64_t i = 0; i < map_.pieces(); ++i) {
        const auto holders = map_.holders(i);
        if (holders.size() == 1) whole_pieces[holders.front()].push_back(i);
    }
    std::vector<float> piece;
    const auto start = [&](std::uint64_t i) {
        const auto run = map_.elements_of(i);
        piece.assign(run.count, 0.0F);
        return run;
    };
    const auto put = [&](std::size_t member, contribution_run run, base::byte_view bytes) {
        for (const auto& s : map_.stretches(member, run)) {
            const auto size = s.count * sizeof(float);
            std::memcpy(piece.data() + (s.first - run.first), bytes.data(), size);
            bytes = bytes.subspan(size);
        }
    };
    for (const auto i : whole_pieces[index_]) {
        const auto run = start(i);
        put(index_, run, values_in(which, run));
        leaves[i] = base::merkle_leaf(float_bytes(piece));
    }
    for (std::size_t from = 1; from < count_; ++from) {
        const auto& own = whole_pieces[from];
        TEQUIO_TRY(const auto message,
                   receive(from, tag(team_word::leaves), own.size() * sizeof(base::digest)));
        for (std::size_t k = 0; k < own.size(); ++k) {
            const auto leaf = message.bytes.subspan(k * sizeof(base::digest), sizeof(base::digest));
            std::copy(leaf.begin(), leaf.end(), leaves[own[k]].bytes.begin());
        }
    }
    for (std::uint64_t i = 0; i < map_.pieces(); ++i) {
        const auto holders = map_.holders(i);
        if (holders.size() == 1) continue;
        const auto run = start(i);
        for (const auto from : holders) {
            if (from == index_) {
                put(from, run, values_in(which, run));
                continue;
            }
            std::uint64_t size = 0;
            for (const auto& s : map_.stretches(from, run)) size += s.count * sizeof(float);
            TEQUIO_TRY(const auto message, receive(from, tag(team_word::piece, i), size));
            put(from, run, message.bytes);
        }
        leaves[i] = base::merkle_leaf(float_bytes(piece));
    }
    return base::merkle_root(leaves);
}

base::result<base::digest> team_lane::root_of(lane_array which) {
    if (first()) return gather_trace(which);
    TEQUIO_CHECK(send_trace(which));
    return base::digest{};
}

void team_lane::subtract_from(std::span<const float> start) {
    stage_->subtract_from(layout(), start);
}

base::result<void> team_lane::send_blocks(const recipe& r) {
    const auto codec = codec_of(contribution_kind::lane, r);
    const auto part = stage_->encode(codec, r.train.window);
    base::byte_vector facts;
    base::byte_writer out(facts);
    out.u64(part ? part->counts.saturated : 0);
    out.u64(part ? part->counts.flushed : 0);
    out.u32(part ? no_tensor : index_of(stage_->refused(codec)));
    TEQUIO_CHECK(send(0, tag(team_word::coded), std::move(facts)));
    if (!part) return {};
    const auto blocks = layout().padded_size / block_elements;
    for (std::uint64_t first = 0; first < blocks; first += blocks_at_a_time) {
        const auto count = std::min(blocks_at_a_time, blocks - first);
        const auto run = blocks_at(codec, {part->scales, part->codes}, first * block_elements,
                                   count * block_elements);
        base::byte_vector bytes(run.scales.begin(), run.scales.end());
        bytes.insert(bytes.end(), run.codes.begin(), run.codes.end());
        TEQUIO_CHECK(send(0, tag(team_word::blocks, first), std::move(bytes)));
    }
    return {};
}

base::result<void> team_lane::gather_blocks(const recipe& r, std::size_t member,
                                            contribution_header& facts,
                                            std::span<std::uint8_t> container) {
    const auto shape = shape_of(contribution_kind::lane, r, whole_);
    const auto& sizes = sizes_of(shape.codec);
    const auto coded = tag(team_word::coded);
    TEQUIO_TRY(const auto said, receive(member, coded, 20));
    base::byte_reader in(said.bytes);
    facts.saturated += in.u64();
    facts.flushed += in.u64();
    const auto bad = in.u32();
    if (bad != no_tensor) {
        if (bad >= whole_.tensors.size() || map_.owners()[bad] != member) {
            return senseless(member, coded);
        }
        if (!refused_ || whole_.tensors[bad].name < *refused_) refused_ = name_of(bad);
        return {};
    }
    const auto blocks = map_.layout(member).padded_size / block_elements;
    for (std::uint64_t first = 0; first < blocks; first += blocks_at_a_time) {
        const auto count = std::min(blocks_at_a_time, blocks - first);
        const auto what = tag(team_word::blocks, first);
        TEQUIO_TRY(const auto message, receive(member, what, count * sizes.block_bytes()));
        const coded_blocks run{message.bytes.first(count * sizes.scale_bytes),
                               message.bytes.subspan(count * sizes.scale_bytes)};
        if (!canonical(shape.codec, run)) return senseless(member, what);
        map_.place(member, shape, {first * block_elements, count * block_elements}, run, container);
    }
    return {};
}

base::result<base::byte_vector> team_lane::encode(const recipe& r, double loss) {
    if (!std::isfinite(loss)) return fail(errc::not_finite, "contribution: the loss is not finite");
    refused_.reset();
    if (!first()) {
        TEQUIO_CHECK(send_blocks(r));
        return base::byte_vector();
    }
    const auto shape = shape_of(contribution_kind::lane, r, whole_);
    auto out = empty_contribution(contribution_kind::lane, shape);
    contribution_header facts{loss, lane_tokens(r)};
    if (const auto part = stage_->encode(shape.codec, r.train.window)) {
        map_.place(index_, shape, {0, layout().padded_size}, {part->scales, part->codes}, out);
        facts.saturated += part->counts.saturated;
        facts.flushed += part->counts.flushed;
    } else {
        refused_ = stage_->refused(shape.codec);
    }
    for (std::size_t from = 1; from < count_; ++from) {
        TEQUIO_CHECK(gather_blocks(r, from, facts, out));
    }
    if (refused_) return fail(errc::not_finite, "contribution: a value that the codec refuses");
    write_facts(facts, out);
    // What others made is checked before it is anybody's.
    TEQUIO_CHECK(check_contribution(contribution_kind::lane, r, whole_, out));
    return out;
}

std::string team_lane::refused(contribution_codec) const {
    return refused_.value_or("loss");
}

}  // namespace tequio::training

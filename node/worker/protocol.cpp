#include "node/worker/protocol.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "base/ensure.hpp"

namespace tequio::node {
namespace {

// Type numbers are append-only; commands and reports share one space, so that a message sent to the
// wrong end is never understood.
enum class message_type : std::uint8_t {
    open_job = 1,
    begin = 2,
    input = 3,
    stop = 4,
    close_job = 5,
    hand_back_memory = 6,
    team_in = 7,
    team_credit = 8,
    ready = 32,
    job_opened = 33,
    job_refused = 34,
    wants_input = 35,
    progress = 36,
    item_done = 37,
    item_failed = 38,
    team_out = 39,
    team_taken = 40,
    team_waits = 41,
    team_blames = 42,
};

constexpr std::size_t name_size_max = 256;

class encoder {
public:
    explicit encoder(message_type type) : writer_(bytes_) {
        writer_.u8(static_cast<std::uint8_t>(type));
    }
    encoder& u8(std::uint8_t v) { return writer_.u8(v), *this; }
    encoder& u32(std::uint32_t v) { return writer_.u32(v), *this; }
    encoder& u64(std::uint64_t v) { return writer_.u64(v), *this; }
    encoder& f64(double v) { return writer_.f64(v), *this; }
    encoder& flag(bool v) { return u8(v ? 1 : 0); }
    encoder& digest(const base::digest& v) { return writer_.raw(v.view()), *this; }
    encoder& blob(const base::blob_ref& v) { return digest(v.root).u64(v.size); }
    encoder& text(std::string_view v, std::size_t size_max) {
        base::ensure(v.size() <= size_max, "a text in a worker message is longer than its cap");
        writer_.u32(static_cast<std::uint32_t>(v.size()));
        writer_.raw(base::as_bytes(v));
        return *this;
    }
    encoder& blob_bytes(base::byte_view v) {
        writer_.raw(v);
        return *this;
    }
    /// Sentences are for people: a long one is cut, not refused.
    encoder& sentence(std::string_view v) {
        return text(v.substr(0, worker_sentence_size_max), worker_sentence_size_max);
    }
    base::byte_vector finish() {
        base::ensure(bytes_.size() <= worker_message_size_max, "a worker message is too long");
        return std::move(bytes_);
    }

private:
    base::byte_vector bytes_;
    base::byte_writer writer_;
};

class decoder {
public:
    explicit decoder(base::byte_view bytes) : reader_(bytes) {}
    std::uint8_t u8() { return reader_.u8(); }
    std::uint32_t u32() { return reader_.u32(); }
    std::uint64_t u64() { return reader_.u64(); }
    double f64() { return reader_.f64(); }
    bool flag() { return in_range(reader_.u8(), 0, 1) == 1; }
    std::uint8_t in_range(std::uint8_t v, std::uint8_t low, std::uint8_t high) {
        if (v < low || v > high) bad_ = true;
        return v;
    }
    base::digest digest() {
        base::digest out;
        const auto bytes = reader_.raw(out.bytes.size());
        if (bytes.size() == out.bytes.size()) {
            std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
        }
        return out;
    }
    base::blob_ref blob() {
        base::blob_ref out;
        out.root = digest();
        out.size = u64();
        if (out.size > base::blob_size_max_bytes) bad_ = true;
        return out;
    }
    std::string text(std::size_t size_max) {
        const auto size = reader_.u32();
        if (size > size_max) {
            bad_ = true;
            return {};
        }
        return std::string(base::as_text(reader_.raw(size)));
    }
    std::string sentence() { return text(worker_sentence_size_max); }
    base::byte_vector raw(std::size_t size) {
        const auto bytes = reader_.raw(size);
        return {bytes.begin(), bytes.end()};
    }
    void refuse() { bad_ = true; }
    bool ok() const { return !bad_ && !reader_.failed() && reader_.at_end(); }

private:
    base::byte_reader reader_;
    bool bad_ = false;
};

/// Only such items name sums.
bool takes_sums(compute_kind kind) {
    return kind == compute_kind::sum_lanes || kind == compute_kind::add_sums;
}

void put_item(encoder& out, const compute_item& item) {
    out.u64(item.id).u8(static_cast<std::uint8_t>(item.kind));
    out.u8(static_cast<std::uint8_t>(item.engine)).u64(item.round.value).u64(item.lane.value);
    out.u32(item.inputs).u64(item.first_unit).u64(item.units);
    out.flag(item.team);
    if (!takes_sums(item.kind)) return;
    out.u32(static_cast<std::uint32_t>(item.sums.size()));
    for (const auto& s : item.sums) {
        out.u64(s.units.first).u64(s.units.count).u64(s.lanes.first).u64(s.lanes.count);
    }
}

/// The number of inputs that an item of this kind may have, and a shard where there is one.
bool inputs_fit(const compute_item& item) {
    const bool shard = item.kind == compute_kind::sum_shard || item.kind == compute_kind::add_sums;
    const bool divisible = item.kind == compute_kind::lane || item.kind == compute_kind::validation;
    if (item.team && !divisible) return false;
    if (shard != (item.units > 0) || (!shard && item.first_unit != 0)) return false;
    if (!takes_sums(item.kind) && !item.sums.empty()) return false;
    switch (item.kind) {
        case compute_kind::sum:
        case compute_kind::sum_shard:
        case compute_kind::join:
            return item.inputs >= 1 && item.inputs <= worker_inputs_max;
        case compute_kind::sum_lanes:
            return item.sums.size() == 1 && item.inputs >= 1 && item.inputs <= worker_inputs_max &&
                   item.sums.front().lanes.count == item.inputs;
        case compute_kind::add_sums:
            return item.inputs >= 1 && item.inputs <= worker_sums_max &&
                   item.sums.size() == item.inputs;
        case compute_kind::apply:
        case compute_kind::load:
            return item.inputs == 1;
        default:
            return item.inputs == 0;
    }
}

std::optional<compute_item> get_item(decoder& in) {
    compute_item item;
    item.id = in.u64();
    item.kind = static_cast<compute_kind>(in.in_range(in.u8(), 1, 10));
    item.engine = static_cast<compute_engine>(in.in_range(in.u8(), 0, 1));
    item.round.value = in.u64();
    item.lane.value = in.u64();
    item.inputs = in.u32();
    item.first_unit = in.u64();
    item.units = in.u64();
    item.team = in.flag();
    const auto sums = takes_sums(item.kind) ? in.u32() : 0;
    if (sums > worker_sums_max) return std::nullopt;
    for (std::uint32_t i = 0; i < sums; ++i) {
        training::partial_sums s;
        s.units.first = in.u64();
        s.units.count = in.u64();
        s.lanes.first = in.u64();
        s.lanes.count = in.u64();
        item.sums.push_back(s);
    }
    if (!inputs_fit(item)) return std::nullopt;
    return item;
}

bool blobs_fit(const worker_open_job& m) {
    return m.blobs >= 1 && m.blobs <= worker_blobs_max;
}

bool slice_fits(const worker_open_job& m) {
    return m.slices >= 1 && m.slices <= worker_slices_max && m.slice < m.slices;
}

/// Team letters in either direction are laid out alike.
template <class Letter>
base::byte_vector put_letter(message_type type, const Letter& m, std::uint32_t member) {
    const bool inlined = m.size <= team_inline_bytes_max;
    base::ensure(m.inlined.size() == (inlined ? m.size : 0), "short letters are in their record");
    encoder out(type);
    out.u64(m.item).u32(member).u64(m.tag.step).u8(static_cast<std::uint8_t>(m.tag.word));
    return out.u64(m.tag.part).u64(m.size).blob_bytes(m.inlined).finish();
}

template <class Letter>
Letter get_letter(decoder& in, std::uint32_t Letter::*member) {
    Letter m;
    m.item = in.u64();
    m.*member = in.u32();
    m.tag.step = in.u64();
    m.tag.word = static_cast<training::team_word>(
        in.in_range(in.u8(), static_cast<std::uint8_t>(training::team_word::activations),
                    static_cast<std::uint8_t>(training::team_word::blocks)));
    m.tag.part = in.u64();
    m.size = in.u64();
    if (m.size > training::team_message_bytes_max) in.refuse();
    if (m.size <= team_inline_bytes_max) m.inlined = in.raw(m.size);
    return m;
}

/// A message about one member and nothing else.
template <class Message>
Message get_member(decoder& in, std::uint32_t Message::*member) {
    Message m;
    m.item = in.u64();
    m.*member = in.u32();
    return m;
}

void put_outcome(encoder& out, const compute_outcome& o) {
    out.digest(o.state_after).blob(o.blob).flag(o.divergence.has_value());
    if (o.divergence) out.u64(o.divergence->step).text(o.divergence->tensor, name_size_max);
    out.f64(o.loss).digest(o.trace).digest(o.sum);
    out.u64(o.saturated).u64(o.flushed).u64(o.at_top).u64(o.computed_microseconds);
    base::ensure(o.tensors.size() <= worker_tensors_max, "no more tensors than a message takes");
    out.u32(static_cast<std::uint32_t>(o.tensors.size()));
    for (const auto& t : o.tensors) out.digest(t);
}

compute_outcome get_outcome(decoder& in) {
    compute_outcome o;
    o.state_after = in.digest();
    o.blob = in.blob();
    if (in.flag()) {
        compute_divergence d;
        d.step = in.u64();
        d.tensor = in.text(name_size_max);
        o.divergence = std::move(d);
    }
    o.loss = in.f64();
    o.trace = in.digest();
    o.sum = in.digest();
    o.saturated = in.u64();
    o.flushed = in.u64();
    o.at_top = in.u64();
    o.computed_microseconds = in.u64();
    const auto tensors = in.u32();
    if (tensors > worker_tensors_max) {
        in.refuse();
        return o;
    }
    for (std::uint32_t i = 0; i < tensors; ++i) o.tensors.push_back(in.digest());
    return o;
}

struct command_encoder {
    base::byte_vector operator()(const worker_open_job& m) const {
        base::ensure(blobs_fit(m), "a recipe has one blob or two");
        base::ensure(slice_fits(m), "a slice is one of its slices");
        encoder out(message_type::open_job);
        out.text(m.recipe, recipe_text_size_max).u32(m.blobs);
        return out.u32(m.slice).u32(m.slices).finish();
    }
    base::byte_vector operator()(const worker_begin& m) const {
        base::ensure(inputs_fit(m.item), "an item has inputs that its kind does not take");
        encoder out(message_type::begin);
        put_item(out, m.item);
        return out.finish();
    }
    base::byte_vector operator()(const worker_input& m) const {
        encoder out(message_type::input);
        return out.u64(m.item).u32(m.index).blob(m.blob).flag(m.missing).finish();
    }
    base::byte_vector operator()(const worker_stop& m) const {
        return encoder(message_type::stop).u64(m.item).finish();
    }
    base::byte_vector operator()(const worker_close_job&) const {
        return encoder(message_type::close_job).finish();
    }
    base::byte_vector operator()(const worker_hand_back_memory&) const {
        return encoder(message_type::hand_back_memory).finish();
    }
    base::byte_vector operator()(const worker_team_in& m) const {
        return put_letter(message_type::team_in, m, m.from);
    }
    base::byte_vector operator()(const worker_team_credit& m) const {
        return encoder(message_type::team_credit).u64(m.item).u32(m.by).finish();
    }
};

struct report_encoder {
    base::byte_vector operator()(const worker_ready& m) const {
        encoder out(message_type::ready);
        out.u32(m.version).u32(m.threads).text(m.cpu_protection, name_size_max);
        return out.text(m.simd, name_size_max).text(m.sandbox, name_size_max).finish();
    }
    base::byte_vector operator()(const worker_job_opened& m) const {
        encoder out(message_type::job_opened);
        return out.u64(m.memory_bytes)
            .flag(m.has_state)
            .u64(m.round.value)
            .digest(m.state)
            .finish();
    }
    base::byte_vector operator()(const worker_job_refused& m) const {
        return encoder(message_type::job_refused).sentence(m.reason).finish();
    }
    base::byte_vector operator()(const worker_wants_input& m) const {
        return encoder(message_type::wants_input).u64(m.item).u32(m.index).finish();
    }
    base::byte_vector operator()(const worker_progress& m) const {
        return encoder(message_type::progress).u64(m.item).u64(m.steps).u64(m.tokens).finish();
    }
    base::byte_vector operator()(const worker_item_done& m) const {
        encoder out(message_type::item_done);
        out.u64(m.item);
        put_outcome(out, m.outcome);
        return out.finish();
    }
    base::byte_vector operator()(const worker_item_failed& m) const {
        encoder out(message_type::item_failed);
        return out.u64(m.item).flag(m.stopped).sentence(m.reason).finish();
    }
    base::byte_vector operator()(const worker_team_out& m) const {
        return put_letter(message_type::team_out, m, m.to);
    }
    base::byte_vector operator()(const worker_team_taken& m) const {
        return encoder(message_type::team_taken).u64(m.item).u32(m.from).finish();
    }
    base::byte_vector operator()(const worker_team_waits& m) const {
        return encoder(message_type::team_waits).u64(m.item).u32(m.member).finish();
    }
    base::byte_vector operator()(const worker_team_blames& m) const {
        return encoder(message_type::team_blames).u64(m.item).u32(m.member).finish();
    }
};

base::error malformed() {
    return base::fail(base::errc::bad_encoding, "a malformed message between daemon and worker");
}

template <class Message>
base::result<Message> finish(const decoder& in, Message message) {
    if (!in.ok()) return malformed();
    return message;
}

worker_ready get_ready(decoder& in) {
    worker_ready m;
    m.version = in.u32();
    m.threads = in.u32();
    m.cpu_protection = in.text(name_size_max);
    m.simd = in.text(name_size_max);
    m.sandbox = in.text(name_size_max);
    return m;
}

worker_job_opened get_opened(decoder& in) {
    worker_job_opened m;
    m.memory_bytes = in.u64();
    m.has_state = in.flag();
    m.round.value = in.u64();
    m.state = in.digest();
    return m;
}

worker_item_failed get_failed(decoder& in) {
    worker_item_failed m;
    m.item = in.u64();
    m.stopped = in.flag();
    m.reason = in.sentence();
    return m;
}

worker_input get_input(decoder& in) {
    worker_input m;
    m.item = in.u64();
    m.index = in.u32();
    m.blob = in.blob();
    m.missing = in.flag();
    return m;
}

}  // namespace

base::byte_vector encode(const worker_command& message) {
    return std::visit(command_encoder{}, message);
}

base::byte_vector encode(const worker_report& message) {
    return std::visit(report_encoder{}, message);
}

base::result<worker_command> decode_command(base::byte_view bytes) {
    if (bytes.size() > worker_message_size_max) {
        return base::fail(base::errc::too_large, "a message to the worker above its cap");
    }
    decoder in(bytes);
    switch (static_cast<message_type>(in.u8())) {
        case message_type::open_job: {
            worker_open_job m;
            m.recipe = in.text(recipe_text_size_max);
            m.blobs = in.u32();
            m.slice = in.u32();
            m.slices = in.u32();
            if (!blobs_fit(m) || !slice_fits(m)) return malformed();
            return finish<worker_command>(in, std::move(m));
        }
        case message_type::begin: {
            const auto item = get_item(in);
            if (!item) return malformed();
            return finish<worker_command>(in, worker_begin{*item});
        }
        case message_type::input:
            return finish<worker_command>(in, get_input(in));
        case message_type::stop: {
            const worker_stop m{in.u64()};
            return finish<worker_command>(in, m);
        }
        case message_type::close_job:
            return finish<worker_command>(in, worker_close_job{});
        case message_type::hand_back_memory:
            return finish<worker_command>(in, worker_hand_back_memory{});
        case message_type::team_in:
            return finish<worker_command>(in, get_letter(in, &worker_team_in::from));
        case message_type::team_credit:
            return finish<worker_command>(in, get_member(in, &worker_team_credit::by));
        default:
            return malformed();
    }
}

base::result<worker_report> decode_report(base::byte_view bytes) {
    if (bytes.size() > worker_message_size_max) {
        return base::fail(base::errc::too_large, "a message from the worker above its cap");
    }
    decoder in(bytes);
    switch (static_cast<message_type>(in.u8())) {
        case message_type::ready:
            return finish<worker_report>(in, get_ready(in));
        case message_type::job_opened:
            return finish<worker_report>(in, get_opened(in));
        case message_type::job_refused: {
            worker_job_refused m{in.sentence()};
            return finish<worker_report>(in, std::move(m));
        }
        case message_type::wants_input: {
            worker_wants_input m;
            m.item = in.u64();
            m.index = in.u32();
            return finish<worker_report>(in, m);
        }
        case message_type::progress: {
            worker_progress m;
            m.item = in.u64();
            m.steps = in.u64();
            m.tokens = in.u64();
            return finish<worker_report>(in, m);
        }
        case message_type::item_done: {
            worker_item_done m;
            m.item = in.u64();
            m.outcome = get_outcome(in);
            return finish<worker_report>(in, std::move(m));
        }
        case message_type::item_failed:
            return finish<worker_report>(in, get_failed(in));
        case message_type::team_out:
            return finish<worker_report>(in, get_letter(in, &worker_team_out::to));
        case message_type::team_taken:
            return finish<worker_report>(in, get_member(in, &worker_team_taken::from));
        case message_type::team_waits:
            return finish<worker_report>(in, get_member(in, &worker_team_waits::member));
        case message_type::team_blames:
            return finish<worker_report>(in, get_member(in, &worker_team_blames::member));
        default:
            return malformed();
    }
}

std::size_t descriptors_of(const worker_command& message) {
    if (const auto* open = std::get_if<worker_open_job>(&message)) return 1 + open->blobs;
    if (const auto* letter = std::get_if<worker_team_in>(&message)) {
        return letter->size > team_inline_bytes_max ? 1 : 0;
    }
    const auto* input = std::get_if<worker_input>(&message);
    return input != nullptr && !input->missing ? 1 : 0;
}

std::size_t descriptors_of(const worker_report& message) {
    if (const auto* letter = std::get_if<worker_team_out>(&message)) {
        return letter->size > team_inline_bytes_max ? 1 : 0;
    }
    const auto* done = std::get_if<worker_item_done>(&message);
    return done != nullptr && done->outcome.blob.size > 0 ? 1 : 0;
}

}  // namespace tequio::node

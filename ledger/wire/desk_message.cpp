#include "ledger/wire/desk_message.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::ledger {
namespace {

constexpr std::uint8_t version = 1;
enum class tag : std::uint8_t { introduction = 1, offer, answer, refusal };

base::error bad(std::string_view why) {
    return base::fail(errc::bad_message, "receipt message: " + std::string(why));
}

void put_text(base::byte_writer& out, std::string_view text) {
    out.u16(static_cast<std::uint16_t>(text.size()));
    out.raw(base::as_bytes(text));
}

std::string get_text(base::byte_reader& in) {
    const auto size = in.u16();
    return std::string(base::as_text(in.raw(size)));
}

base::digest get_digest(base::byte_reader& in) {
    base::digest d;
    const auto bytes = in.raw(d.bytes.size());
    std::copy(bytes.begin(), bytes.end(), d.bytes.begin());
    return d;
}

bool is_plain(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) {
        const auto u = static_cast<unsigned char>(c);
        return u < 0x20 || u > 0x7e;
    });
}

}  // namespace

base::byte_vector encode_message(const message& m) {
    base::byte_vector bytes;
    base::byte_writer out(bytes);
    out.u8(version);
    if (const auto* i = std::get_if<introduction>(&m)) {
        out.u8(static_cast<std::uint8_t>(tag::introduction));
        out.u8(i->asks ? 1 : 0);
        out.raw(i->key.key.view());
        out.raw(i->key.root_signature);
    } else if (const auto* o = std::get_if<offer>(&m)) {
        out.u8(static_cast<std::uint8_t>(tag::offer));
        put_text(out, o->note);
    } else if (const auto* a = std::get_if<answer>(&m)) {
        out.u8(static_cast<std::uint8_t>(tag::answer));
        put_text(out, a->note);
    } else {
        const auto& r = std::get<refusal>(m);
        out.u8(static_cast<std::uint8_t>(tag::refusal));
        out.raw(r.text.view());
        out.u8(static_cast<std::uint8_t>(r.code));
        put_text(out, r.reason);
    }
    base::ensure(bytes.size() <= message_size_max_bytes, "a desk message within its cap");
    return bytes;
}

base::result<message> decode_message(base::byte_view bytes) {
    if (bytes.size() > message_size_max_bytes) return bad("above its cap");
    base::byte_reader in(bytes);
    if (in.u8() != version) return bad("a version this program does not speak (has: 1)");
    message m;
    switch (static_cast<tag>(in.u8())) {
        case tag::introduction: {
            introduction i;
            const auto asks = in.u8();
            if (asks > 1) return bad("a flag that is neither 0 nor 1");
            i.asks = asks == 1;
            i.key.key.bytes = get_digest(in).bytes;
            const auto signature = in.raw(i.key.root_signature.size());
            std::copy(signature.begin(), signature.end(), i.key.root_signature.begin());
            m = i;
            break;
        }
        case tag::offer:
            m = offer{get_text(in)};
            break;
        case tag::answer:
            m = answer{get_text(in)};
            break;
        case tag::refusal: {
            refusal r;
            r.text = get_digest(in);
            const auto code = in.u8();
            if (code < 1 || code > 2) return bad("an unknown refusal code");
            r.code = static_cast<refusal_code>(code);
            r.reason = get_text(in);
            // The reason is shown to people: no control characters, no escape sequences.
            if (r.reason.size() > refusal_reason_max_bytes || !is_plain(r.reason)) {
                return bad("a reason above its cap or with characters that are not plain");
            }
            m = std::move(r);
            break;
        }
        default:
            return bad("an unknown kind");
    }
    if (in.failed() || !in.at_end()) return bad("too short, or bytes after the end");
    return m;
}

}  // namespace tequio::ledger

#include "aggregator/damage.hpp"

namespace pgpulse::aggregator {
namespace {

/// "was lost" of one, "were lost" of several.
std::string in_words(Damage damage, bool one) {
    const std::string were = one ? "was " : "were ";
    switch (damage) {
        case Damage::lost:
            return were + "lost";
        case Damage::older:
            return "went back to an older value";
        case Damage::removed:
            return were + "deleted by hand";
        case Damage::edited:
            return were + "edited by hand";
        case Damage::spoiled:
            return were + "overwritten with what is no document of the contract";
    }
    return "";
}

}  // namespace

void DamageReport::add(Damage damage, std::string_view key) {
    Kind& kind = kinds_.at(static_cast<std::size_t>(damage));
    if (kind.count < kNamed) {
        if (kind.count > 0) kind.names += ", ";
        kind.names += key;
    }
    ++kind.count;
}

std::vector<std::string> DamageReport::take() {
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < kKinds; ++i) {
        Kind& kind = kinds_.at(i);
        if (kind.count == 0) continue;
        const bool one = kind.count == 1;
        lines.push_back("bucket '" + bucket_ + "': " + std::to_string(kind.count) + " " + what_ +
                        (one ? " " : "s ") + in_words(static_cast<Damage>(i), one) + " (" + kind.names +
                        (kind.count > kNamed ? ", ..." : "") + "): putting " + (one ? "it" : "them") +
                        " back");
        kind = {};
    }
    return lines;
}

}  // namespace pgpulse::aggregator
